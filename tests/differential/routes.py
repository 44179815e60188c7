"""One call over every route, and what is the same.

Law: a call that the server was asked for by any proxy must look to both ends as it does without one; a call that a
proxy refused must be refused by each, octet by octet the same.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from tests.differential.planned import Planned, planned
from tests.differential.serving import ROUTE, SEED, Seen, Serving

DIRECT = "direct"
REQUEST_ID = ("x-request-id", "d-1")
"""A client that gives none gets one that no other call has."""
WARNING = "tfs-proxy-warning"
OF_FAILURES = {"grpc-status-details-bin", "tfs-proxy-diagnosis", "x-request-id"}
"""What a proxy may add to the trailers of a call that it let pass: a warning; and what a failure means."""


@dataclass(frozen=True)
class Heard:
    """Everything that both ends know of a call. `seen`: the calls whose messages came to the server."""

    messages: list[bytes]
    code: grpc.StatusCode
    text: str
    initial: Any
    trailing: Any
    seen: list[Seen] = field(default_factory=list)


class Routes:
    """Channels by name, DIRECT among them, to one server."""

    def __init__(self, serving: Serving, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._serving = serving
        self._channels = channels

    async def compare(self, seed: int) -> tuple[str, list[str]]:
        """Ask over every route; how it ended (`admitted`, `refused` or `slow`), and what differed."""
        call = planned(seed)
        names = list(self._channels)
        answers = await asyncio.gather(*(self._ask(name, seed, call) for name in names))
        heard = dict(zip(names, answers, strict=True))
        direct = heard.pop(DIRECT)
        refused = [name for name, each in heard.items() if not each.seen]
        ended = "slow" if call.slow else "refused" if refused else "admitted"
        if call.slow:
            # On a busy machine even a refusal may come too late for some.
            heard = {
                name: each
                for name, each in heard.items()
                if each.code is not grpc.StatusCode.DEADLINE_EXCEEDED
            }
        wrong = _unlike({name: _facts(call, each) for name, each in heard.items()})
        if not refused:
            for name, each in heard.items():
                wrong += _differences(call, direct, each, name)
        return ended, [f"seed {seed}: {call.kind} {call.method}: {each}" for each in wrong]

    async def _ask(self, name: str, seed: int, call: Planned) -> Heard:
        metadata = ((SEED, str(seed)), (ROUTE, name), REQUEST_ID, *call.metadata)
        asked = getattr(self._channels[name], call.kind)(call.method)
        request: Any = iter(call.messages) if call.kind.startswith("stream") else call.messages[0]
        under_way = asked(request, metadata=metadata, timeout=call.timeout, compression=call.compression)
        messages: list[bytes] = []
        try:
            if call.kind.endswith("stream"):
                async for message in under_way:
                    messages.append(message)  # noqa: PERF401 - what came before a failure counts
            else:
                messages.append(await under_way)
        except grpc.aio.AioRpcError:
            pass
        heard = Heard(
            messages,
            await under_way.code(),
            await under_way.details() or "",
            tuple(map(tuple, await under_way.initial_metadata() or ())),
            tuple(map(tuple, await under_way.trailing_metadata() or ())),
        )
        # Whether a handler has begun before a call is refused is a matter of luck; a message it never got.
        heard.seen.extend(
            each
            for each in self._serving.seen.pop((seed, name), [])
            if each.messages or heard.code is grpc.StatusCode.OK
        )
        return heard


def _facts(call: Planned, heard: Heard) -> dict[str, Any]:
    """What must be the same for every proxy."""
    facts = {
        "messages": heard.messages,
        "code": heard.code,
        "text": heard.text,
        "initial": heard.initial,
        "trailing": heard.trailing,
        "seen": heard.seen,
    }
    if call.kind.endswith("stream") and not heard.messages:
        # grpc.aio, on either side, takes initial metadata for empty when it learns of the status first.
        del facts["initial"]
    if heard.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        # What is said of a deadline tells how long the call took; what had come of it is a matter of luck.
        for name in ("text", "initial", "trailing", "seen"):
            facts.pop(name, None)
    return facts


def _unlike(found: Mapping[str, dict[str, Any]]) -> list[str]:
    if not found:
        return []
    (first, one), *others = found.items()
    return [
        f"{fact}: {first} {_short(one.get(fact))}, {name} {_short(other.get(fact))}"
        for name, other in others
        for fact in one.keys() | other.keys()
        if one.get(fact) != other.get(fact)
    ]


def _differences(call: Planned, direct: Heard, heard: Heard, name: str) -> list[str]:
    """Between no proxy and one that let the call pass."""
    one, other = _facts(call, direct), _facts(call, heard)
    if "trailing" in other:
        other["trailing"] = tuple(pair for pair in heard.trailing if pair[0] != WARNING)
    if direct.code is not grpc.StatusCode.OK and direct.code is heard.code:
        # A failure is explained: the server's own words stand in it.
        if "text" in other and direct.text not in heard.text:
            return [f"text: {DIRECT} {direct.text!r}, {name} {heard.text!r}"]
        one.pop("text", None), other.pop("text", None)
        if "trailing" in one:
            other["trailing"] = tuple(pair for pair in other["trailing"] if pair[0] not in OF_FAILURES)
    return _unlike({DIRECT: one, name: other})


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 120 else f"{text[:120]}… ({len(text)})"
