import json
from datetime import UTC, datetime, timedelta

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, TensorView
from proxy.core.verdict import Verdict, Violation
from proxy.observe.outcome import Outcome
from proxy.observe.refusals import RecentRefusals
from tests.observe.ended import ended

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def refused(**fields) -> Outcome:
    violation = Violation(
        Reason.RANK_MISMATCH, 'inputs["x"]', "input 'x'", "[?,3]", "[3]", "add a batch dimension"
    )
    view = RequestView(ModelKey("m"), "", (TensorView("x", 1, (3,)),), ("y",))
    return ended(
        "/tensorflow.serving.PredictionService/Predict",
        **{
            "code": 3,
            "peer": "127.0.0.1:5000",
            "request_id": "r-1",
            "user_agent": "grpc-go/1.80",
            "model": "m",
            "version": 4,
            "signature": "serving_default",
            "refusal": Verdict((violation,)),
            "request": view,
            "text": "1 problem: …",
            **fields,
        },
    )


def test_a_refusal_is_remembered_with_names_dtypes_shapes_and_reasons():
    ring = RecentRefusals(clock=lambda: NOON)
    ring.call_ended(refused(identity="batch"))
    (refusal,) = [each.as_json() for each in ring]
    assert refusal == {
        "time": "2026-01-02T12:00:00.000+00:00",
        "peer": "127.0.0.1:5000",
        "method": "/tensorflow.serving.PredictionService/Predict",
        "code": "InvalidArgument",
        "model": "m",
        "version": 4,
        "signature": "serving_default",
        "violations": (
            {
                "reason": "RANK_MISMATCH",
                "field": 'inputs["x"]',
                "expected": "[?,3]",
                "got": "[3]",
                "hint": "add a batch dimension",
            },
        ),
        "inputs": {"x": "float32[3]"},
        "outputs": ("y",),
        "text": "1 problem: …",
        "identity": "batch",
        "request_id": "r-1",
        "user_agent": "grpc-go/1.80",
    }


def test_what_was_not_refused_is_not_remembered():
    ring = RecentRefusals()
    ring.call_ended(refused(refusal=None))
    assert len(ring) == 0


def test_the_newest_come_first_and_the_oldest_are_forgotten():
    ring = RecentRefusals(entries=2)
    for text in ("one", "two", "three"):
        ring.call_ended(refused(text=text))
    assert [refusal.text for refusal in ring] == ["three", "two"]


def test_an_unconfirmed_model_is_shown_as_the_client_named_it():
    ring = RecentRefusals()
    ring.call_ended(refused(model=None, signature=""))
    assert next(iter(ring)).model == "m"


def test_a_refusal_without_a_readable_request_is_remembered_too():
    ring = RecentRefusals()
    ring.call_ended(refused(model=None, request=None, signature=""))
    refusal = next(iter(ring))
    assert (refusal.model, refusal.inputs) == ("", {})


def test_an_entry_is_bounded_whatever_the_client_sends():
    long = "x" * 1_000_000
    tensors = tuple(TensorView(f"{n}{long}", 1, (1,) * 10_000) for n in range(50))
    view = RequestView(ModelKey(long), long, tensors, (long,) * 500)
    violations = tuple(Violation(Reason.RANK_MISMATCH, long, long, long, long, long) for _ in range(500))
    ring = RecentRefusals()
    ring.call_ended(
        ended(long, code=3, peer=long, signature=long, text=long, request=view, refusal=Verdict(violations))
    )
    assert len(json.dumps(next(iter(ring)).as_json())) < 32_000


def test_the_refusals_of_the_last_minutes_are_counted_and_those_of_the_client_with_the_most():
    now = NOON
    ring = RecentRefusals(clock=lambda: now)
    ring.call_ended(refused(peer="ipv4:192.0.2.9:1"))
    now += timedelta(minutes=6)
    assert ring.recent() == (0, 0)
    for peer in ("ipv4:192.0.2.1:1", "ipv4:192.0.2.1:2", "ipv6:[::1]:7", "unix:", "ipv4:192.0.2.1:3"):
        ring.call_ended(refused(peer=peer))
    assert ring.recent() == (5, 3)
    now += timedelta(minutes=4)
    ring.call_ended(refused(peer="unix:"))
    assert ring.recent() == (6, 3)
    now += timedelta(minutes=2)
    assert ring.recent() == (1, 1)


def test_no_more_refusals_are_counted_than_are_remembered():
    ring = RecentRefusals(entries=3, clock=lambda: NOON)
    for number in range(100):
        ring.call_ended(refused(peer=f"ipv4:192.0.2.{number}:1"))
    assert ring.recent() == (3, 1)
