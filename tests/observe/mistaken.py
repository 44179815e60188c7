"""Calls with mistakes, for whatever counts and shows them."""

from datetime import UTC, datetime, timedelta

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, TensorView
from proxy.core.verdict import Verdict, Violation
from tests.observe.ended import ended

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PREDICT = "/tensorflow.serving.PredictionService/Predict"
VIEW = RequestView(ModelKey("m"), "", (TensorView("x", 1, (3,)),), ("y",))


def violation(field: str = 'inputs["x"]', reason: Reason = Reason.RANK_MISMATCH, **more) -> Violation:
    return Violation(
        reason, field, more.get("where", "input 'x'"), "rank 2 [?,3]", "rank 1 [3]", "add a batch dimension"
    )


def call(*violations: Violation, **fields):
    return ended(
        PREDICT,
        **{
            "code": 3,
            "peer": "ipv4:192.0.2.1:5000",
            "model": "m",
            "version": 4,
            "signature": "serving_default",
            "refusal": Verdict(violations or (violation(),)),
            "request": VIEW,
            "text": "what the client was told",
            **fields,
        },
    )


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **time: float) -> None:
        self.now += timedelta(**time)
