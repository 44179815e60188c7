"""Which requests are like one that was decided on before: clients repeat themselves, and their mistakes.

Law: what is remembered holds no payload, and is bounded whatever clients invent. Says only what was decided and on
what grounds; whether those still hold is the gate's to ask.
"""

from typing import Final, NamedTuple, final

from proxy.core.types import ModelKey, Servable
from proxy.gate.decision import Decision
from proxy.wire.pieces import Pieces
from proxy.wire.skeleton import Key, Skeleton, key_of, skeleton_of

MOST: Final = 4096
"""Kinds of request that are remembered…"""
MOST_OCTETS: Final = 32 << 20
"""…and the octets of memory that they all take. Whoever came first goes first."""

_A_KIND: Final = 1024
_A_FIELD: Final = 512
"""Octets of memory that a kind of request takes, and each input and output of it, as measured: what is remembered and
what was read and decided."""


class Precedent(NamedTuple):
    """A request that was decided on without a look at its values, and on what grounds."""

    skeleton: Skeleton
    key: ModelKey
    servable: Servable
    decision: Decision


@final
class Repetition:
    """PredictRequests that came twice, of `most` kinds: of a third, only the payload is new."""

    def __init__(self, most: int = MOST, most_octets: int = MOST_OCTETS) -> None:
        self._most = most
        self._most_octets = most_octets
        self._once: dict[Key, None] = {}
        # None: it has no skeleton.
        self._twice: dict[Key, Precedent | None] = {}
        self._octets = 0

    def __len__(self) -> int:
        return len(self._twice)

    def of(self, message: bytes | Pieces) -> Precedent | None:
        """The request before that was the same but for its payloads and the order of its inputs."""
        key = key_of(message)
        if key is None:
            return None
        precedent = self._twice.get(key)
        return precedent if precedent is not None and precedent.skeleton.fits(message) else None

    def remember(self, message: bytes, key: ModelKey, servable: Servable, decision: Decision) -> None:
        """Note what was decided on a message, and from its second time on, how to know it again."""
        seen = key_of(message)
        if seen is None:
            return
        if seen in self._twice:
            known = self._twice[seen]
            if known is None or known.servable is servable:  # it has no skeleton, or several share a key
                return
        elif seen in self._once:
            del self._once[seen]
        else:
            if len(self._once) >= self._most:
                del self._once[next(iter(self._once))]
            self._once[seen] = None
            return
        self._drop(seen)
        skeleton = skeleton_of(message)
        self._twice[seen] = None if skeleton is None else Precedent(skeleton, key, servable, decision)
        self._octets += _octets(seen, skeleton)
        while len(self._twice) > self._most or self._octets > self._most_octets:
            self._drop(next(iter(self._twice)))

    def _drop(self, seen: Key) -> None:
        if seen in self._twice:
            known = self._twice.pop(seen)
            self._octets -= _octets(seen, None if known is None else known.skeleton)

    def forget(self) -> None:
        """Forget everything: what it was decided by has changed."""
        self._once.clear()
        self._twice.clear()
        self._octets = 0


def _octets(seen: Key, skeleton: Skeleton | None) -> int:
    """How much memory is taken by what is remembered of a kind of request."""
    octets = _A_KIND + len(seen[0])
    return octets if skeleton is None else octets + skeleton.octets + _A_FIELD * skeleton.fields
