"""Classify, Regress and MultiInference: one string tensor of serialized Examples in, scores out.

Law: a signature is judged by its inputs and outputs, never by its method name, as the genuine server does by
default (servables/tensorflow/classifier.cc, regressor.cc, multi_inference.cc; measured, section N).
"""

from collections.abc import Mapping, Sequence

from google.protobuf import text_format

from proxy.devserver import tensors
from proxy.devserver.model import DEFAULT_SIGNATURE, Model
from proxy.devserver.protos import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    meta_graph_pb2,
    regression_pb2,
    tensor_pb2,
    types_pb2,
)
from proxy.devserver.runtime import INVALID_ARGUMENT, UNIMPLEMENTED, Tensor, TensorFlowError

_CLASSIFY = "tensorflow/serving/classify"
_REGRESS = "tensorflow/serving/regress"


def classify(
    model: Model, request: classification_pb2.ClassificationRequest, timeout_seconds: float | None
) -> classification_pb2.ClassificationResponse:
    """Run one ClassificationRequest.

    Raises:
        TensorFlowError: the status that the genuine server answers with.
    """
    signature_name, signature = _named_signature(model, request.model_spec.signature_name)
    feed, fetches = _classification(signature)
    count, results = _run(model, request.input, {feed}, fetches, timeout_seconds)
    response = classification_pb2.ClassificationResponse(model_spec=model.spec(signature_name))
    response.result.SetInParent()
    _fill_classifications(response.result, signature, count, results)
    return response


def regress(
    model: Model, request: regression_pb2.RegressionRequest, timeout_seconds: float | None
) -> regression_pb2.RegressionResponse:
    """Run one RegressionRequest.

    Raises:
        TensorFlowError: the status that the genuine server answers with.
    """
    signature_name, signature = _named_signature(model, request.model_spec.signature_name)
    feed, fetch = _regression(signature)
    count, results = _run(model, request.input, {feed}, [fetch], timeout_seconds)
    response = regression_pb2.RegressionResponse(model_spec=model.spec(signature_name))
    response.result.SetInParent()
    _fill_regressions(response.result, signature, count, results)
    return response


