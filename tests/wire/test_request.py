"""What the bytes of a request show, by the scanner and by the parser alike; see also tests/property/test_scanner.py."""

import gc
import tracemalloc

import numpy as np
import pytest

from proxy.core.types import CLASSIFY_METHOD, DTYPES, REGRESS_METHOD, ModelKey
from proxy.wire import scanner
from proxy.wire.fields import MalformedRequestError
from proxy.wire.protos import classification_pb2, inference_pb2, predict_pb2, regression_pb2, tensor_pb2
from proxy.wire.request import (
    parse_classify,
    parse_multi_inference,
    parse_predict,
    parse_regress,
)
from proxy.wire.unusual import read_predict
from tests.judging import predict, tensor
from tests.property import wire

both = pytest.mark.parametrize("parse", [parse_predict, read_predict], ids=["scanner", "reader"])


def view(parse, proto):
    (found,) = parse(predict(x=proto).SerializeToString()).inputs
    return found


# === the request ===


@both
def test_an_empty_message_is_a_request_without_model_spec(parse):
    found = parse(b"")
    assert (found.key, found.signature, found.inputs, found.outputs) == (None, "", (), ())


@both
def test_the_model_spec_tells_latest_version_and_label_apart(parse):
    request = predict("m", "sig")
    assert parse(request.SerializeToString()).key == ModelKey("m")
    assert parse(request.SerializeToString()).signature == "sig"
    request.model_spec.version.value = 0
    assert parse(request.SerializeToString()).key == ModelKey("m", 0)
    request.model_spec.version_label = ""
    assert parse(request.SerializeToString()).key == ModelKey("m", None, "")


@both
def test_of_a_version_and_a_label_on_the_wire_the_last_one_counts(parse):
    version, label = (predict_pb2.PredictRequest(), predict_pb2.PredictRequest())
    version.model_spec.version.value = 3
    label.model_spec.version_label = "stable"
    one, other = version.SerializeToString(), label.SerializeToString()
    assert parse(one + other).key == ModelKey("", None, "stable")
    assert parse(other + one).key == ModelKey("", 3)


@both
def test_outputs_keep_their_order_and_repetitions(parse):
    assert parse(predict(outputs=["b", "a", "b"]).SerializeToString()).outputs == ("b", "a", "b")


@both
def test_of_an_input_that_is_sent_twice_the_last_one_counts(parse):
    twice = (
        predict(x=tensor("float32", (1,))).SerializeToString()
        + predict(x=tensor("int64", (2,))).SerializeToString()
    )
    (found,) = parse(twice).inputs
    assert (found.dtype, found.dims) == (9, (2,))


@both
@pytest.mark.parametrize(
    "data", [b'{"instances": []}', b"\x0a", b"\x12\x05abc", b"\x00", b"\x0a\x03\x0a\x01\xff"]
)
def test_unreadable_bytes_are_malformed(parse, data):
    with pytest.raises(MalformedRequestError, match=r"not a readable tensorflow\.serving\.PredictRequest"):
        parse(data)


@both
def test_names_that_are_not_utf8_are_malformed(parse):
    data = predict(xyz=tensor("float32", ())).SerializeToString().replace(b"xyz", b"x\xff\xfe")
    with pytest.raises(MalformedRequestError):
        parse(data)


# === tensors ===


@both
def test_a_tensor_shows_dtype_shape_and_lengths(parse):
    found = view(parse, tensor("uint8", (1, 2, 3), tensor_content=b"abcdef"))
    assert (found.alias, found.dtype, found.dims) == ("x", 4, (1, 2, 3))
    assert (found.content_length, found.counts, found.unknown_rank) == (6, {}, False)


@both
def test_names_of_dimensions_and_the_version_number_change_nothing(parse):
    proto = tensor("float32", (2,))
    proto.tensor_shape.dim[0].name = "batch"
    proto.version_number = 7
    proto.tensor_shape.unknown_rank = True
    found = view(parse, proto)
    assert (found.dims, found.unknown_rank, found.content_length) == ((2,), True, 8)


