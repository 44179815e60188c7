"""Which version answered, read without the tensors: what it says is what protobuf reads, or it says nothing."""

from google.protobuf.message import DecodeError

from proxy.wire.outputs import output_facts
from proxy.wire.protos import predict_pb2
from proxy.wire.response import ending_of, served_version
from tests.judging import tensor


def seeds() -> list[bytes]:
    answer = predict_pb2.PredictResponse()
    answer.outputs["y"].CopyFrom(tensor("float32", (2,)))
    answer.outputs["z"].CopyFrom(tensor("float16", (2,), half_val=[0x7C00, 1]))
    answer.model_spec.name = "m"
    answer.model_spec.version.value = 300
    answer.model_spec.signature_name = "serving_default"
    zero = predict_pb2.PredictResponse()
    zero.model_spec.version.SetInParent()
    return [
        each.SerializeToString(deterministic=True) for each in (answer, zero, predict_pb2.PredictResponse())
    ]


def check(data: bytes) -> None:
    version, ending = served_version(data), ending_of(data)
    assert version is None or 0 <= version < 1 << 63
    if ending is not None:
        assert data.endswith(ending)
        assert served_version(ending) == version
    try:
        answer = predict_pb2.PredictResponse.FromString(data)
    except DecodeError:
        return
    if version is not None:
        assert answer.model_spec.version.value == version
    facts = output_facts(b"", data)
    assert facts == output_facts(b"", data)
