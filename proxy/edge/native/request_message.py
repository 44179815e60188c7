"""
The message of a request that is judged, in the pieces in which it comes.

Law: takes room for it as it arrives, within what the proxy may hold; says when it is whole, when a long one shows
something worth judging, and what it is made of. Judges nothing.
"""

from typing import Final, final

from proxy.core.verdict import Verdict
from proxy.edge.native.cut_through import divide, least
from proxy.edge.native.http2.stream import Buffer, keep_all, pins_much
from proxy.edge.native.ledger import Ledger
from proxy.edge.native.plain_text import Compressed
from proxy.edge.native.rpc import PREFIX, Messages, RequestHead
from proxy.edge.native.server_side import ServerSide
from proxy.gate import PREDICT, Message
from proxy.wire.pieces import Pieces
from proxy.wire.push import PushScanner

_UNKNOWN: Final = 0


@final
class RequestMessage:
    """One message; what came of it is kept on the call's server side, which sends it on."""

    # Octets that it will have, with its prefix.
    _need = _UNKNOWN
    scanner: PushScanner | None = None
    """What reads a long one while it arrives."""
    shows_more = False
    """Whether the last that came of a long one is worth judging."""

    def __init__(self, head: RequestHead, server: ServerSide, ledger: Ledger) -> None:
        self._head = head
        self._server = server
        self._ledger = ledger

    @property
    def is_whole(self) -> bool:
        """Whether all of it is there."""
        return self._need != _UNKNOWN and self._server.size >= self._need

    @property
    def is_announced(self) -> bool:
        """Whether enough has come to tell how long it will be."""
        return self._need != _UNKNOWN

    def take(self, pieces: list[Buffer], size: int, *, ended: bool) -> Verdict | None:
        """
        Take what came, or say why there is no room for it.

        A message that cannot fit is refused at its first octets; what fits takes room as it arrives and not for
        what it announces, or a few octets could claim all the room there is.
        """
        server, ledger = self._server, self._ledger
        kept = server.kept
        assert kept is not None
        server.size = arrived = server.size + size
        first = pieces[0] if pieces else b""
        if ended and not kept and not (type(first) is memoryview and pins_much(first, size)):
            server.kept = kept = pieces
        else:
            keep_all(kept, pieces, size)
        need = self._need
        if need == _UNKNOWN:
            if arrived < PREFIX:
                return None
            start = kept[0] if len(kept[0]) >= PREFIX else b"".join(kept)
            self._need = need = PREFIX + int.from_bytes(start[1:PREFIX], "big")
            if arrived < need:
                full = ledger.hold(need - PREFIX)
                if full is not None:
                    return full
                ledger.release()
                if need >= least(ledger.calls) and self._head.method == PREDICT and not start[0]:
                    self.scanner = PushScanner(need - PREFIX)
                    _, pieces = divide(kept, PREFIX)
        full = ledger.hold(min(arrived, need) - PREFIX - ledger.held)
        if full is None and self.scanner is not None and arrived < need and not ended:
            self.shows_more = self.scanner.feed(*pieces)
            if self.scanner.gave_up:
                self.scanner = None
        return full

    def end(self, received: Messages) -> bool:
        """Count what came, now that no more of it is waited for; whether it is whole."""
        server, need = self._server, self._need
        size = server.size
        if size == need:
            received.count, received.octets = 1, self._ledger.held
        else:
            assert server.kept is not None
            received.feed(server.kept, size)
        return need != _UNKNOWN and size >= need

    def plain(self) -> Message | None:
        """A whole message, for the gate; None where it is compressed."""
        pieces = self._server.kept
        assert pieces is not None
        if pieces[0][0]:
            return None
        size = self._need - PREFIX
        # Short ones as they are, long ones without a copy.
        if len(pieces) == 1:
            octets: bytes | Pieces = bytes(pieces[0][PREFIX : PREFIX + size])
        elif len(pieces[0]) < PREFIX:
            octets = b"".join(pieces)[PREFIX : PREFIX + size]
        else:
            octets = Pieces(pieces, PREFIX, size)
        return Message(self._head.method, octets)

    def joined(self, octets: Pieces) -> None:
        """Keep a message that was put together in the place of what it came in, which is not needed any more."""
        pieces = self._server.kept
        if octets.joined is not None and self._server.size == self._need and pieces:
            pieces[:] = [bytes(pieces[0][:PREFIX]), octets.joined]

    def compressed(self, limit: int) -> Compressed:
        """A whole message that is compressed; `limit` as for `Inflation`."""
        pieces = self._server.kept
        assert pieces is not None
        size = self._need - PREFIX
        # What is looked at beside other calls must not be what may grow.
        still: list[Buffer] = [bytes(each) if type(each) is bytearray else each for each in pieces]
        _, behind = divide(still, PREFIX)
        return Compressed(divide(behind, size)[0], size, pieces[0][0], self._head.encodings, limit)
