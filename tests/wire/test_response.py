"""Which version answered, read from a response without its tensors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.protos import classification_pb2, predict_pb2, regression_pb2
from proxy.wire.response import ending_of, served_version


def response(version: int | None = None, kind=predict_pb2.PredictResponse):
    message = kind()
    message.model_spec.name = "m"
    message.model_spec.signature_name = "s"
    if version is not None:
        message.model_spec.version.value = version
    return message


@pytest.mark.parametrize(
    "kind",
    [
        predict_pb2.PredictResponse,
        classification_pb2.ClassificationResponse,
        regression_pb2.RegressionResponse,
    ],
)
@pytest.mark.parametrize("version", [0, 1, 127, 128, 1_700_000_000, 2**63 - 1])
def test_the_version_is_found(kind, version):
    assert served_version(response(version, kind).SerializeToString()) == version


def test_outputs_before_it_are_skipped():
    message = response(7)
    message.outputs["y"].tensor_content = bytes(1_000_000)
    message.outputs["z"].string_val.append(b"\x12\x02\x08\x01")
    assert served_version(message.SerializeToString()) == 7


def test_the_last_model_spec_counts_as_in_protobuf():
    assert served_version(response(1).SerializeToString() + response(2).SerializeToString()) == 2


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (b"\x12\x02\x08\x07\x12\x00", "versions are merged: the second one changes nothing"),
        (b"\x12\x02\x08\x07\x22\x01x", "a label takes the place of a version"),
        (b"\x12\x04\x08\x07\x08\x09", "the last value counts"),
    ],
)
def test_nothing_is_said_where_protobuf_would_read_on(spec, why):
    message = bytes((0x12, len(spec))) + spec
    assert served_version(message) is None, why


def test_an_ending_is_whole_however_its_length_is_written():
    assert ending_of(b"\x12\x02\x12\x00") == b"\x12\x02\x12\x00"
    assert ending_of(b"\x12\x82\x80\x00\x12\x00") is None


def test_a_response_without_a_version_has_none():
    assert served_version(response().SerializeToString()) is None
    assert served_version(b"") is None


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise(data):
    assert served_version(data) is None or served_version(data) >= 0


@given(st.integers(0, 2**63 - 1), st.data())
def test_a_cut_response_is_no_other_version(version, data):
    whole = response(version).SerializeToString()
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    assert served_version(cut) in {None, version}


@given(st.integers(0, 2**63 - 1), st.binary(max_size=200))
def test_responses_that_end_alike_are_of_one_version(version, content):
    message = response(version)
    ending = ending_of(message.SerializeToString())
    message.outputs["y"].tensor_content = content
    octets = message.SerializeToString(deterministic=True)
    assert octets.endswith(ending)
    assert ending_of(octets) == ending
    message.model_spec.version.value = version ^ 1
    assert not message.SerializeToString(deterministic=True).endswith(ending)


def test_there_is_no_ending_where_something_follows_the_model_spec_or_it_is_long():
    message = response(7)
    assert ending_of(message.SerializeToString() + b"\x0a\x00") is None
    message.model_spec.name = "m" * 120
    assert ending_of(message.SerializeToString()) is None
    assert ending_of(b"") is None
    assert ending_of(b"\xff\xff") is None
    assert ending_of(b"\x12\x7f") is None