@both
@pytest.mark.parametrize("kind", DTYPES.values(), ids=lambda kind: kind.name)
def test_values_are_counted_in_every_field(parse, kind):
    if kind.field in {"resource_handle_val", "variant_val"}:
        return
    values = {"string_val": [b"a"] * 3, "float8_val": b"abc"}.get(kind.field, [1] * 3)
    proto = tensor(kind.number, (3,), **{kind.field: values})
    assert view(parse, proto).counts == {kind.field: 3}


@both
@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("int_val", [0, 127, 128, 300, 70000, -1, 2**31 - 1]),
        ("int64_val", [0, 2**63 - 1, -(2**63), -1]),
        ("uint64_val", [2**64 - 1, 0]),
        ("uint32_val", [2**32 - 1]),
        ("half_val", [0, 65535, 15360]),
        ("bool_val", [True, False]),
    ],
)
def test_varints_of_any_length_are_counted(parse, field, values):
    assert view(parse, tensor("float32", (), **{field: values})).counts == {field: len(values)}


@both
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_strings_are_counted_and_the_first_one_shows_its_head(parse, count):
    found = view(
        parse,
        tensor("string", (count,), string_val=[b"\x00first one is longer than that", *[b"b"] * (count - 1)]),
    )
    assert found.counts == {"string_val": count}
    assert found.head == b"\x00first one is lo"


# === values that matter ===

NARROW = [kind for kind in DTYPES.values() if kind.low is not None]


@both
@pytest.mark.parametrize("kind", NARROW, ids=lambda kind: kind.name)
def test_values_at_the_bounds_of_a_dtype_are_inside_and_those_beyond_are_not(parse, kind):
    def outside(*values):
        return view(parse, tensor(kind.number, (len(values),), **{kind.field: values})).wraps

    assert not outside(kind.low)
    assert not outside(kind.high)
    assert not outside(*range(max(kind.low, -300), min(kind.high, 300) + 1))
    for beyond in (kind.low - 1, kind.high + 1, 2**31 - 1, -(2**31)):
        assert outside(beyond)
        assert outside(kind.high, beyond, kind.low)


@both
def test_a_wide_dtype_has_no_values_outside(parse):
    assert not view(parse, tensor("int32", (1,), int_val=[2**31 - 1])).wraps
    assert not view(parse, tensor("float32", (1,), int_val=[300])).wraps


@both
def test_values_beside_content_are_not_looked_at(parse):
    assert not view(parse, tensor("uint8", (1,), tensor_content=b"\x00", int_val=[300])).wraps


@both
@pytest.mark.parametrize(("content", "wraps"), [(b"\x00\x01", False), (b"\x00\x02", True), (b"\xff", True)])
def test_a_bool_in_content_is_zero_or_one(parse, content, wraps):
    assert view(parse, tensor("bool", (len(content),), tensor_content=content)).wraps is wraps


@both
@pytest.mark.parametrize(
    ("dims", "content", "fits"),
    [
        ((2,), b"\x02\x01abc", True),
        ((2,), b"\x02\x01ab", False),
        ((2,), b"\x02\x01abcd", False),
        ((3,), b"\x02\x01abc", False),
        ((2,), b"\x00\x00", True),
        ((1,), b"\x82\x01" + b"x" * 130, True),
        ((1,), b"\x82\x01" + b"x" * 129, False),
        ((2,), b"\x81\x00\x00a", True),
        ((1,), b"\x80\x80\x80\x80\x80\x00", False),
        ((), b"\x01a", True),
        ((0,), b"anything", True),
        ((9,), b"\x00", False),
        ((-1,), b"\x00", False),
        ((2**62, 4), b"\x00", False),
    ],
)
def test_strings_in_content_follow_the_encoding_of_tensorflow(parse, dims, content, fits):
    proto = tensor_pb2.TensorProto(dtype=7, tensor_content=content)
    for size in dims:
        proto.tensor_shape.dim.add(size=size)
    assert view(parse, proto).string_content_fits is fits


# === cost ===


