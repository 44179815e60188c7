"""What judgement says: violations as data, all of them, and nothing about how they reach the client."""

from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.mending.remedies import NO_MENDING, Mending
from proxy.core.reasons import Code, Reason


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong.

    `field` is the path in the request (`inputs["x"].tensor_shape.dim[3]`), `where` the same for a person
    ("input 'x'"), `alias` the input's alias where it concerns one. `expected`, `got` and `note` are short
    phrases; `note`, what else there is to know, may be empty. `mending` is how the request becomes right.
    """

    reason: Reason
    field: str
    where: str
    expected: str
    got: str
    note: str = ""
    alias: str = ""
    mending: Mending = NO_MENDING

    @property
    def hint(self) -> str:
        """What a person is told beyond expected and got."""
        return "; ".join(filter(None, (self.note, self.mending.words)))


class Verdict(NamedTuple):
    """The outcome of judging one request.

    `violations` refuse, `warnings` do not. `model` and `version` name the servable judged against (None
    where none was found), `signature` the signature, `accepts` describes it in one line. `retry_seconds` is
    set where waiting mends it. `code` overrides the status code of the first violation.
    """

    violations: tuple[Violation, ...] = ()
    warnings: tuple[Violation, ...] = ()
    model: str | None = None
    version: int | None = None
    signature: str = ""
    accepts: str = ""
    retry_seconds: float | None = None
    code: Code | None = None

    @property
    def status_code(self) -> Code:
        """The status code of a refusal: that of the first violation, as TF Serving stops at the first."""
        if self.code is not None:
            return self.code
        return self.violations[0].reason.about.code