def multi_inference(
    model: Model, request: inference_pb2.MultiInferenceRequest, timeout_seconds: float | None
) -> inference_pb2.MultiInferenceResponse:
    """Run several signatures of one model over the same Examples in one Session::Run.

    Raises:
        TensorFlowError: the status that the genuine server answers with.
    """
    feeds: set[str] = set()
    fetches: set[str] = set()
    seen: set[str] = set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise TensorFlowError(INVALID_ARGUMENT, "Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise TensorFlowError(
                INVALID_ARGUMENT, "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in seen:
            raise TensorFlowError(INVALID_ARGUMENT, f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        if name not in model.signatures:
            raise TensorFlowError(INVALID_ARGUMENT, f"Requested signature not found in model graph: {name}")
        if task.method_name == _CLASSIFY:
            feed, outputs = _classification(model.signatures[name])
        elif task.method_name == _REGRESS:
            feed, output = _regression(model.signatures[name])
            outputs = [output]
        else:
            raise TensorFlowError(UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        feeds.add(feed)
        fetches.update(outputs)

    count, results = _run(model, request.input, feeds, sorted(fetches), timeout_seconds)
    response = inference_pb2.MultiInferenceResponse()
    for task in request.tasks:
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        result = response.results.add(model_spec=model.spec(name))
        if task.method_name == _CLASSIFY:
            _fill_classifications(result.classification_result, model.signatures[name], count, results)
        else:
            _fill_regressions(result.regression_result, model.signatures[name], count, results)
    return response


def _named_signature(model: Model, name: str) -> tuple[str, meta_graph_pb2.SignatureDef]:
    name = name or DEFAULT_SIGNATURE
    if name not in model.signatures:
        raise TensorFlowError(INVALID_ARGUMENT, f"No signature was found with the name: {name}")
    return name, model.signatures[name]


def _classification(signature: meta_graph_pb2.SignatureDef) -> tuple[str, list[str]]:
    """Graph tensor names: the one input, and `classes` and `scores` as far as there are any."""
    if len(signature.inputs) != 1:
        raise TensorFlowError(INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) not in {1, 2}:
        raise TensorFlowError(
            INVALID_ARGUMENT, f"Expected one or two output Tensors, found {len(signature.outputs)}"
        )
    feed = _only_input(signature, "classification")
    fetches = [signature.outputs[alias].name for alias in ("classes", "scores") if alias in signature.outputs]
    if not fetches:
        raise TensorFlowError(
            INVALID_ARGUMENT,
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {text_format.MessageToString(signature)}",
        )
    return feed, fetches


def _regression(signature: meta_graph_pb2.SignatureDef) -> tuple[str, str]:
    """Graph tensor names: the one input, and `outputs`."""
    if len(signature.inputs) != 1:
        raise TensorFlowError(INVALID_ARGUMENT, "Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise TensorFlowError(INVALID_ARGUMENT, "Expected one output Tensor.")
    feed = _only_input(signature, "regression")
    if "outputs" not in signature.outputs:
        raise TensorFlowError(
            INVALID_ARGUMENT,
            f"No regression outputs found in SignatureDef: {text_format.MessageToString(signature)}",
        )
    return feed, signature.outputs["outputs"].name


def _only_input(signature: meta_graph_pb2.SignatureDef, kind: str) -> str:
    if "inputs" not in signature.inputs:
        raise TensorFlowError(
            INVALID_ARGUMENT,
            f"No {kind} inputs found in SignatureDef: {text_format.MessageToString(signature)}",
        )
    name: str = signature.inputs["inputs"].name
    return name


def _run(
    model: Model,
    given: input_pb2.Input,
    feeds: set[str],
    fetches: Sequence[str],
    timeout_seconds: float | None,
) -> tuple[int, dict[str, Tensor]]:
    """Feed the serialized Examples; return their number and the tensor of each fetch."""
    with_context = given.example_list_with_context
    context = with_context.context.SerializeToString()
    serialized = [example.SerializeToString() for example in given.example_list.examples]
    # Two serialized messages in a row are one merged message: the context comes first, the Example wins.
    serialized += [context + example.SerializeToString() for example in with_context.examples]
    if not serialized:
        raise TensorFlowError(INVALID_ARGUMENT, "Input is empty.")
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=serialized)
    proto.tensor_shape.dim.add(size=len(serialized))
    tensor = tensors.parse("inputs", proto)
    results = model.session.run(dict.fromkeys(feeds, tensor), fetches, timeout_seconds)
    return len(serialized), dict(zip(fetches, results, strict=True))


def _fill_classifications(
    result: classification_pb2.ClassificationResult,
    signature: meta_graph_pb2.SignatureDef,
    count: int,
    results: Mapping[str, Tensor],
) -> None:
    found: dict[str, Tensor] = {}
    for alias, dtype in (("classes", types_pb2.DT_STRING), ("scores", types_pb2.DT_FLOAT)):
        if alias not in signature.outputs:
            continue
        tensor = results[signature.outputs[alias].name]
        shape = tensor.shape
        if len(shape) != 2:
            raise TensorFlowError(
                INVALID_ARGUMENT,
                f"Expected Tensor shape: [batch_size num_classes] but got {_shape(shape)}",
            )
        if tensor.dtype != dtype:
            expected, got = types_pb2.DataType.Name(dtype), types_pb2.DataType.Name(tensor.dtype)
            raise TensorFlowError(INVALID_ARGUMENT, f"Expected {alias} Tensor of {expected}. Got: {got}")
        if shape[0] != count:
            raise TensorFlowError(
                INVALID_ARGUMENT, f"Expected {alias} output batch size of {count}. Got: {shape[0]}"
            )
        found[alias] = tensor
    widths = [tensor.shape[1] for tensor in found.values()]
    if len(set(widths)) != 1:
        raise TensorFlowError(
            INVALID_ARGUMENT,
            f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[-1]}",
        )
    labels = found["classes"].strings if "classes" in found else None
    scores = found["scores"].values("f") if "scores" in found else None
    for row in range(count):
        classifications = result.classifications.add()
        for at in range(row * widths[0], (row + 1) * widths[0]):
            one = classifications.classes.add()
            if labels is not None:
                one.label = labels[at].decode(errors="replace")
            if scores is not None:
                one.score = scores[at]


def _fill_regressions(
    result: regression_pb2.RegressionResult,
    signature: meta_graph_pb2.SignatureDef,
    count: int,
    results: Mapping[str, Tensor],
) -> None:
    tensor = results[signature.outputs["outputs"].name]
    shape = tensor.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)):
        raise TensorFlowError(
            INVALID_ARGUMENT,
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{_shape(shape)}",
        )
    if shape[0] != count:
        raise TensorFlowError(
            INVALID_ARGUMENT, f"Input batch size did not match output batch size: {count} vs. {shape[0]}"
        )
    if tensor.dtype != types_pb2.DT_FLOAT:
        raise TensorFlowError(
            INVALID_ARGUMENT,
            f"Expected output Tensor of DT_FLOAT.  Got: {types_pb2.DataType.Name(tensor.dtype)}",
        )
    for value in tensor.values("f"):
        result.regressions.add(value=value)


def _shape(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"
