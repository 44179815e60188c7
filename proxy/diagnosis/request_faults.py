"""Rows for what the client sent: names, dtypes, tensors, shapes, and payloads that the graph cannot read."""

import re
from dataclasses import replace
from typing import Final

from proxy.core.explain import listing, quote
from proxy.core.mending.dtypes import string_kind, string_remedy
from proxy.core.reasons import Reason
from proxy.core.types import dtype_name
from proxy.diagnosis.answer import Call, Diagnosis, Row, row
from proxy.diagnosis.facts import SHAPE_REASONS, batch_of, contradictions, input_of_arg, told

_INTERNAL: Final = frozenset({13})
_BASE64_HEADS: Final = {b"/9j/": "a JPEG", b"iVBOR": "a PNG", b"R0lGO": "a GIF", b"Qk": "a BMP"}
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]+={0,2}\Z")


def _names(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """Add what the signature takes and what was probably meant."""
    if call.signature is None:
        return diagnosis
    wrong = [
        each for each in contradictions(call) if each.reason in (Reason.INPUT_UNKNOWN, Reason.INPUT_MISSING)
    ]
    if wrong:
        first = wrong[0]
        return diagnosis.saying(
            f"{told(first)}; the signature takes {listing(call.signature.inputs)}", first.reason
        )
    return diagnosis.saying(f"{diagnosis.sentence}; the signature takes {listing(call.signature.inputs)}")


def _arg(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """Translate `arg[i]` back to the alias."""
    spec = input_of_arg(call.signature, int(found["index"])) if call.signature is not None else None
    if spec is None:
        return diagnosis
    for violation in contradictions(call):
        if violation.alias == spec.alias and violation.reason is Reason.DTYPE_MISMATCH:
            return diagnosis.saying(f"arg[{found['index']}] is {told(violation)}")
    return diagnosis.saying(
        f"arg[{found['index']}] is input {quote(spec.alias)}: expected {found['want']}, got {found['got']}"
    )


def _tensor(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """TF Serving has one text for every way in which a TensorProto cannot be read."""
    for violation in contradictions(call):
        if violation.alias == found["alias"]:
            return diagnosis.saying(told(violation), violation.reason)
    return diagnosis


def _signatures(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    for violation in contradictions(call):
        if violation.reason is Reason.SIGNATURE_NOT_FOUND:
            return diagnosis.saying(told(violation))
    if call.servable is None:
        return diagnosis
    return diagnosis.saying(f"{diagnosis.sentence}; the model has {listing(call.servable.signatures)}")


def _empty_input(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    if call.method.endswith("/Predict"):
        return diagnosis.saying("an image string of the request is empty, or the payload was lost")
    return diagnosis


def _image(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """Name base64, a URL, a path or the text of bytes where the leading bytes of the string show it."""
    for view in call.request.inputs if call.request is not None else ():
        for head, kind in _BASE64_HEADS.items():
            if view.head.startswith(head) and _BASE64.match(view.head):
                return diagnosis.saying(
                    f"input {quote(view.alias)} holds the base64 text of {kind}, not its bytes",
                    Reason.STRING_LOOKS_BASE64,
                    remedy="Send the raw bytes: only TF Serving's REST interface decodes base64.",
                )
        instead = string_remedy(view.alias, string_kind(view.head))
        if instead is not None:
            return diagnosis.saying(
                f"input {quote(view.alias)}: {instead.cause}",
                remedy=f"{instead.how[:1].upper()}{instead.how[1:]}.",
            )
    return diagnosis


def _shape(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """A shape error inside the graph: name the input whose shape contradicts the signature, if one does."""
    for violation in contradictions(call):
        if violation.reason in SHAPE_REASONS:
            return diagnosis.saying(f"{told(violation)}; the graph fails on it", violation.reason)
    return diagnosis


def _reshape(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """`20480 values, but the requested shape has 2048`: the ratio is the batch size of a fixed-batch export."""
    told_by_shape = _shape(found, call, diagnosis)
    have, want = int(found["have"]), int(found["want"])
    ratio = have // want if want and have % want == 0 else 0
    if told_by_shape is not diagnosis or found["multiple"] or ratio < 2:
        return told_by_shape
    batch = batch_of(call)
    if batch == ratio:
        return replace(
            diagnosis.saying(
                f"the model was exported with a fixed batch of 1: the graph wants {want} values and got {ratio} "
                f"times as many, and the request is a batch of {ratio}",
                Reason.UPSTREAM_EXPORT_FAULT,
                "Export the model with a free batch dimension (None), or send examples one by one.",
            ),
            failures=("F30", "F32"),
        )
    if batch is None:
        return diagnosis.saying(
            f"the graph wants {want} values and got {ratio} times as many: with a batch of {ratio} the model was "
            "exported with a fixed batch of 1, otherwise a dimension was lost when the tensor was built",
            remedy="Export the model with a free batch dimension (None), or set the tensor's shape explicitly.",
        )
    return diagnosis


def _id(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """`indices[0,1] = 12 is not in [0, 10)`: where, which range and whose, but never the id, which is a value."""
    told_by_shape = _shape(found, call, diagnosis)
    if told_by_shape is not diagnosis:
        return told_by_shape
    inputs = call.request.inputs if call.request is not None else ()
    ids = [view.alias for view in inputs if dtype_name(view.dtype).startswith(("int", "uint"))]
    whose = f" (probably of input {quote(ids[0])})" if len(ids) == 1 else ""
    where = f" at {found['where']}" if found["where"] else ""
    within = found["range"] or found["label"] or (f"[0, {found['bound']})" if found["bound"] else "its range")
    if within.endswith("]"):
        within = f"the shape {within}"
    return diagnosis.saying(f"an id{whose}{where} is outside {within}: {_NO_SUCH_ROW}")


def _broadcast(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """Which shapes do not go together, as far as TensorFlow says, or the input that contradicts its signature."""
    told_by_shape = _shape(found, call, diagnosis)
    shapes = dict.fromkeys(_SHAPES.findall(found.string.partition("\n")[0]))
    if told_by_shape is not diagnosis or not shapes:
        return told_by_shape
    return diagnosis.saying(
        f"shapes {' and '.join(list(shapes)[:_SHAPES_SHOWN])} do not go together in the graph: {_DIFFER}"
    )


_SHAPES: Final = re.compile(r"(?<!\w)\[[\d,?]*\]")
_SHAPES_SHOWN: Final = 4
_NO_SUCH_ROW: Final = (
    "the model's vocabulary or embedding has no such row, or it looks up more elements than were sent"
)
_DIFFER: Final = "inputs differ in batch size or length, or one has another size than in training"
_IN_GRAPH = "the request reached the model's graph and its shape does not fit there"

REQUEST_FAULTS: Final[tuple[Row, ...]] = (
    # Names. The text since 2.14 lists what was sent where one expects what is wanted.
    row(
        r"Signature input alias: (?P<alias>.+?)\(feed name: .*not found in request",
        Reason.INPUT_MISSING,
        "input {alias} is missing; the names listed in the text are those that were sent, not those expected",
        "F01 F02 F03 F04 F05",
        append=True,
        refine=_names,
    ),
    row(
        r"input tensor alias not found in signature: (?P<alias>[^\s]*?)(?:\.?\s|\.?$)",
        Reason.INPUT_UNKNOWN,
        "the signature has no input {alias}",
        "F01 F02 F03 F04 F05 F16 F17",
        append=True,
        refine=_names,
    ),
    row(
        r"input size does not match signature.*Sent extra: \{(?P<extra>[^}]+)\}",
        Reason.INPUT_UNKNOWN,
        "the request carries an input that the signature does not have: {extra}",
        "F06 F07",
        refine=_names,
    ),
    row(
        r"input size does not match signature",
        Reason.INPUT_MISSING,
        "the request has another number of inputs than the signature",
        "F06 F07",
        append=True,
        refine=_names,
    ),
    row(
        r"output tensor alias not found in signature",
        Reason.OUTPUT_UNKNOWN,
        "output_filter names an output that the signature does not have",
        "F19",
    ),
    row(
        r"duplicate output tensor alias",
        Reason.OUTPUT_DUPLICATE,
        "output_filter names an output twice",
        "F19",
    ),
    row(
        r"Serving signature key \"(?P<name>.*?)\" not found|Serving signature name: \"(?P<old>.*?)\" not found"
        r"|No signature was found with the name: (?P<task>\S*)|Default serving signature key not found",
        Reason.SIGNATURE_NOT_FOUND,
        "the model has no signature of that name; an empty signature_name asks for 'serving_default'",
        "F09 F10 F11",
        append=True,
        refine=_signatures,
    ),
    row(r"Missing ModelSpec", Reason.MODEL_SPEC_MISSING, "the request has no model_spec", "F52"),
    row(r"ModelSpec has no name specified", Reason.MODEL_NAME_MISSING, "model_spec.name is empty", "F41"),
    row(
        r"must specify at least one metadata_field|Metadata field .* is not supported",
        Reason.UPSTREAM_REQUEST_FAULT,
        "GetModelMetadata knows one metadata_field",
        "F52",
        "Set metadata_field to ['signature_def'].",
    ),
    # dtype and encoding.
    row(
        r"Expects arg\[(?P<index>\d+)\] to be (?P<want>\w+) but (?P<got>\w+) is provided",
        Reason.DTYPE_MISMATCH,
        "arg[{index}] is the input at that place, counted from 0 in the alphabetical order of the graph tensor "
        "names: expected {want}, got {got}",
        "F20 F21 F22",
        append=True,
        refine=_arg,
    ),
    row(
        r"Expected input (?P<alias>.+?) to be (?P<want>\w+) but get (?P<got>\w+)",
        Reason.DTYPE_MISMATCH,
        "input {alias} has another dtype: expected {want}, got {got}",
        "F20 F22",
    ),
    row(
        r"expected type (?P<want>\w+) != (?P<got>\w+)",
        Reason.DTYPE_MISMATCH,
        "a tensor has another dtype than the graph wants ({want} and {got})",
        "F22",
        append=True,
    ),
    row(
        r"tensor parsing error: (?P<alias>.*?)\s*$",
        Reason.PAYLOAD_LENGTH_MISMATCH,
        "the TensorProto of {alias} is not readable: tensor_content of another length than dtype and shape need, "
        "dtype not set, a negative or absurd dimension, or strings outside string_val",
        "F26 F27",
        "Build it with tf.make_tensor_proto, or send dtype, actual shape and exactly the array's bytes.",
        append=True,
        refine=_tensor,
    ),
    row(
        r"Invalid resource type hash code",
        Reason.DTYPE_INVALID,
        "a resource handle was sent as an input; requests carry values only",
        "F21",
        append=True,
    ),
    row(
        r"\A\Z",
        Reason.REQUEST_MALFORMED,
        "INTERNAL with no text: the server could not parse the message as the method's request type (cut, JSON, "
        "another message, or a name that is not UTF-8)",
        "F26 F76",
        append=True,
        codes=_INTERNAL,
    ),
    row(
        r"Invalid character found in base64",
        Reason.UPSTREAM_REQUEST_FAULT,
        "the model decodes base64 itself and got a string of another alphabet, or text encoded twice",
        "F25",
        "Encode exactly once with the URL-safe alphabet (base64.urlsafe_b64encode); over gRPC nothing else does.",
        append=True,
    ),
    row(
        r"Unknown image file format|Unable to decode bytes as JPEG|Expected image \(JPEG|"
        r"got unknown format starting with|jpeg::Uncompress failed|Invalid JPEG data|Invalid PNG (data|header)|"
        r"Invalid GIF|Invalid BMP|Corrupt JPEG",
        Reason.STRING_NOT_AN_IMAGE,
        "a string that the model decodes as an image is not a whole encoded image",
        "F23 F24",
        "Send the bytes of the encoded file as they are: no array bytes, no text, no base64, not cut.",
        append=True,
        refine=_image,
    ),
    row(
        r"Could not parse example input",
        Reason.STRING_NOT_AN_EXAMPLE,
        "a string that the model parses as tf.train.Example is something else; the text shows its bytes",
        "F97",
        "Send tf.train.Example(...).SerializeToString(), not raw text, JSON or an image.",
        append=True,
    ),
    row(
        r"Feature: (?P<feature>.+?) \(data type: (?P<dtype>\w+)\) is required but could not be found",
        Reason.UPSTREAM_REQUEST_FAULT,
        "the tf.train.Example lacks feature {feature} of type {dtype}",
        "F97",
        "Add the feature to every Example, spelt as in training.",
    ),
    row(
        r"Key: (?P<feature>.+?), .*Data types don't match\. Data type: (?P<got>\w+) but expected type: (?P<want>\w+)",
        Reason.UPSTREAM_REQUEST_FAULT,
        "feature {feature} of the tf.train.Example has another kind of list: expected {want}, got {got}",
        "F97",
        "Use float_list, int64_list or bytes_list as the model's feature spec says.",
    ),
    row(
        r"\AInput is empty\.",
        Reason.UPSTREAM_REQUEST_FAULT,
        "the request carries no Example: input.example_list is unset or empty",
        "F97",
        "Send at least one element.",
        append=True,
        refine=_empty_input,
    ),
    # Classify, Regress, MultiInference.
    row(
        r"Expected (classification|regression) signature|Expected one output Tensor|"
        r"Expected one or two output Tensors|Expected one input Tensor|Unsupported signature method_name",
        Reason.METHOD_MISMATCH,
        "this method needs a signature exported for it (method_name tensorflow/serving/classify or regress)",
        "F18 F98",
        append=True,
    ),
    row(
        r"All ModelSpecs in a MultiInferenceRequest|Duplicate evaluation of signature",
        Reason.UPSTREAM_REQUEST_FAULT,
        "all tasks of a MultiInferenceRequest name one model, and each signature once",
        "F99",
        "Split the request by model.",
    ),
    # Shapes: TF Serving never compares them with the signature, so the graph stumbles over them.
    row(
        r"Input to reshape is a tensor with (?P<have>\d+) values, but the requested shape (?:has|requires) "
        r"(?P<multiple>a multiple of )?(?P<want>\d+)",
        Reason.UPSTREAM_REQUEST_FAULT,
        "an input has another size than the graph was built for (it has {have} values where {want} fit)",
        "F30 F31 F32 F37",
        "Send the height, width or length used in training, with the shape set explicitly.",
        append=True,
        refine=_reshape,
    ),
    row(
        r"\b(?P<where>\w{1,40}\[[\d,]+\]|indices)(?: ==? [^=\n]{1,40}?)? (?:is )?"
        r"(?:not in|out of range|out of bounds: need 0 <= index <|does not index into (?:param )?shape)(?: range)? ?"
        r"(?P<range>\[[\d, ]+[\])])?"
        r"|outside the valid range of (?P<label>\[[\d, ]+\))|from index\[[\d,]+\] out of bounds \(>=(?P<bound>\d+)\)",
        Reason.UPSTREAM_REQUEST_FAULT,
        f"an id is outside its range: {_NO_SUCH_ROW}",
        "F117",
        "Use the vocabulary that the model was trained with; its ids begin at 0 and end before its size.",
        append=True,
        refine=_id,
    ),
    row(
        r"Incompatible shapes|broadcastable|[Uu]nable to broadcast|must have compatible batch dimensions|as many biases as"
        r"|must have the same size and shape|Shapes of all inputs must match|ConcatOp : |Matrix size-incompatible"
        r"|Dimensions of inputs should match|In\[0\] mismatch In\[1\] shape|In\[0\] and In\[1\] has different ndims",
        Reason.UPSTREAM_REQUEST_FAULT,
        f"shapes do not go together in the graph: {_DIFFER}",
        "F37 F118",
        "Send every input with the same batch size, and with lengths that go together as in training.",
        append=True,
        refine=_broadcast,
    ),
    row(
        r"Invalid reduction dimension|must be \d+-dim|"
        r"depth must be evenly divisible|Specified a list with shape|slice index \d+ of dimension \d+ out of bounds|"
        r"Tensor must be at least a vector|transpose expects a vector of size|must be (a )?scalar|"
        r"image must be of non-zero size|Shape must be (at least )?rank|Tried to explicitly squeeze dimension|"
        r"Computed output size would be negative|Expected (size|begin)\[\d+\] in |must have the same depth",
        Reason.UPSTREAM_REQUEST_FAULT,
        _IN_GRAPH,
        "F33 F34 F35 F37",
        "Send rank and sizes used in training: TF Serving does not compare shapes with the signature.",
        append=True,
        refine=_shape,
    ),
)
"""In the order of TF Serving's own checks; the first match counts."""
