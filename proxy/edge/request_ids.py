"""
By what a call is known to whoever looks into it: an id that client and proxy have in common, and what the client is.

Law: pure functions over values of metadata; what they hold is cut to size and made of letters that no log, header or
page takes for more than that.
"""

import os
import re
from typing import Final

from proxy.core.explain import printable
from proxy.observe.outcome import Outcome

REQUEST_ID: Final = "x-request-id"
"""Metadata of a request by which its client knows it, and trailing metadata of what the proxy says of it."""

TRACEPARENT: Final = "traceparent"
TRACESTATE: Final = "tracestate"

_WELL_FORMED: Final = re.compile(r"[A-Za-z0-9._~:/+=@,-]{1,100}").fullmatch
# W3C Trace Context §3.2: a later version may say more behind what this one says.
_PARENT: Final = re.compile(
    r"(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"|(?!00|ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)"
).fullmatch
_LONGEST_PARENT: Final = 256
"""A version that there may be some day says more than 55 characters, and none a page; as who traces has it."""
_LONGEST_AGENT: Final = 128


def trace_id(traceparent: str) -> str:
    """The trace that a request belongs to; "" where `traceparent` is none, or none that may be used."""
    found = _PARENT(traceparent) if len(traceparent) <= _LONGEST_PARENT else None
    return "" if found is None else found[1] or found[2]


def is_told_of(outcome: Outcome) -> bool:
    """Whether a call that is over is one that someone may look into: it failed, or something was found."""
    return bool(outcome.code or outcome.warnings or outcome.would_refuse or outcome.judge_failed)


def identify(outcome: Outcome, given: str, traceparent: str, user_agent: str) -> None:
    """Give the call the id that its client gave it, else that of its trace, else a new one."""
    trace = outcome.trace.trace_id if outcome.trace is not None else trace_id(traceparent)
    outcome.request_id = given if _WELL_FORMED(given) else trace or os.urandom(16).hex()
    outcome.user_agent = printable(user_agent[:_LONGEST_AGENT])
