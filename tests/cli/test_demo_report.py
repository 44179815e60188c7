"""What the demonstration shows is counted and quoted from the answers, whatever they are."""

import numpy as np
import pytest

from proxy.cli.demo_report import show_metrics, show_rows, show_summary
from proxy.cli.tables import open_console
from proxy.core.reasons import Reason
from proxy.demo.comparison import Answer, Compared
from proxy.demo.requests import Sample
from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2, tensor_pb2


def request():
    message = predict_pb2.PredictRequest(output_filter=["y"])
    message.model_spec.name = "m"
    message.model_spec.version.value = 3
    message.model_spec.signature_name = "sig"
    message.inputs["x"].CopyFrom(tensor_of(np.zeros((2, 3), np.float32)))
    message.inputs["z"].CopyFrom(tensor_pb2.TensorProto())
    return message


def floats(*values: float) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=1, float_val=values)
    proto.tensor_shape.dim.add(size=len(values))
    return proto


GOOD = Sample("a good one", request)
WRONG = Sample("a wrong one", request, reason=Reason.RANK_MISMATCH)
OK = Answer("OK", outputs={"big": floats(1, 2, 3, 4, 5), "small": floats(0.5)})
REFUSED = Answer("INVALID_ARGUMENT", "bad rank. Model 'm' version 3 accepts ...", reasons=("RANK_MISMATCH",))


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a function prints, with each run of white space and lines as one blank."""
    monkeypatch.setenv("COLUMNS", "160")

    def show(function, *arguments) -> str:
        function(open_console(), *arguments)
        return " ".join(capsys.readouterr().out.replace("|", " ").split())

    return show


def row(sample=GOOD, alone=OK, proxied=OK) -> Compared:
    return Compared(sample, sample.build(), alone, proxied)


def test_what_was_sent_is_read_off_the_request(shown):
    text = shown(show_rows, [row()])
    assert "1. a good one" in text
    # Cells stand beside each other; this one is two lines long.
    assert "m:3(x: float32[2,3], z: no dtype []), signature sig," in text


def test_of_the_outputs_the_smallest_is_shown(shown):
    assert "small [1] = 0.5; 1 more outputs" in shown(show_rows, [row()])


def test_a_long_output_is_cut(shown):
    answer = Answer("OK", outputs={"big": floats(1, 2, 3, 4, 5)})
    assert "big [5] = 1, 2, 3, ..." in shown(show_rows, [row(alone=answer)])


def test_an_answer_without_a_text_says_so(shown):
    assert "(no text)" in shown(show_rows, [row(alone=Answer("INTERNAL"))])


def test_a_servers_text_cannot_play_with_the_terminal(shown):
    text = shown(show_rows, [row(alone=Answer("INTERNAL", "[red]\x1b[31m\nsecond line"))])
    assert "[red]\\x1b[31m" in text
    assert "\x1b" not in text
    assert "second line" not in text


def test_a_refusal_is_shown_without_the_signature_at_its_end(shown):
    text = shown(show_rows, [row(WRONG, OK, REFUSED)])
    assert "INVALID_ARGUMENT RANK_MISMATCH" in text
    assert "bad rank. ..." in text
    assert "accepts ..." not in text


def test_the_summary_counts_what_happened(shown):
    dead = Answer("UNAVAILABLE", "Socket closed", death="killed by SIGABRT")
    text = shown(show_summary, [row(), row(WRONG, OK, REFUSED), row(WRONG, dead, REFUSED)], 7.4)
    assert "2 wrong requests: alone, the server accepted 1 without a word, died of 1 and refused 0;" in text
    assert "through the proxy 2 were refused with a reason, and it died of 0." in text
    assert "1 good: 1 answered alike on both ways. (7 s in all)" in text
    assert "Not as promised" not in text


def test_a_promise_not_kept_is_admitted(shown):
    text = shown(show_summary, [row(), row(WRONG, OK, OK), row(GOOD, OK, REFUSED)], 1.0)
    assert "through the proxy 0 were refused" in text
    assert "Not as promised: request 2 should have met with RANK_MISMATCH." in text
    assert "Not as promised: request 3 should have met with the server's own answer." in text


def test_metrics_with_many_series_are_summed_by_what_tells_most(shown):
    text = shown(
        show_metrics,
        {
            ("tfs_proxy_refusals_total", (("model", "a"), ("reason", "R"))): 1.0,
            ("tfs_proxy_refusals_total", (("model", "b"), ("reason", "R"))): 2.0,
            ("tfs_proxy_judge_failures_total", ()): 1.0,
        },
    )
    assert "tfs_proxy_refusals_total reason=R 3" in text
    assert "tfs_proxy_judge_failures_total 1" in text
