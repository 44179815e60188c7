"""What to do about violations: the mode per model and the severity per reason.

Law: a policy is settled when the process starts; asking it is a dictionary look-up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from proxy.core.reasons import REASONS, Reason, Severity


class Mode(StrEnum):
    """`enforce` refuses; `observe` forwards all and counts what it would have refused; `off` only relays."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


DEFAULT_SEVERITIES: Mapping[Reason, Severity] = MappingProxyType(
    {reason: about.severity for reason, about in REASONS.items()}
)


@dataclass(frozen=True, slots=True)
class Policy:
    """How one model's requests are treated. `severities` holds every reason. `max_batch` None: unlimited."""

    mode: Mode = Mode.ENFORCE
    severities: Mapping[Reason, Severity] = field(default_factory=lambda: DEFAULT_SEVERITIES)
    max_batch: int | None = None

    @classmethod
    def of(
        cls,
        mode: Mode = Mode.ENFORCE,
        severities: Mapping[Reason, Severity] = MappingProxyType({}),
        max_batch: int | None = None,
    ) -> "Policy":
        """A policy whose `severities` depart from the defaults only where given."""
        return cls(mode, MappingProxyType({**DEFAULT_SEVERITIES, **severities}), max_batch)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of every model: its own where there is one, else the default."""

    default: Policy = field(default_factory=Policy)
    models: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, model: str) -> Policy:
        return self.models.get(model, self.default)
