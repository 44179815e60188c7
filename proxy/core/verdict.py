"""What judgement says: violations as data, all of them, and nothing about how they reach the client."""

from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.reasons import Code, Reason


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong.

    `field` is the path in the request (`inputs["x"].tensor_shape.dim[3]`), `where` the same for a person
    ("input 'x'"), `alias` the input's alias where it concerns one. `expected`, `got` and `hint` are short
    phrases; `hint` may be empty.
    """

    reason: Reason
    field: str
    where: str
    expected: str
    got: str
    hint: str = ""
    alias: str = ""


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
