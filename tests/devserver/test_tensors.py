"""Every dtype goes in and comes out through TensorFlow's own parser and the server's own encoding."""

import pytest

from proxy.wire.protos import predict_pb2, tensor_pb2, types_pb2

VALUES = [
    ("i8", "DT_INT8", "int_val", [-128, 0, 127]),
    ("u8", "DT_UINT8", "int_val", [0, 1, 255]),
    ("i16", "DT_INT16", "int_val", [-32768, 0, 32767]),
    ("u16", "DT_UINT16", "int_val", [0, 1, 65535]),
    ("i32", "DT_INT32", "int_val", [-(2**31), 0, 2**31 - 1]),
    ("u32", "DT_UINT32", "uint32_val", [0, 1, 2**32 - 1]),
    ("i64", "DT_INT64", "int64_val", [-(2**63), 0, 2**63 - 1]),
    ("u64", "DT_UINT64", "uint64_val", [0, 1, 2**64 - 1]),
    ("f64", "DT_DOUBLE", "double_val", [-1.5, 0.0, 1e300]),
    ("f32", "DT_FLOAT", "float_val", [-1.5, 0.0, 2.0**100]),
    ("b", "DT_BOOL", "bool_val", [True, False, True]),
    ("bf16", "DT_BFLOAT16", "half_val", [0x3F80, 0, 0xC000]),
    ("f16", "DT_HALF", "half_val", [0x3C00, 0, 0xC000]),
    ("s", "DT_STRING", "string_val", [b"", b"a\x00b", b"long enough for the heap " * 4]),
    ("c64", "DT_COMPLEX64", "scomplex_val", [1.0, -1.0, 0.0, 0.5, 2.0, 0.0]),
    ("f8", "DT_FLOAT8_E5M2", "float8_val", b"\x00\x3c\xff"),
    ("f8fn", "DT_FLOAT8_E4M3FN", "float8_val", b"\x80\x7f\x01"),
    ("i4", "DT_INT4", "int_val", [-8, 0, 7]),
    ("u4", "DT_UINT4", "int_val", [15, 0, 1]),
]


def echo(client, signature, dtype, field, values):
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value(dtype), **{field: values})
    for size in (1, 3):
        proto.tensor_shape.dim.add(size=size)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "echo"
    request.model_spec.signature_name = f"echo_{signature}"
    request.inputs["x"].CopyFrom(proto)
    answer = client.predict(request)
    assert answer.code == "OK", answer.details
    return proto, predict_pb2.PredictResponse.FromString(answer.body).outputs["y"]


@pytest.mark.parametrize(("signature", "dtype", "field", "values"), VALUES, ids=[v[0] for v in VALUES])
def test_a_dtype_comes_back_in_the_field_it_was_sent_in(signature, dtype, field, values, client):
    sent, received = echo(client, signature, dtype, field, values)
    assert received == sent


@pytest.mark.parametrize(
    ("signature", "dtype", "sent", "received"),
    [
        ("u8", "DT_UINT8", [300, -1, 256], [44, 255, 0]),
        ("i8", "DT_INT8", [200, -129, 0], [-56, 127, 0]),
        ("i16", "DT_INT16", [40000, 0, 0], [-25536, 0, 0]),
        ("i4", "DT_INT4", [8, -9, 23], [-8, 7, 7]),
        ("u4", "DT_UINT4", [16, -1, 255], [0, 15, 15]),
    ],
)
def test_integers_out_of_range_wrap_around(signature, dtype, sent, received, client):
    _, answer = echo(client, signature, dtype, "int_val", sent)
    assert list(answer.int_val) == received


def test_a_large_response_is_not_cut_off_at_4_mib(client):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "unk"
    request.inputs["x"].dtype = types_pb2.DT_FLOAT
    request.inputs["x"].tensor_shape.dim.add(size=1_500_000)
    request.inputs["x"].tensor_content = bytes(6_000_000)
    answer = client.predict(request)
    assert (answer.code, len(answer.body) > 6_000_000) == ("OK", True)
