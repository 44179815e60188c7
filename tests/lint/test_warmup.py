"""A warm-up file: every record is read as the server would read it."""

import gzip
import struct

import pytest

from proxy.lint.warmup import MOST_RECORDS
from proxy.wire import protos
from proxy.wire.tfrecord import masked_crc32c
from tests.lint.exports import only, rules

# isort: split
from tensorflow_serving.apis import prediction_log_pb2


def framed(payload):
    header = struct.pack("<Q", len(payload))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (header, payload))
    return header + next(checksums) + payload + next(checksums)


def predict(dims=(1, 4), alias="x"):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "m"
    tensor = request.inputs[alias]
    tensor.dtype = protos.types_pb2.DT_FLOAT
    tensor.float_val.append(1)
    for dim in dims:
        tensor.tensor_shape.dim.add(size=dim)
    return log.SerializeToString()


@pytest.fixture
def warmup(version):
    """Write records into the version's warm-up file; returns the version directory."""

    def write(*payloads, raw=None):
        path = version / "assets.extra" / "tf_serving_warmup_requests"
        path.parent.mkdir()
        path.write_bytes(b"".join(map(framed, payloads)) if raw is None else raw)
        return version

    return write


def test_records_that_fit_the_signature_are_good(warmup):
    version = warmup(predict(), predict((8, 4)))
    assert rules(version) == []
    assert rules(version / "assets.extra" / "tf_serving_warmup_requests") == []


def test_a_request_that_does_not_fit_the_signature_is_found_by_its_record_number(warmup):
    found = only(warmup(predict(), predict((1, 5))))
    assert found.rule.id == "warmup-request"
    assert found.message.startswith("record 2: input 'x': expected")


def test_a_wrong_alias_is_found(warmup):
    assert "warmup-request" in rules(warmup(predict(alias="image")))


@pytest.mark.parametrize(
    ("position", "problem"),
    [(0, "length is wrong"), (8, "length is wrong"), (20, "data is wrong"), (-1, "data is wrong")],
)
def test_a_flipped_bit_is_found_by_the_checksums(warmup, position, problem):
    data = bytearray(framed(predict()) * 2)
    data[position] ^= 1
    found = only(warmup(raw=bytes(data)))
    assert found.rule.id == "warmup-corrupt"
    assert problem in found.message
    assert f"record {1 if position >= 0 else 2} at byte" in found.message


@pytest.mark.parametrize("kept", [5, 15, -2])
def test_a_file_that_is_cut_is_found(warmup, kept):
    found = only(warmup(raw=framed(predict())[:kept]))
    assert found.rule.id == "warmup-corrupt"
    assert "the file ends within" in found.message


def test_a_compressed_file_is_told_as_such(warmup):
    found = only(warmup(raw=gzip.compress(framed(predict()))))
    assert "compressed" in found.message


def test_a_record_that_is_no_prediction_log_is_found(warmup):
    assert rules(warmup(b"\xff\xff\xff")) == ["warmup-not-a-log"]


def test_a_log_that_the_server_does_not_replay_is_found(warmup):
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.request.model_spec.name = "m"
    assert rules(warmup(log.SerializeToString())) == ["warmup-not-a-log"]


def test_a_record_that_holds_no_request_is_skipped_by_the_server_in_silence(warmup):
    assert rules(warmup(b"")) == ["warmup-ignored"]


def test_more_than_a_thousand_records_are_refused(warmup):
    assert rules(warmup(*[predict()] * (MOST_RECORDS + 1))) == ["warmup-too-many"]


def test_a_thousand_records_are_good(warmup):
    assert rules(warmup(*[predict()] * MOST_RECORDS)) == []


def test_many_bad_records_are_told_a_few_times_and_counted(warmup):
    found = rules(warmup(*[predict((1, 5))] * 50))
    assert found == ["warmup-request"] * 21
