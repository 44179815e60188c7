"""
When we may reset streams of a server, and which of those that have to wait is next.

A server ends a connection on which too many streams are reset (CVE-2023-44487), and ours carries the calls of all
clients. So what clients cancel, and what runs out of time, is reset at a pace that no known server takes for an
attack; a stream whose turn has not come is drained (see `drain`), and if the server ends it first, nothing need be
sent.

Law: numbers and turns, no clock and no I/O; of a client only a number is known.

Limits of servers, for one connection (read in their sources):

- Netty: 200 RST_STREAM in 30 s (`Http2ConnectionHandler` builders, `decoderEnforceMaxRstFramesPerWindow(200, 30)`);
- nghttp2: 1000, and 33 more each second (`NGHTTP2_DEFAULT_STREAM_RESET_BURST`, `…_RATE`);
- Envoy: half of all streams, or 250 of the first 500, reset less than a second after they began
  (`overload.premature_reset_total_stream_count`, `…_min_stream_lifetime_seconds`);
- h2 for Rust: 20 streams reset before the application has taken them (`DEFAULT_REMOTE_RESET_STREAM_MAX`);
- gRPC's C core, in TensorFlow Serving, and Go: none on resets as such.
"""

from collections.abc import Iterator
from math import inf
from typing import Final, final

BURST: Final = 20.0
"""Resets that go out at once; what h2 for Rust allows."""
CREDIT: Final = 0.5
"""Resets earned by each stream that ran to its end: fewer than half of all, as Envoy demands…"""
EARNED_RATE: Final = 3.0
"""…and how many may be earned in a second. With those below 6: 20 + 30 * 6 are the 200 in 30 s of Netty."""
AGED_RATE: Final = 3.0
"""Resets in a second of streams that have waited for `AGE`, whatever was earned."""
AGE: Final = 1.0
"""Seconds after which Envoy takes a reset for no sign of an attack. Also how often `due` is to be asked."""
SHARE: Final = 5
"""Resets in a second that go out at once for one client: what it cancels beyond waits, not the others'."""
WORN: Final = 4096
"""Resets that wait on a connection beyond which another takes its place, some 2 MB: its end does for all of them.
So does half of the streams that the server allows, since a stream that is drained is still one of them."""
MOST: Final = 2 * WORN
"""Beyond this nothing waits: memory is bounded, and another connection could not be had."""


@final
class Pacing:
    """The resets of one connection. Times are in seconds of the connection's clock, which may lag."""

    __slots__ = ("_earned", "_owners", "_since", "_spent", "_then", "_tokens", "_waiting")

    def __init__(self) -> None:
        self._tokens = BURST
        self._earned = 0
        self._then = -inf
        # Resets that went out at once, by client, since `_since`.
        self._spent: dict[int, int] = {}
        self._since = -inf
        # What waits: by client, stream → code and since when; and whose a stream is.
        self._waiting: dict[int, dict[int, tuple[int, float]]] = {}
        self._owners: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._owners

    def may_go(self, owner: int, now: float, completed: int) -> bool:
        """Whether a stream may be reset at once; `completed` counts the streams that ran to their end."""
        self._refill(now, completed)
        if len(self._owners) >= MOST:
            return True
        spent = self._spent.get(owner, 0)
        if self._tokens < 1 or spent >= SHARE or owner in self._waiting:
            return False
        self._tokens -= 1
        self._spent[owner] = spent + 1
        return True

    def wait(self, stream_id: int, code: int, owner: int, now: float) -> None:
        """Let a reset wait for its turn among those of its client."""
        owner = self._owners.setdefault(stream_id, owner)
        self._waiting.setdefault(owner, {}).setdefault(stream_id, (code, now))

    def drop(self, stream_id: int) -> None:
        """Forget a reset that is not needed any more."""
        owner = self._owners.pop(stream_id, None)
        if owner is not None:
            waiting = self._waiting[owner]
            del waiting[stream_id]
            if not waiting:
                del self._waiting[owner]

    def due(self, now: float, completed: int) -> Iterator[tuple[int, int]]:
        """Take what may go out now, as stream and code: the oldest of each client in its turn."""
        self._refill(now, completed)
        aged = AGED_RATE
        found = True
        while found:
            found = False
            for owner in list(self._waiting):
                stream_id, (code, since) = next(iter(self._waiting[owner].items()))
                if aged >= 1 and now - since >= AGE:
                    aged -= 1
                elif self._tokens >= 1:
                    self._tokens -= 1
                elif aged < 1:
                    return
                else:
                    continue
                found = True
                self.drop(stream_id)
                # Whoever had a turn is last the next time.
                if owner in self._waiting:
                    self._waiting[owner] = self._waiting.pop(owner)
                yield stream_id, code

    def _refill(self, now: float, completed: int) -> None:
        if now - self._since >= 1:
            self._since = now
            self._spent.clear()
        gained = min((completed - self._earned) * CREDIT, max(0.0, now - self._then) * EARNED_RATE)
        if now > self._then:
            self._tokens = min(BURST, self._tokens + gained)
            self._then = now
            self._earned = completed
