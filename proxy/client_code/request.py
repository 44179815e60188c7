"""What an example sends: a signature with every open question answered sensibly, and what was guessed said.

Law: decides sizes and values from names, dtypes and shapes alone. Where a signature does not tell (which
features a tf.Example needs, how large an image is), the answer is a guess, and `Input.note` says so.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Final

from proxy.client_code.composites import Component, components, fixed_rows
from proxy.client_code.server import Server
from proxy.core.components import Flattened, described, families
from proxy.core.explain import escape
from proxy.core.types import (
    CLASSIFY_METHOD,
    DEFAULT_SIGNATURE,
    DT_RESOURCE,
    DT_STRING,
    DT_VARIANT,
    DTYPES,
    PREDICT_METHOD,
    REGRESS_METHOD,
    UNKNOWN_DIM,
    DType,
    ModelKey,
    Servable,
    Shape,
    Signature,
    TensorSpec,
    dtype_name,
    shape_text,
)

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"

DEADLINE_SECONDS: Final = 10
"""Of every example; without one a client waits for ever."""

IMAGE_SIDE: Final = 224
OTHER_DIM: Final = 8
"""What stands for an unknown dimension that is neither the batch nor the height or width of an image."""

PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"
)
"""A grey picture, 8x8, RGB."""

TF_EXAMPLE: Final = base64.b64decode("ChMKEQoBeBIMEgoKCAAAAAAAAAAA")
"""A serialised tf.train.Example with one feature, x = [0.0, 0.0]."""

_PROTO_DTYPES: Final = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF"}
"""Where `types.proto` does not call a dtype by its name in capitals."""

INTEGERS: Final = {"int32": ("int_val", 7), "int64": ("int64_val", 10)}
"""The field of a TensorProto, and its number, for those dtypes in which components tell numbers."""

_CHANNELS: Final = frozenset({1, 3, 4})
_EXAMPLE_METHODS: Final = frozenset({CLASSIFY_METHOD, REGRESS_METHOD})
_RUN_BY_PREDICT: Final = _EXAMPLE_METHODS | {PREDICT_METHOD}
"""Measured: Predict runs signatures of these three methods and of no other."""

_IMAGE_NAME: Final = re.compile(r"image|img|jpe?g|png|photo|picture", re.IGNORECASE)
_STATE_NAME: Final = re.compile(r"state|hidden|carry|\b[hc]_?(0|in|prev)?\b", re.IGNORECASE)
_EXAMPLE_NAME: Final = re.compile(r"examples?\b|tf_example|serialized", re.IGNORECASE)


class NoExampleError(ValueError):
    """No request can be written for this signature; the text says why."""


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor to send: zeros of `dtype` and `dims`, `numbers` (of those in INTEGERS), or as many times `element`
    (DT_STRING).

    `note` is what the reader should know or change: printable ASCII, "" where there is nothing to say.
    """

    alias: str
    dtype: DType
    dims: Shape
    element: bytes | None
    declared: str
    note: str
    numbers: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many elements."""
        return prod(self.dims)

    @property
    def content_bytes(self) -> int:
        """The length of `tensor_content`; of no meaning for strings."""
        return self.count * self.dtype.size

    @property
    def content(self) -> bytes:
        """What `tensor_content` holds; of no meaning for strings."""
        if not self.numbers:
            return bytes(self.content_bytes)
        return b"".join(number.to_bytes(self.dtype.size, "little") for number in self.numbers)

    @property
    def text(self) -> str | None:
        """The element as text, where it is one."""
        return None if self.element in {None, PNG, TF_EXAMPLE} else (self.element or b"").decode()

    @property
    def proto_dtype(self) -> str:
        """The name in the enum DataType of `types.proto`."""
        return _PROTO_DTYPES.get(self.dtype.name, f"DT_{self.dtype.name.upper()}")


@dataclass(frozen=True, slots=True)
class ExampleRequest:
    """One Predict call. `signature` is "" for the default one; `accepts` is printable ASCII."""

    server: Server
    key: ModelKey
    signature: str
    inputs: tuple[Input, ...]
    accepts: str


def example_request(
    servable: Servable, key: ModelKey, signature: str | None, server: Server
) -> ExampleRequest:
    """The request to show for a signature (None: the default one, or the only one).

    Inputs that have a default are left out. Raises NoExampleError.
    """
    found = _signature(servable, signature)
    if found.method not in _RUN_BY_PREDICT:
        raise NoExampleError(
            f"Predict does not run signature {escape(found.name)!r}: its method is "
            f"{escape(found.method)!r}, not {PREDICT_METHOD!r}"
        )
    required = {alias: found.inputs[alias] for alias in sorted(found.inputs) if alias not in found.defaults}
    takes_examples = _example_tensors(servable)
    sizes = _Sizes(required)
    return ExampleRequest(
        server,
        key,
        "" if found.name == DEFAULT_SIGNATURE else found.name,
        tuple(_input(spec, found, sizes, takes_examples) for spec in required.values()),
        escape(str(found), 600),
    )


def _signature(servable: Servable, name: str | None) -> Signature:
    found = servable.signature(name or "")
    if found is None and not name and len(servable.signatures) == 1:
        return next(iter(servable.signatures.values()))
    if found is None:
        names = ", ".join(sorted(escape(each) for each in servable.signatures)) or "none"
        asked = (
            f"no signature {escape(name)!r}" if name else f"no {DEFAULT_SIGNATURE}: choose with --signature"
        )
        raise NoExampleError(
            f"{escape(servable.model)} version {servable.version} has {asked}; it has {names}"
        )
    return found


def _example_tensors(servable: Servable) -> frozenset[str]:
    """Graph names that hold serialised tf.Examples: what Classify and Regress feed can be nothing else."""
    return frozenset(
        spec.graph_name
        for signature in servable.signatures.values()
        if signature.method in _EXAMPLE_METHODS
        for spec in signature.inputs.values()
    )


def _input(spec: TensorSpec, signature: Signature, sizes: "_Sizes", takes_examples: frozenset[str]) -> Input:
    dtype = DTYPES.get(spec.dtype)
    if dtype is None or spec.dtype in (DT_RESOURCE, DT_VARIANT):
        raise NoExampleError(
            f"input {escape(spec.alias)!r} is {dtype_name(spec.dtype)}, which cannot be sent"
        )
    if not spec.graph_name:
        raise NoExampleError(
            f"input {escape(spec.alias)!r} of {escape(signature.name)} is a sparse or composite tensor, which cannot be sent"
        )
    component = sizes.components.get(spec.alias)
    dims = component.dims if component else sizes.dims(spec.shape)
    notes = []
    if component:
        notes.append(component.note)
    elif spec.shape is None:
        notes.append("any shape is accepted")
    elif UNKNOWN_DIM in spec.shape:
        notes.append("? is yours to choose")
    element = None
    if spec.dtype == DT_STRING:
        element, about = _element(spec, takes_examples)
        notes.append(about)
    return Input(
        spec.alias,
        dtype,
        dims,
        element,
        f"{dtype.name} {shape_text(spec.shape)}",
        "; ".join(filter(None, notes)),
        component.numbers if component else (),
    )


def _element(spec: TensorSpec, takes_examples: frozenset[str]) -> tuple[bytes, str]:
    if spec.graph_name in takes_examples or _EXAMPLE_NAME.search(spec.alias):
        return (
            TF_EXAMPLE,
            "a serialised tf.train.Example (x = [0, 0]); put in the features that the model parses",
        )
    if _IMAGE_NAME.search(spec.alias):
        return PNG, "the bytes of an image file (here a grey PNG), not base64"
    return b"text", ""


class _Sizes:
    """The sizes that a signature leaves open, for all its inputs together, since they have to go together."""

    def __init__(self, specs: Mapping[str, TensorSpec]) -> None:
        found = families(specs)
        rows = [fixed for family in found if (fixed := fixed_rows(family, specs)) is not None]
        self._batch = rows[0] if rows else 1
        aliases = {alias for family in found for alias in family.aliases}
        dense = [spec for spec in specs.values() if spec.alias not in aliases]
        # Whether the batch of a state, or of what it goes with, comes first or second is not told: 1 fits both.
        self._other = 1 if any(_is_state(spec, dense) for spec in dense) else OTHER_DIM
        self.components: dict[str, Component] = {}
        """By alias, of those inputs that are components of ragged and sparse tensors."""
        for family in found:
            if isinstance(family, Flattened):
                raise NoExampleError(f"{described(family)}, and numbers that fit one reading fit no other")
            fixed = fixed_rows(family, specs)
            inner = self.dims(specs[family.values].shape)[1:]
            self.components |= components(family, specs, self._batch if fixed is None else fixed, inner)

    def dims(self, shape: Shape | None) -> Shape:
        """`shape` with its unknown sizes filled in: one example, an image's sides where it is one."""
        return (1,) if shape is None else tuple(self._filled(shape))

    def _filled(self, shape: Shape) -> Iterator[int]:
        sides = _sides(shape)
        channels = 3 if sides.start == 1 else -1
        for place, size in enumerate(shape):
            if size != UNKNOWN_DIM:
                yield size
            elif place in sides:
                yield IMAGE_SIDE
            elif place == 0:
                yield self._batch
            else:
                yield 3 if place == channels else self._other


def _is_state(spec: TensorSpec, dense: list[TensorSpec]) -> bool:
    """Whether it is, by its name, what a recurrent network carries on, or by its shape, such as [layers,batch,8]."""
    others = [each for each in dense if each is not spec and each.shape and each.shape[0] == UNKNOWN_DIM]
    if not spec.shape or not others:
        return False
    stacked = spec.shape[0] != UNKNOWN_DIM and UNKNOWN_DIM in spec.shape and not _sides(spec.shape)
    return stacked or _STATE_NAME.search(spec.alias) is not None


def _sides(shape: Shape) -> range:
    """Where height and width stand, [N,H,W,C] or [N,C,H,W]; empty when it is no picture: those have rank 4."""
    if len(shape) != 4:
        return range(0)
    if shape[3] in _CHANNELS or (shape[3] == UNKNOWN_DIM and shape[1] not in _CHANNELS):
        return range(1, 3)
    return range(2, 4) if shape[1] in _CHANNELS else range(0)
