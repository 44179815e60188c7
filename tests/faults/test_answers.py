"""A server that answers one call wrongly, frame by frame: what that call sees, what all others see, what the page says.

Law: the matrix is the table; what each fault is stands in `server.py` under the same name. What one call's answer does
to a stream is nobody else's business; what it does to the connection ends the calls on it, and those alone.
"""

import asyncio
from dataclasses import dataclass

import pytest

from tests.conftest import EXPLORE
from tests.faults.ground import Ground, marked, tell
from tests.faults.server import FAULT, FAULTS
from tests.safety.clients import channel_to

DEADLINE = 0.7
"""Of calls that nothing else ends; `LONGEST` is what all others may take."""
LONGEST = 4.0


@dataclass(frozen=True)
class Odd:
    """What a client is told of an answer: status, and the reason that metrics and page count ("" where none is known).

    `grpcio` where gRPC's core reads it otherwise, as a client of that core does without a proxy. `whole`: it takes the
    connection with it.
    """

    told: str
    reason: str = ""
    grpcio: tuple[str, str] | None = None
    whole: bool = False

    def on(self, edge: str) -> tuple[str, str]:
        return self.grpcio if edge == "grpcio" and self.grpcio is not None else (self.told, self.reason)


NOT_GRPC, RESET = "UPSTREAM_NOT_GRPC", "UPSTREAM_RESET"
READ_ON = ("DEADLINE_EXCEEDED", "")
"""gRPC's core takes no notice, and the rest of the answer never comes."""

MATRIX = {
    # trailers
    "trailers-without-status": Odd("UNKNOWN", NOT_GRPC),
    "trailers-with-two-statuses": Odd("INTERNAL", grpcio=("INTERNAL", "REQUEST_MALFORMED")),
    "status-not-a-number": Odd("UNKNOWN", NOT_GRPC, grpcio=("INTERNAL", NOT_GRPC)),
    "status-empty": Odd("UNKNOWN", NOT_GRPC, grpcio=("INTERNAL", NOT_GRPC)),
    "status-negative": Odd("UNKNOWN", NOT_GRPC, grpcio=("INTERNAL", NOT_GRPC)),
    "status-unknown": Odd("UNKNOWN"),
    "message-of-bad-percents": Odd("FAILED_PRECONDITION"),
    "message-of-bad-utf8": Odd("FAILED_PRECONDITION"),
    "message-of-raw-octets": Odd("FAILED_PRECONDITION"),
    "details-not-base64": Odd("INTERNAL", grpcio=("INTERNAL", NOT_GRPC)),
    "pseudo-field-in-trailers": Odd("INTERNAL", NOT_GRPC, grpcio=("OK", "")),
    "field-in-capitals": Odd("INTERNAL", NOT_GRPC, grpcio=("INTERNAL", "")),
    "trailers-too-large": Odd("RESOURCE_EXHAUSTED"),
    # heads and messages
    "nothing": Odd("UNKNOWN", NOT_GRPC),
    "nothing-behind-a-message": Odd("UNKNOWN", NOT_GRPC),
    "other-content-type": Odd("UNKNOWN", NOT_GRPC),
    "http-503": Odd("UNAVAILABLE", NOT_GRPC),
    "no-http-status": Odd("INTERNAL", NOT_GRPC, grpcio=("INTERNAL", "")),
    "status-ok-without-message": Odd("OK", grpcio=("INTERNAL", "")),
    "head-and-status-ok-without-message": Odd("OK", grpcio=("INTERNAL", "")),
    "message-cut-short": Odd("UNKNOWN", NOT_GRPC),
    "message-cut-short-and-status-ok": Odd("OK", grpcio=("INTERNAL", "")),
    "message-of-4-gigabytes": Odd("UNKNOWN", NOT_GRPC),
    "message-with-unknown-flag": Odd("UNKNOWN", NOT_GRPC),
    "message-compressed-without-encoding": Odd("INTERNAL"),
    "two-messages": Odd(*READ_ON),
    "data-behind-the-end": Odd("OK"),
    "octet-by-octet": Odd("OK"),
    "silence": Odd(*READ_ON),
    "silence-in-the-middle": Odd(*READ_ON),
    # ends
    "reset-no-error": Odd("INTERNAL", RESET),
    "reset-internal-error": Odd("INTERNAL", RESET),
    "reset-refused-stream": Odd("UNAVAILABLE", RESET),
    "reset-cancel": Odd("CANCELLED", RESET),
    "reset-enhance-your-calm": Odd("RESOURCE_EXHAUSTED", RESET),
    "answer-before-goaway": Odd("OK"),
    "cut-by-fin": Odd("UNAVAILABLE", RESET, whole=True),
    "cut-by-rst": Odd("UNAVAILABLE", RESET, whole=True),
    "goaway-with-error": Odd("UNAVAILABLE", RESET, whole=True),
    # what is not HTTP/2
    "noise": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("UNKNOWN", NOT_GRPC), whole=True),
    "random-frames": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("UNKNOWN", NOT_GRPC), whole=True),
    "http1-in-the-middle": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("UNKNOWN", NOT_GRPC), whole=True),
    "broken-hpack": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("INTERNAL", NOT_GRPC), whole=True),
    "unknown-index": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("INTERNAL", NOT_GRPC), whole=True),
    "unfinished-head": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("UNKNOWN", NOT_GRPC), whole=True),
    "frame-too-large": Odd("INTERNAL", NOT_GRPC, grpcio=READ_ON),
    "data-on-no-stream": Odd("UNAVAILABLE", NOT_GRPC, grpcio=READ_ON, whole=True),
    "head-of-a-stream-that-nobody-opened": Odd("UNAVAILABLE", NOT_GRPC, grpcio=READ_ON, whole=True),
    "push-promise": Odd("UNAVAILABLE", NOT_GRPC, grpcio=READ_ON, whole=True),
    "window-overflow": Odd("UNAVAILABLE", NOT_GRPC, grpcio=READ_ON, whole=True),
    "settings-out-of-range": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("UNKNOWN", NOT_GRPC), whole=True),
    "endless-head": Odd(
        "UNAVAILABLE", "UPSTREAM_METADATA_TOO_LARGE", grpcio=("RESOURCE_EXHAUSTED", ""), whole=True
    ),
    # what is said of whole connections
    "windows-shut-and-opened": Odd("OK"),
    "no-table-and-a-huge-one": Odd("OK"),
    "frames-of-16-megabytes": Odd("OK"),
    "heads-of-nothing-for-a-while": Odd("OK"),
    "goaway-of-nobody-twice": Odd("OK"),
    "flood-of-settings": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("OK", ""), whole=True),
    "flood-of-pings": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("OK", ""), whole=True),
    "flood-of-unknown-frames": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("OK", ""), whole=True),
    "flood-of-empty-data": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("UNKNOWN", NOT_GRPC), whole=True),
    "flood-of-resets": Odd("CANCELLED", RESET),
    "http-status-twice": Odd("INTERNAL", NOT_GRPC, grpcio=("OK", "")),
    "line-break-in-a-trailer": Odd("INTERNAL", NOT_GRPC, grpcio=("INTERNAL", "")),
    "table-larger-than-allowed": Odd("UNAVAILABLE", NOT_GRPC, grpcio=("INTERNAL", NOT_GRPC), whole=True),
}

