"""What the gate decides: Admit or Refuse, and why a request may go on unjudged.

Law: data only. What follows from a decision is the edge's.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import final

from proxy.core.availability import Unanswered
from proxy.core.reasons import Reason
from proxy.core.types import RequestView, Servable
from proxy.core.verdict import Verdict, Violation
from proxy.wire.status import Status


class Unjudged(Enum):
    """Why a request goes on without having been judged; nothing that a client sends is among the reasons."""

    BY_POLICY = auto()
    """The operator wants it so: mode `off`, or the severity of what would have been said."""
    KEPT_UNKNOWN = auto()
    """The server answers, has no metadata to give for this key, and never gave any."""
    FAULT = auto()
    """A fault of our own: it must not break traffic."""


@final
@dataclass(slots=True)
class Admit:
    """Forward the request.

    `verdict` carries warnings and what it was judged against (None: not judged, see `unjudged`). `would_refuse`
    is what `observe` mode let through.
    """

    view: RequestView | None = None
    verdict: Verdict | None = None
    would_refuse: tuple[Violation, ...] = ()
    batch_size: int | None = None
    unjudged: Unjudged | None = None
    sample: bytes | None = field(default=None, repr=False)
    """The message itself, where the request was chosen to be recorded (see capture/)."""
    watched: bytes | None = field(default=None, repr=False)
    """The same, where the answer to it was chosen to be looked at."""
    value_seconds: float | None = None
    """What the look at its values took (None: there was none)."""
    servable: Servable | None = None
    """What it was judged by, where that is told from metadata."""

    @property
    def unsettled(self) -> bool:
        """Its inputs disagree about the batch: whether they have one in common, the server's answer tells."""
        told = (self.verdict.warnings if self.verdict is not None else ()) + self.would_refuse
        return bool(told) and any(each.reason is Reason.BATCH_MISMATCH for each in told)

    @property
    def failed(self) -> bool:
        """It should have been judged and could not be."""
        return self.unjudged is not None and self.unjudged is not Unjudged.BY_POLICY


@final
@dataclass(slots=True)
class Refuse:
    """Answer with `status` instead of forwarding. `view` is None when the request could not be read.

    `unasked` says why the server did not tell what there is to judge by, where it did not. What stands in the way
    to it, or a deadline, is then the truer cause, which the edge knows.
    """

    view: RequestView | None
    verdict: Verdict
    status: Status
    value_seconds: float | None = None
    unasked: Unanswered | None = None

    @property
    def never_known(self) -> bool:
        """Whether nothing was ever known that the request could contradict."""
        return self.verdict.violations[0].reason is Reason.SIGNATURE_UNAVAILABLE


Decision = Admit | Refuse
