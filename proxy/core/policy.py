"""What to do about violations: the mode per model and the severity per reason.

Law: a policy never changes, another takes its place; asking it is a dictionary look-up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from proxy.core.reasons import REASONS, Reason, Severity
from proxy.core.values import MEANING, InputPolicy


class Mode(StrEnum):
    """`enforce` refuses; `observe` forwards all and counts what it would have refused; `off` only relays."""

    ENFORCE = "enforce"
    OBSERVE = "observe"
    OFF = "off"


DEFAULT_SEVERITIES: Mapping[Reason, Severity] = MappingProxyType(
    {reason: about.severity for reason, about in REASONS.items()}
)


DEFAULT_FILL_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Policy:
    """How one model's requests are treated. `severities` holds every reason. `max_batch` None: unlimited.

    `max_fill_bytes` is what single values may fill in all tensors of a request together; None: as much as in any
    one of them.

    `inputs` says by alias what values must be; they are looked at in every `sample`-th request, and only
    where the severity of one of the reasons in MEANING is not off.
    """

    mode: Mode = Mode.ENFORCE
    severities: Mapping[Reason, Severity] = field(default_factory=lambda: DEFAULT_SEVERITIES)
    max_batch: int | None = None
    inputs: Mapping[str, InputPolicy] = field(default_factory=dict)
    sample: int = 1
    max_fill_bytes: int | None = DEFAULT_FILL_BYTES
    looks_at_values: bool = field(init=False)

    def __post_init__(self) -> None:
        asked = any(self.severities[reason] is not Severity.OFF for reason in MEANING)
        object.__setattr__(self, "looks_at_values", asked)

    @classmethod
    def of(
        cls,
        mode: Mode = Mode.ENFORCE,
        severities: Mapping[Reason, Severity] = MappingProxyType({}),
        max_batch: int | None = None,
        inputs: Mapping[str, InputPolicy] = MappingProxyType({}),
        sample: int = 1,
        max_fill_bytes: int | None = DEFAULT_FILL_BYTES,
    ) -> "Policy":
        """A policy whose `severities` depart from the defaults only where given."""
        merged = MappingProxyType({**DEFAULT_SEVERITIES, **severities})
        return cls(mode, merged, max_batch, inputs, sample, max_fill_bytes)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of every model: its own where there is one, else the default."""

    default: Policy = field(default_factory=Policy)
    models: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, model: str) -> Policy:
        return self.models.get(model, self.default)

    @property
    def strictest(self) -> Policy:
        """The policy for a request that may be for any model: the default one, unless a model has a stricter mode."""
        return max((self.default, *self.models.values()), key=lambda each: _STRICTNESS[each.mode])


_STRICTNESS = {Mode.ENFORCE: 2, Mode.OBSERVE: 1, Mode.OFF: 0}
