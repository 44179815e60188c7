"""Predict: the order of its checks and their texts.

Law: number of inputs, each input of the signature present and parsable, output filter, then Session::Run. No
step compares a shape with the signature (tensorflow_serving/servables/tensorflow/predict_util.cc and
tensorflow/cc/saved_model/util.cc, server 2.14 and later; measured, sections B to J).
"""

from collections.abc import Iterable

from proxy.devserver import tensors
from proxy.devserver.model import DEFAULT_SIGNATURE, Model
from proxy.devserver.protos import meta_graph_pb2, predict_pb2, types_pb2
from proxy.devserver.runtime import FAILED_PRECONDITION, INVALID_ARGUMENT, Tensor, TensorFlowError


def predict(
    model: Model, request: predict_pb2.PredictRequest, timeout_seconds: float | None
) -> predict_pb2.PredictResponse:
    """Run one PredictRequest.

    Raises:
        TensorFlowError: the status that the genuine server answers with.
    """
    signature_name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    if signature_name not in model.signatures:
        raise TensorFlowError(FAILED_PRECONDITION, f'Serving signature key "{signature_name}" not found.')
    signature = model.signatures[signature_name]

    _check_number_of_inputs(signature, request)
    feeds = _feeds(signature, request)
    aliases = _output_aliases(signature, request)
    _refuse_resources(request)
    fetches = [signature.outputs[alias].name for alias in aliases]
    results = model.session.run(feeds, fetches, timeout_seconds)

    response = predict_pb2.PredictResponse(model_spec=model.spec(signature_name))
    for alias, tensor in zip(aliases, results, strict=True):
        tensors.fill(response.outputs[alias], tensor)
    return response


def _check_number_of_inputs(
    signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest
) -> None:
    sent, required = set(request.inputs), set(signature.inputs)
    if len(sent) > len(required) or (len(sent) < len(required) and not signature.defaults):
        raise TensorFlowError(
            INVALID_ARGUMENT,
            f"input size does not match signature: {len(sent)}!={len(required)} "
            f"len({_set(sent)}) != len({_set(required)}). "
            f"Sent extra: {_set(sent - required)}. Missing but required: {_set(required - sent)}.",
        )


def _feeds(signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest) -> dict[str, Tensor]:
    feeds = {}
    # The genuine server goes in hash order, so which of several missing aliases it names varies.
    for alias, info in sorted(signature.inputs.items()):
        if alias in request.inputs:
            feeds[info.name] = tensors.parse(alias, request.inputs[alias])
        elif alias in signature.defaults:
            feeds[info.name] = tensors.parse(alias, signature.defaults[alias])
        else:
            raise TensorFlowError(
                INVALID_ARGUMENT,
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default "
                f"value provided. Inputs expected to be in the request {_set(request.inputs)}, "
                f"or default input alias set: {','.join(sorted(signature.defaults))}",
            )
    return feeds


def _output_aliases(signature: meta_graph_pb2.SignatureDef, request: predict_pb2.PredictRequest) -> list[str]:
    aliases: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise TensorFlowError(
                INVALID_ARGUMENT,
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_set(signature.outputs)}.",
            )
        if alias in aliases:
            raise TensorFlowError(INVALID_ARGUMENT, f"duplicate output tensor alias: {alias}")
        aliases.append(alias)
    return aliases or sorted(signature.outputs)


def _refuse_resources(request: predict_pb2.PredictRequest) -> None:
    """Say what Session::Run says of a resource (direct_session.cc): the C API would read it as bytes."""
    for _, proto in sorted(request.inputs.items()):
        if proto.dtype == types_pb2.DT_RESOURCE:
            handle = proto.resource_handle_val[0] if proto.resource_handle_val else None
            code = handle.hash_code if handle else 0
            name, kind = (handle.name, handle.maybe_type_name) if handle else ("", "")
            raise TensorFlowError(
                INVALID_ARGUMENT,
                f"Invalid resource type hash code: {code}(name: {name} type: {kind}). Perhaps a resource "
                "tensor was being provided as a feed? That is not currently allowed. Please file an issue at "
                "https://github.com/tensorflow/tensorflow/issues/new, ideally with a short code snippet that "
                "leads to this error message.",
            )


def _set(names: Iterable[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"
