"""What follows from a signature alone, worked out once for each.

Law: remembers by identity, since a signature is not hashable; what is remembered is held, so that nothing else can
come to have its identity. Bounded: signatures come from the server, and go with its versions.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final, TypeVar

from proxy.core.types import Signature

_MOST_HELD: Final = 256

_Found = TypeVar("_Found")


def once_per_signature(work_out: Callable[[Signature], _Found]) -> Callable[[Signature], _Found]:
    """`work_out`, called once for each signature as long as it is in use."""
    held: dict[int, tuple[Signature, _Found]] = {}

    @wraps(work_out)
    def remembered(signature: Signature) -> _Found:
        found = held.get(id(signature))
        if found is None:
            if len(held) >= _MOST_HELD:
                held.clear()
            found = held[id(signature)] = signature, work_out(signature)
        return found[1]

    return remembered
