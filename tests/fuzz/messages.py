"""Valid messages to begin with, written by protobuf itself."""

from proxy.wire.protos import predict_pb2
from tests.judging import predict, tensor


def requests() -> list[bytes]:
    """PredictRequests of every way in which a tensor holds its values."""
    plain = predict(x=tensor("float32", (1, 2)))
    versioned = predict("detector", "serving_default", ("y", "z"), x=tensor("int32", (2,), int_val=[1, -1]))
    versioned.model_spec.version.value = 7
    labelled = predict(
        "m", ids=tensor("int64", (3,), int64_val=[1, 300, -5]), flag=tensor("bool", (1,), bool_val=[True])
    )
    labelled.model_spec.version_label = "stable"
    texts = predict(x=tensor("string", (2,), string_val=[b"a", b"\xff\xd8\xff\xe0 picture"]))
    encoded = predict(x=tensor("string", (2,), tensor_content=b"\x01\x02abc"))
    narrow = predict(
        small=tensor("uint8", (2,), int_val=[0, 255]),
        half=tensor("float16", (2,), half_val=[15360, 65535]),
        bits=tensor("float8_e5m2", (3,), float8_val=b"abc"),
        wide=tensor("uint64", (1,), uint64_val=[2**63]),
        pair=tensor("complex64", (1,), scomplex_val=[1.0, 2.0]),
        double=tensor("float64", (1,), double_val=[0.5]),
    )
    unknown = predict(x=tensor("float32", (), float_val=[1.0]))
    unknown.inputs["x"].tensor_shape.unknown_rank = True
    named = predict(größe=tensor("float32", (1, 1)))
    named.inputs["größe"].tensor_shape.dim[0].name = "batch"
    every = (plain, versioned, labelled, texts, encoded, narrow, unknown, named, predict_pb2.PredictRequest())
    return [each.SerializeToString(deterministic=True) for each in every]