def test_a_large_image_is_read_without_a_copy():
    image = np.zeros((1, 2000, 2000, 3), np.float32)
    data = predict(x=tensor("float32", image.shape, tensor_content=image.tobytes())).SerializeToString()
    gc.collect()
    tracemalloc.start()
    found = parse_predict(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.inputs[0].content_length == image.nbytes
    assert peak < 100_000


def test_what_clients_can_put_into_the_caches_is_small():
    for cached in (scanner._spec_from_bytes, scanner._shape_from_bytes):
        cached.cache_clear()
    long_name = predict("m" * 5000, x=tensor("float32", (1,) * 200, float_val=[1]))
    assert parse_predict(long_name.SerializeToString()) == read_predict(long_name.SerializeToString())
    assert scanner._spec_from_bytes.cache_info().currsize == 0
    assert scanner._shape_from_bytes.cache_info().currsize == 0


# === Classify, Regress, MultiInference ===


def test_classify_and_regress_show_their_model_spec_only():
    for kind, parse in (
        (classification_pb2.ClassificationRequest, parse_classify),
        (regression_pb2.RegressionRequest, parse_regress),
    ):
        request = kind()
        assert parse(request.SerializeToString()).key is None
        request.model_spec.name = "m"
        request.model_spec.signature_name = "s"
        request.input.example_list.examples.add()
        found = parse(request.SerializeToString())
        assert (found.key, found.signature, found.inputs) == (ModelKey("m"), "s", ())
        with pytest.raises(MalformedRequestError, match=kind.__name__):
            parse(b"\xff")


@pytest.mark.parametrize("parse", [parse_classify, parse_regress, parse_multi_inference])
@pytest.mark.parametrize("opaque", [0, 300_000])
@pytest.mark.parametrize(
    "bad", [b"\x08" + b"\x80" * 10 + b"\0", b"\x80" * 5 + b"\0", b"\x0a" + b"\x80" * 5 + b"\0"]
)
def test_a_varint_that_is_longer_than_protobuf_reads_is_malformed(parse, opaque, bad):
    with pytest.raises(MalformedRequestError):
        parse(wire.length_delimited(100, bytes(opaque)) + bad)


def tasks(*wanted: tuple[str | None, str, str]) -> bytes:
    """A MultiInferenceRequest of (model, signature, method) each; model None: without model_spec."""
    request = inference_pb2.MultiInferenceRequest()
    for model, signature, method in wanted:
        task = request.tasks.add(method_name=method)
        if model is not None:
            task.model_spec.name = model
            task.model_spec.signature_name = signature
    return request.SerializeToString()


GOOD = (("m", "", CLASSIFY_METHOD), ("m", "b", REGRESS_METHOD))


@pytest.mark.parametrize(
    "stop",
    [
        ("other", "c", CLASSIFY_METHOD),
        ("", "c", CLASSIFY_METHOD),
        (None, "", CLASSIFY_METHOD),
        ("m", "b", CLASSIFY_METHOD),
        ("m", "serving_default", REGRESS_METHOD),
        ("m", "c", "tensorflow/serving/predict"),
        ("m", "c", ""),
    ],
)
def test_multi_inference_shows_the_tasks_before_the_one_that_the_server_stops_at(stop):
    found = parse_multi_inference(tasks(*GOOD, stop, ("m", "d", CLASSIFY_METHOD)))
    assert [(view.key, view.signature, method) for view, method in found] == [
        (ModelKey("m"), signature, method) for _, signature, method in GOOD
    ]


def test_a_first_task_without_a_model_is_shown_alone():
    found = parse_multi_inference(tasks((None, "", CLASSIFY_METHOD), *GOOD[1:]))
    assert [view.key for view, _ in found] == [None]


def test_a_task_that_is_not_readable_makes_the_whole_request_so():
    with pytest.raises(MalformedRequestError):
        parse_multi_inference(b"\xff")


def test_all_tasks_run_on_the_version_of_the_first():
    request = inference_pb2.MultiInferenceRequest.FromString(
        tasks(*(("m", name, CLASSIFY_METHOD) for name in "abc"))
    )
    for task, version in ((request.tasks[0], 1), (request.tasks[2], 9)):
        task.model_spec.version.value = version
    found = parse_multi_inference(request.SerializeToString())
    assert [(view.key.version, view.signature) for view, _ in found] == [(1, "a"), (1, "b"), (1, "c")]
