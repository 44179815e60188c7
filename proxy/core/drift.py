"""What a new version of a model changes for its clients: each difference, and whether it breaks them.

Law: a difference is breaking when a request that was right for the old signatures can be wrong for the new
ones, or when an answer no longer holds what the old signatures promised. Graph names are nobody's business.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.types import UNKNOWN_DIM, Servable, Shape, Signature, TensorSpec, dtype_name, shape_text


class DriftKind(StrEnum):
    UNCHANGED = "unchanged"
    COMPATIBLE = "compatible"
    BREAKING = "breaking"


class Change(StrEnum):
    """What happened to a signature or to one of its tensors."""

    SIGNATURE_ADDED = "signature added"
    SIGNATURE_REMOVED = "signature removed"
    METHOD_CHANGED = "method changed"
    INPUT_ADDED = "input added"
    INPUT_REMOVED = "input removed"
    INPUT_REQUIRED = "input lost its default"
    INPUT_OPTIONAL = "input gained a default"
    OUTPUT_ADDED = "output added"
    OUTPUT_REMOVED = "output removed"
    DTYPE_CHANGED = "dtype changed"
    RANK_CHANGED = "rank changed"
    SHAPE_WIDENED = "shape widened"
    SHAPE_NARROWED = "shape narrowed"
    SHAPE_CHANGED = "shape changed"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. `tensor` is as a person says it ("input 'x'"), empty where the signature itself changed."""

    signature: str
    change: Change
    breaking: bool
    tensor: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        where = f"{self.signature} {self.tensor}".rstrip()
        values = f" {self.before or 'none'} -> {self.after or 'none'}" if self.before or self.after else ""
        return f"{where}: {self.change}{values}"


@dataclass(frozen=True, slots=True)
class Drift:
    """The step of a model from one version to another (the same number: its files were replaced)."""

    model: str
    old_version: int
    new_version: int
    differences: tuple[Difference, ...]

    @property
    def kind(self) -> DriftKind:
        if any(difference.breaking for difference in self.differences):
            return DriftKind.BREAKING
        return DriftKind.COMPATIBLE if self.differences else DriftKind.UNCHANGED


def drift_of(old: Servable, new: Servable) -> Drift:
    """The step from `old` to `new`, two servables of one model."""
    return Drift(new.model, old.version, new.version, differences_of(old.signatures, new.signatures))


def differences_of(old: Mapping[str, Signature], new: Mapping[str, Signature]) -> tuple[Difference, ...]:
    """Every difference between two signature maps, ordered by signature name, inputs before outputs."""
    return tuple(_all(old, new))


def _all(old: Mapping[str, Signature], new: Mapping[str, Signature]) -> Iterator[Difference]:
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Difference(name, Change.SIGNATURE_REMOVED, breaking=True)
        elif name not in old:
            yield Difference(name, Change.SIGNATURE_ADDED, breaking=False)
        else:
            yield from _signature(old[name], new[name])


def _signature(old: Signature, new: Signature) -> Iterator[Difference]:
    name = new.name
    if old.method != new.method:
        yield Difference(name, Change.METHOD_CHANGED, breaking=True, before=old.method, after=new.method)
    for alias in sorted(old.inputs.keys() | new.inputs.keys()):
        tensor = f"input '{alias}'"
        if alias not in new.inputs:
            yield Difference(name, Change.INPUT_REMOVED, breaking=True, tensor=tensor)
        elif alias not in old.inputs:
            yield Difference(name, Change.INPUT_ADDED, alias not in new.defaults, tensor)
        else:
            if (alias in old.defaults) != (alias in new.defaults):
                required = alias in old.defaults
                change = Change.INPUT_REQUIRED if required else Change.INPUT_OPTIONAL
                yield Difference(name, change, required, tensor)
            yield from _tensor(name, tensor, old.inputs[alias], new.inputs[alias], is_input=True)
    for alias in sorted(old.outputs.keys() | new.outputs.keys()):
        tensor = f"output '{alias}'"
        if alias not in new.outputs:
            yield Difference(name, Change.OUTPUT_REMOVED, breaking=True, tensor=tensor)
        elif alias not in old.outputs:
            yield Difference(name, Change.OUTPUT_ADDED, breaking=False, tensor=tensor)
        else:
            yield from _tensor(name, tensor, old.outputs[alias], new.outputs[alias], is_input=False)


def _tensor(
    signature: str, tensor: str, old: TensorSpec, new: TensorSpec, *, is_input: bool
) -> Iterator[Difference]:
    if old.dtype != new.dtype:
        yield Difference(
            signature, Change.DTYPE_CHANGED, True, tensor, dtype_name(old.dtype), dtype_name(new.dtype)
        )
    change = _shape_change(old.shape, new.shape)
    if change is not None:
        # An input that takes less than before breaks its clients; an output that may be more, or is surely
        # one of what it could be before, does not contradict what they were told.
        breaking = change in {Change.RANK_CHANGED, Change.SHAPE_CHANGED} or (
            is_input and change is Change.SHAPE_NARROWED
        )
        yield Difference(signature, change, breaking, tensor, shape_text(old.shape), shape_text(new.shape))


def _shape_change(old: Shape | None, new: Shape | None) -> Change | None:
    if old == new:
        return None
    if new is None:
        return Change.SHAPE_WIDENED
    if old is None:
        return Change.SHAPE_NARROWED
    if len(old) != len(new):
        return Change.RANK_CHANGED
    moved = [(was, now) for was, now in zip(old, new, strict=True) if was != now]
    if all(now == UNKNOWN_DIM for _, now in moved):
        return Change.SHAPE_WIDENED
    if all(was == UNKNOWN_DIM for was, _ in moved):
        return Change.SHAPE_NARROWED
    return Change.SHAPE_CHANGED
