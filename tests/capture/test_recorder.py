"""What is recorded, and that recording never holds traffic up."""

import json
import queue
import threading
import time

from proxy.capture.recorder import MOST_WAITING, MOST_WAITING_BYTES, Recorder
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, TensorView
from proxy.core.verdict import Verdict, Violation
from proxy.wire.prediction_log import KINDS, LoggedRequest, logged_request
from proxy.wire.tfrecord import read_records
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Kept:
    """A sink that keeps what it gets; `gate` holds it up."""

    def __init__(self):
        self.records, self.lines, self.closed = [], [], False
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()

    def record(self, model, pieces):
        self.began.set()
        assert self.gate.wait(10)
        self.records.append((model, b"".join(pieces)))
        return True

    def refused(self, line):
        self.lines.append(line)
        return True

    def close(self):
        self.closed = True


def never(error):
    raise AssertionError(error)


def ok(sample, method=PREDICT, code=0):
    return ended(method, code=code, model="m", sample=sample)


def refusal(model="m", head=b"secret"):
    view = RequestView(ModelKey(model), "", (TensorView("x", 7, (2,), head=head),))
    violation = Violation(Reason.DTYPE_MISMATCH, "x", "input 'x'", "float32", "string", "send floats")
    return ended(PREDICT, code=3, refusal=Verdict(violations=(violation,)), request=view)


def logs(kept, tmp_path):
    file = tmp_path / "all"
    file.write_bytes(b"".join(record for _, record in kept.records))
    with file.open("rb") as records:
        return [logged_request(record) for record in read_records(records)]


def test_a_chosen_request_is_recorded_as_its_method_is_logged(tmp_path):
    kept = Kept()
    recorder = Recorder(kept, never, never)
    spec = b"\x0a\x03\x0a\x01m"
    requests = [b"\x0a\x05" + spec if "Multi" in method else spec for method in KINDS]
    for method, request in zip(KINDS, requests, strict=True):
        recorder.call_ended(ok(request, method))
    recorder.close()
    assert kept.closed
    assert logs(kept, tmp_path) == list(map(LoggedRequest, KINDS.values(), requests))
    assert recorder.counts == {"request": 4, "refusal": 0, "dropped": 0}


def test_a_large_request_is_whole(tmp_path):
    kept = Kept()
    recorder = Recorder(kept, never, never)
    alias = b"a" * 100_001
    recorder.call_ended(ok(b"\x1a" + b"\xa1\x8d\x06" + alias))
    recorder.close()
    assert logs(kept, tmp_path) == [LoggedRequest("predict_log", b"\x1a" + b"\xa1\x8d\x06" + alias)]


def test_only_what_was_chosen_and_answered_well_is_recorded():
    kept = Kept()
    recorder = Recorder(kept, never, never)
    recorder.call_ended(ok(None))
    recorder.call_ended(ok(b"", code=13))
    recorder.call_ended(ok(b"", code=4))
    recorder.close()
    assert not kept.records
    assert not kept.lines
    assert recorder.counts == {"request": 0, "refusal": 0, "dropped": 0}


def test_a_refusal_is_told_without_a_value():
    kept = Kept()
    recorder = Recorder(kept, never, never, models=["m"])
    recorder.call_ended(refusal())
    recorder.call_ended(refusal("other"))
    recorder.close()
    (line,) = kept.lines
    assert b"secret" not in line
    told = json.loads(line)
    assert told["inputs"] == {"x": "string[2]"}
    assert told["violations"][0]["reason"] == "DTYPE_MISMATCH"


def test_what_the_disk_cannot_keep_up_with_is_dropped_and_counted():
    kept = Kept()
    kept.gate.clear()
    recorder = Recorder(kept, never, never)
    recorder.call_ended(ok(b"0"))
    assert kept.began.wait(10)  # the writer holds this one
    for _ in range(MOST_WAITING + 50):
        recorder.call_ended(ok(b"1"))
    assert recorder.counts["dropped"] == 50
    kept.gate.set()
    recorder.close()
    assert recorder.counts == {"request": MOST_WAITING + 1, "refusal": 0, "dropped": 50}


def test_what_waits_is_bounded_in_bytes_too():
    kept = Kept()
    kept.gate.clear()
    recorder = Recorder(kept, never, never)
    recorder.call_ended(ok(b"0"))
    assert kept.began.wait(10)
    half = bytes(MOST_WAITING_BYTES // 2)
    for _ in range(3):
        recorder.call_ended(ok(half))
    assert recorder.counts["dropped"] == 1
    kept.gate.set()


class Full(Kept):
    """A disk with room or without."""

    full = True

    def record(self, model, pieces):
        if self.full:
            raise OSError(28, "No space left on device")
        return super().record(model, pieces)


class Told:
    """What the recorder says of itself, in its order."""

    def __init__(self):
        self.news = queue.Queue()

    def __call__(self, error):
        self.news.put(None if error is None else str(error))

    def next(self):
        return self.news.get(timeout=10)


def recorded(recorder, outcome, condition):
    """Hand over a call again and again until something is so."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        recorder.call_ended(outcome)
        time.sleep(0.001)


def test_while_the_disk_is_full_the_recording_pauses_and_says_so_once():
    told, disk = Told(), Full()
    recorder = Recorder(disk, never, told, retry_seconds=0.01)
    assert not recorder.paused
    recorder.call_ended(ok(b"0"))
    assert told.next() == "[Errno 28] No space left on device"
    assert recorder.paused
    recorded(recorder, ok(b"1"), lambda: recorder.counts["dropped"] > 20)
    assert recorder.paused
    assert recorder.counts["request"] == 0
    disk.full = False
    recorded(recorder, ok(b"2"), lambda: not recorder.paused)
    assert told.next() is None
    recorder.close()
    assert recorder.counts["request"] >= 1
    assert told.news.empty()


def test_a_recording_that_pauses_is_closed_at_once():
    told = Told()
    recorder = Recorder(Full(), never, told, retry_seconds=3600)
    recorder.call_ended(ok(b"0"))
    told.next()
    recorder.close()
    assert not recorder._thread.is_alive()


def test_a_fault_that_is_none_of_the_disk_ends_the_recording():
    class Broken(Kept):
        def record(self, model, pieces):
            raise ValueError("no record")

    failures = Told()
    recorder = Recorder(Broken(), failures, never)
    recorder.call_ended(ok(b"0"))
    assert failures.next() == "no record"
    assert recorder.paused
    recorder.call_ended(ok(b"1"))
    recorder.close()
    assert recorder.counts == {"request": 0, "refusal": 0, "dropped": 1}
