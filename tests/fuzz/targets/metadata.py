"""What a server says of its models: a servable by which any request can be judged and described, or what is wrong.

The first octet chooses between metadata and states.
"""

from proxy.core.policy import Policy
from proxy.core.validate import judge
from proxy.wire.metadata import UnreadableMetadataError, servable_of_response, versions_of_response
from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2
from proxy.wire.request import parse_predict
from tests.fuzz.messages import requests

_VIEWS = [parse_predict(each) for each in requests()]


def seeds() -> list[bytes]:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.method_name = "tensorflow/serving/predict"
    signature.inputs["x"].name, signature.inputs["x"].dtype = "x:0", 1
    for size in (-1, 2):
        signature.inputs["x"].tensor_shape.dim.add(size=size)
    signature.inputs["ids"].dtype = 9
    signature.inputs["ids"].tensor_shape.unknown_rank = True
    signature.outputs["y"].dtype = 101
    signatures.signature_def["__saved_model_init_op"].outputs["o"].name = "NoOp"
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.model_spec.name = "m"
    answer.model_spec.version.value = 3
    answer.metadata["signature_def"].Pack(signatures)
    status = get_model_status_pb2.GetModelStatusResponse()
    for version, state in ((1, 50), (2, 10), (-1, 99)):
        status.model_version_status.add(
            version=version, state=state
        ).status.error_message = "Read less bytes than requested"
    return [b"\0" + answer.SerializeToString(deterministic=True), b"\1" + status.SerializeToString()]


def check(data: bytes) -> None:
    if not data:
        return
    try:
        if data[0] & 1:
            versions = versions_of_response(data[1:])
            assert [each.version for each in versions] == sorted(
                (each.version for each in versions), reverse=True
            )
            return
        servable = servable_of_response(data[1:], "m")
    except UnreadableMetadataError as error:
        assert str(error)
        return
    for view in _VIEWS:
        verdict = judge(view, servable, Policy())
        assert verdict == judge(view, servable, Policy())