LIKE_OTHERS = {
    *("frames-of-16-megabytes", "flood-of-settings", "flood-of-unknown-frames", "flood-of-resets"),
    *(
        "http-status-twice",
        "line-break-in-a-trailer",
        "table-larger-than-allowed",
        "no-table-and-a-huge-one",
    ),
    *("goaway-of-nobody-twice", "heads-of-nothing-for-a-while"),
    *(
        "status-empty",
        "status-negative",
        "message-of-raw-octets",
        "nothing-behind-a-message",
        "no-http-status",
    ),
    *("head-and-status-ok-without-message", "message-of-4-gigabytes", "message-with-unknown-flag"),
    *("reset-no-error", "reset-enhance-your-calm", "http1-in-the-middle", "unknown-index", "unfinished-head"),
    *("data-on-no-stream", "head-of-a-stream-that-nobody-opened", "window-overflow", "settings-out-of-range"),
}
"""What adds little to the rest of the matrix is left to `make trust`."""

OF_THE_CONNECTION = {
    (code, reason)
    for code in ("UNAVAILABLE", "UNKNOWN", "INTERNAL")
    for reason in (RESET, NOT_GRPC, "UPSTREAM_METADATA_TOO_LARGE")
}
"""What those may be told whose call was on a connection that ends."""


def test_the_matrix_has_every_fault_that_the_server_knows():
    assert MATRIX.keys() == FAULTS.keys() - {""}


@pytest.mark.parametrize("name", [name for name in MATRIX if EXPLORE or name not in LIKE_OTHERS])
async def test_an_answer_that_is_wrong(odd: Ground, name: str):
    fault = MATRIX[name]
    code, reason = fault.on(odd.edge)
    counted = await asyncio.to_thread(odd.errors, reason)
    hangs = code == "DEADLINE_EXCEEDED"
    standing = odd.disturbed(OF_THE_CONNECTION, LONGEST) if fault.whole else odd.undisturbed()
    async with standing, channel_to(odd.proxy.target) as channel:
        how = {"metadata": ((FAULT, name),), "timeout": DEADLINE if hangs else 10}
        told = await tell(channel, marked(b"of this call"), **how)
        assert told.code == code, told
        assert told.seconds < LONGEST, told
        if reason:
            assert told.reason in {reason, "unreadable"}, told
            await odd.tells(reason, counted)
