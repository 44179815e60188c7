"""How long to wait before a worker that has ended is started again, and when to stop trying.

Law: pure. A worker that has lived for a while is started again at once; one that ends soon, again and again, twice as
late each time, up to half a minute, so that it costs nothing. When no worker can start, nothing is left to wait for.
"""

from collections.abc import Iterable
from typing import Final

STEADY_SECONDS: Final = 10.0
"""A worker that lived so long did not end at once."""

_FIRST_SECONDS: Final = 0.25
_MOST_SECONDS: Final = 30.0
_MOST_FAILURES: Final = 5


class Restarts:
    """What is known of the workers that stood on one post, one after the other."""

    def __init__(self) -> None:
        self._short = 0
        self.failures = 0
        """Workers in a row that ended before they served."""

    def after(self, lived: float, *, served: bool) -> float:
        """Count an end after so many seconds; the seconds to wait before the next start."""
        self.failures = 0 if served else self.failures + 1
        self._short = 0 if served and lived >= STEADY_SECONDS else self._short + 1
        if not self._short:
            return 0.0
        # The exponent is bounded: a float ends at 2**1024.
        return min(_MOST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._short - 1, 16))


def hopeless(posts: Iterable[Restarts]) -> bool:
    """Whether on no post a worker has been able to start for some time."""
    return all(post.failures >= _MOST_FAILURES for post in posts)
