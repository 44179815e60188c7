"""Answers of the admin port that are made up, for what `top` makes of them."""

from datetime import UTC, datetime, timedelta

from proxy.cli.top_cursor import Answers, Cursor
from proxy.cli.top_screen import screen

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
AGO = (NOW - timedelta(minutes=3)).isoformat()
COUNTS = {"requests": 10, "refused": 2, "would_refuse": 0, "warnings": 0, "errors": 1}
TIMES = {
    "p50": 0.0004,
    "p99": 0.02,
    "upstream_p50": 0.0003,
    "upstream_p99": 1.5,
    "own_p50": None,
    "own_p99": None,
}


def problem(number: int, **fields) -> dict:
    return {
        "id": f"{number:012x}",
        "kind": "refusal",
        "model": "detector",
        "reason": "RANK_MISMATCH",
        "field": f'inputs["x{number}"]',
        "signature": "serving_default",
        "version": 3,
        "code": "INVALID_ARGUMENT",
        "count": 100 - number,
        "first_seen": AGO,
        "last_seen": AGO,
        "sparkline": [0] * 59 + [100 - number],
        "expected": "rank 2 [?,3]",
        "got": "rank 1 [3]",
        "hint": "",
        "remedy": "Send the rank of the signature.",
        "runbook": "docs/runbook.md#rank_mismatch",
        "senders": [
            {
                "peer": "ipv4:192.0.2.1",
                "identity": "team-a",
                "user_agent": "grpc-go",
                "count": 5,
                "last_seen": AGO,
            }
        ],
        "more_senders": 4,
        "examples": [
            {
                "time": AGO,
                "peer": "ipv4:192.0.2.1:1",
                "request_id": "abc-1",
                "inputs": {"x": "float32[3]"},
                "text": "what the client was told " * 20,
            }
        ],
        **fields,
    }


def answers(problems=(), models=(), points=1, rates=None, **status) -> Answers:
    return Answers(
        {
            "version": "1.2.3",
            "state": "ready",
            "started": AGO,
            "listen": "127.0.0.1:8600",
            "edge": "native",
            "hot_path": "compiled",
            "upstreams": [{"address": "tfs:8500", "state": "up", "since": AGO, "detail": ""}],
            "checks": [],
            "bounds": [{"name": "inflight_bytes", "used": 1 << 29, "limit": 1 << 30}],
            "in_flight": 2,
            "counts": COUNTS,
            "capture": {"on": False, "paused": False},
            **status,
        },
        {"step_seconds": 15, "points": [{**COUNTS, **TIMES}] * points},
        {"total": len(problems), "problems": list(problems)},
        list(models),
        rates or {},
    )


MODEL = {
    "name": "detector",
    "versions": [
        {"version": 2, "state": "AVAILABLE", "error": ""},
        {"version": 3, "state": "END", "error": "Read less bytes"},
    ],
    "latency": {"p50": 0.002, "p99": 0.25},
    "drifts": [{"to_version": 2, "affected": [{}, {}]}],
}


def shown(
    found: Answers, cursor: Cursor | None = None, width: int = 80, height: int = 24, trouble: str = ""
) -> str:
    return screen(found, cursor or Cursor(), trouble, NOW, width, height).plain
