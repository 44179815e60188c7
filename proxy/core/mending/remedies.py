"""Remedies as data: the closed set of steps, and what a person and a machine are told of them.

Law: plain data. A step says what to do to a request and nothing of why; a remedy is one way to mend one violation;
a mending holds every way there is, and how certain they are follows from that alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from proxy.core.types import Shape


@dataclass(frozen=True, slots=True)
class Step:
    """One change to a PredictRequest. Inputs and outputs are named as they were sent."""

    do: ClassVar[str]

    def form(self) -> dict[str, object]:
        """The step for a machine: its name under "do", and its parameters."""
        return {"do": self.do} | {each.name: getattr(self, each.name) for each in fields(self)}


@dataclass(frozen=True, slots=True)
class ExpandDims(Step):
    """Insert a dimension of 1 before `axis`: `np.expand_dims(x, axis)`."""

    do = "expand_dims"
    input: str
    axis: int


@dataclass(frozen=True, slots=True)
class Squeeze(Step):
    """Take away the dimension of 1 at `axis`: `np.squeeze(x, axis)`."""

    do = "squeeze"
    input: str
    axis: int


@dataclass(frozen=True, slots=True)
class Reshape(Step):
    """Give the elements another shape and keep their order: `np.reshape(x, shape)`."""

    do = "reshape"
    input: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Transpose(Step):
    """Bring the axes into another order: `np.transpose(x, axes)`."""

    do = "transpose"
    input: str
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetShape(Step):
    """Write `tensor_shape`, which is unset or holds a -1; the payload stays as it is."""

    do = "set_shape"
    input: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Cast(Step):
    """Convert every value to `dtype`, which holds it: `x.astype(dtype)`."""

    do = "cast"
    input: str
    dtype: str


@dataclass(frozen=True, slots=True)
class SetDtype(Step):
    """Write the `dtype` field; the payload stays as it is."""

    do = "set_dtype"
    input: str
    dtype: str


@dataclass(frozen=True, slots=True)
class MoveValues(Step):
    """Move all values from one `*_val` field of the TensorProto to another."""

    do = "move_values"
    input: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class RenameInputs(Step):
    """Send each input under another alias, all at once; after every other step of a request."""

    do = "rename_inputs"
    names: Mapping[str, str]

    def form(self) -> dict[str, object]:
        return {"do": self.do, "names": dict(self.names)}

    def __hash__(self) -> int:
        return hash(tuple(self.names.items()))


@dataclass(frozen=True, slots=True)
class DropInput(Step):
    """Leave the input out."""

    do = "drop_input"
    input: str


@dataclass(frozen=True, slots=True)
class SetSignature(Step):
    """Write `model_spec.signature_name`."""

    do = "set_signature"
    name: str


@dataclass(frozen=True, slots=True)
class RenameOutput(Step):
    """Ask for `to` in place of `output_filter[index]`."""

    do = "rename_output"
    index: int
    to: str


@dataclass(frozen=True, slots=True)
class DropOutput(Step):
    """Take `output_filter[index]` away."""

    do = "drop_output"
    index: int


@dataclass(frozen=True, slots=True)
class Resize(Step):
    """Resize pictures to `height` x `width` pixels; how is up to the client."""

    do = "resize"
    input: str
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class ConvertChannels(Step):
    """Convert pictures to `channels` of colour."""

    do = "convert_channels"
    input: str
    channels: int


@dataclass(frozen=True, slots=True)
class PadOrCut(Step):
    """Bring every sequence of ids or strings to `length`; with what to pad is up to the tokenizer."""

    do = "pad_or_cut"
    input: str
    length: int


@dataclass(frozen=True, slots=True)
class SplitBatch(Step):
    """Send as many requests as it takes, of at most `size` examples each."""

    do = "split_batch"
    size: int


@dataclass(frozen=True, slots=True)
class Decode(Step):
    """Send what the encoded bytes hold (pixels of a picture, values of an Example), as an array."""

    do = "decode"
    input: str


@dataclass(frozen=True, slots=True)
class Encode(Step):
    """Send bytes: an encoded picture, text, or a serialised tf.train.Example."""

    do = "encode"
    input: str


class Remedy(NamedTuple):
    """One way to mend a violation: `steps` in order, `how` in words, and `cause`, what is then wrong.

    `exact`: the steps are all there is to do, and they keep order and meaning of the elements.
    """

    how: str
    steps: tuple[Step, ...] = ()
    exact: bool = False
    cause: str = ""


class Certainty(StrEnum):
    """`the`: obeyed, it yields the request that was meant. `one_of`: the client has to choose, or knows how."""

    THE = "the"
    ONE_OF = "one_of"
    NONE = "none"


class Mending(NamedTuple):
    """Every way there is to mend a violation, in a fixed order."""

    remedies: tuple[Remedy, ...] = ()

    @property
    def certainty(self) -> Certainty:
        if not self.remedies:
            return Certainty.NONE
        alone = len(self.remedies) == 1 and self.remedies[0].exact
        return Certainty.THE if alone else Certainty.ONE_OF

    @property
    def words(self) -> str:
        """What a person is told: every remedy, those with one cause together."""
        parts: list[str] = []
        cause = None
        for each in self.remedies:
            if not each.how:
                continue
            before = f"{each.cause}: " if each.cause and each.cause != cause else ""
            parts.append(f"{before}{each.how}")
            cause = each.cause
        asks = "?" if any(each.endswith("?") for each in parts) else ""
        return ", or ".join(each.removesuffix("?") for each in parts) + asks


NO_MENDING = Mending()


class Plan(NamedTuple):
    """How a whole request is mended: `steps` where the certainty is `the`, with renames last."""

    certainty: Certainty
    steps: tuple[Step, ...] = ()


def plan_of(mendings: Iterable[Mending]) -> Plan:
    """The plan for a request with these violations; one that nobody can mend leaves it without."""
    found = list(mendings)
    if not found or any(each.certainty is Certainty.NONE for each in found):
        return Plan(Certainty.NONE)
    if any(each.certainty is Certainty.ONE_OF for each in found):
        return Plan(Certainty.ONE_OF)
    # One step may mend several violations.
    steps = dict.fromkeys(step for each in found for step in each.remedies[0].steps)
    names = {sent: to for step in steps if isinstance(step, RenameInputs) for sent, to in step.names.items()}
    others = tuple(step for step in steps if not isinstance(step, RenameInputs))
    return Plan(Certainty.THE, (*others, renamed(names)) if names else others)


def renamed(names: Mapping[str, str]) -> RenameInputs:
    """The step that sends inputs under other aliases; `names` is from the sent to the right ones."""
    return RenameInputs(MappingProxyType(dict(sorted(names.items()))))
