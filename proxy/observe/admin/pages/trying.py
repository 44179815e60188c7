"""What a person sends by the form → the octets of a PredictRequest, and the verdict on it.

Law: reads what was sent and asks whoever judges; keeps nothing of it. Loaded with the first request that is tried,
because it needs protobuf, which the rest of the admin port does without.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import json_format

from proxy.core.explain import escape
from proxy.wire.protos import predict_pb2
from proxy.wire.request_files import Address, Format, UnreadableRequestError, format_of, message_of


def of_form(model: str, signature: str, tensors: Mapping[str, str]) -> bytes:
    """The request with these tensors, each the JSON of a TensorProto. Raises UnreadableRequestError."""
    request = predict_pb2.PredictRequest()
    try:
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        for alias, text in tensors.items():
            if text.strip():
                json_format.Parse(text, request.inputs[alias], max_recursion_depth=_DEPTH)
    except json_format.ParseError as error:
        told = (str(error) or "no JSON").splitlines()[0].rstrip(". ")
        raise UnreadableRequestError(f"input {escape(alias)!r} is no TensorProto in JSON: {told}") from error
    except (UnicodeEncodeError, RecursionError, json.JSONDecodeError) as error:
        raise UnreadableRequestError("cannot be sent: names must be UTF-8, and JSON not that deep") from error
    return bytes(request.SerializeToString())


_DEPTH: Final = 20


def of_file(name: str, data: bytes) -> bytes:
    """The request in an uploaded file. Raises UnreadableRequestError."""
    form = format_of(name, data) if data else None
    if form is Format.NPZ:
        # A small archive can hold arrays of any size.
        raise UnreadableRequestError("is an .npz archive: `tfs-proxy check FILE --model NAME` judges those")
    try:
        return message_of(name, data, form, Address())
    except RecursionError as error:
        raise UnreadableRequestError("is nested too deep") from error


def unreadable(name: str, error: UnreadableRequestError) -> dict[str, Any]:
    """What comes of a request that cannot be read."""
    return {"name": name, "problem": str(error)[:1000]}
