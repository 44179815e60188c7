"""
Cut-through, as switches do it: a judged message flows on while the rest of it arrives.

Law: counts octets and holds back what must not pass yet: the tail behind the last payload, and at least the last
octet, until the message has been judged as a whole and by what is known once it is there: how long it takes to come
is the client's choice. Does no I/O; what is decided is `judgement`'s.
"""

from typing import Final, final

from proxy.edge.load import are_few
from proxy.edge.native.http2.stream import Buffer, keep
from proxy.gate import Admit, Glimpse
from proxy.wire.push import PushScanner

LEAST: Final = 512 << 10
"""Octets of a message below which waiting for all of it costs less processor time: by a third at 270 KB."""
LEAST_OF_FEW: Final = 64 << 10
"""…and where there is time to spare, because few calls are under way: what flows is there sooner."""


def least(calls: int) -> int:
    """Octets of a message from which on it flows, with so many calls under way."""
    return LEAST_OF_FEW if are_few(calls) else LEAST


@final
class CutThrough:
    """The state of one such message."""

    __slots__ = ("credit", "decision", "held_back", "known", "rest", "scanner", "sent")

    def __init__(self, scanner: PushScanner, arrived: int, decision: Admit) -> None:
        # By which it flows.
        self.decision = decision
        # None once nothing is left to judge.
        self.scanner: PushScanner | None = scanner
        # What is known of the message, for as long as it may have to be judged again.
        self.known = Glimpse(scanner)
        # Octets of the message still to come.
        self.rest = scanner.size - scanner.seen
        self.held_back: list[Buffer] = []
        # Octets that the client may send again already although they have not been passed on.
        self.credit = arrived
        # Octets passed on that still count as held.
        self.sent = 0

    def is_seen_with(self, size: int) -> bool:
        """Whether `size` octets more make a message whole of which nothing is left to be seen or held back."""
        scanner = self.scanner
        return scanner is not None and not scanner.tail and self.rest <= size and not self.held_back

    def take(self, pieces: list[Buffer], size: int) -> list[Buffer]:
        """Take pieces of `size` octets as they come; return what of them may pass on now."""
        scanner = self.scanner
        if scanner is None:
            self.rest -= size
            return pieces
        free = max(0, self.rest - (scanner.tail or 1))
        if self.rest >= size:
            scanner.feed(*pieces)
        elif self.rest > 0:
            scanner.feed(*divide(pieces, self.rest)[0])
        self.rest -= size
        if not self.held_back and size <= free:
            return pieces
        passing, held = divide(pieces, free)
        for piece in held:
            keep(self.held_back, piece)
        return passing

    def let_go(self) -> list[Buffer]:
        """Everything that was held back; from now on all passes."""
        self.scanner = None
        pieces, self.held_back = self.held_back, []
        # What waits in a queue must not grow any more.
        return [bytes(piece) if type(piece) is bytearray else piece for piece in pieces]

    def passed(self, count: int) -> int:
        """So many octets went on; return how many of them the client may send again."""
        self.sent += count
        credit = min(count, self.credit)
        self.credit -= credit
        return count - credit

    def again(self) -> None:
        """All is sent anew from the start."""
        self.credit += self.sent
        self.sent = 0


def divide(pieces: list[Buffer], count: int) -> tuple[list[Buffer], list[Buffer]]:
    """Divide pieces behind the first `count` octets."""
    for number, piece in enumerate(pieces):
        size = len(piece)
        if size > count:
            view = memoryview(piece)
            before = pieces[:number]
            if count:
                before.append(view[:count])
            return before, [view[count:], *pieces[number + 1 :]]
        count -= size
    return pieces, []
