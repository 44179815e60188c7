"""What an example sends: a signature with every open question answered sensibly, and what was guessed said.

Law: decides sizes and values from names, dtypes and shapes alone. Where a signature does not tell (which
features a tf.Example needs, how large an image is), the answer is a guess, and `Input.note` says so.
"""

import base64
import re
from dataclasses import dataclass
from math import prod
from typing import Final

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

_CHANNELS: Final = frozenset({1, 3, 4})
_EXAMPLE_METHODS: Final = frozenset({CLASSIFY_METHOD, REGRESS_METHOD})
_RUN_BY_PREDICT: Final = _EXAMPLE_METHODS | {PREDICT_METHOD}
"""Measured: Predict runs signatures of these three methods and of no other."""

_IMAGE_NAME: Final = re.compile(r"image|img|jpe?g|png|photo|picture", re.IGNORECASE)
_EXAMPLE_NAME: Final = re.compile(r"examples?\b|tf_example|serialized", re.IGNORECASE)


class NoExampleError(ValueError):
    """No request can be written for this signature; the text says why."""


@dataclass(frozen=True, slots=True)
class Input:
    """One tensor to send: zeros of `dtype` and `dims`, or as many times `element` (DT_STRING).

    `note` is what the reader should know or change: printable ASCII, "" where there is nothing to say.
    """

    alias: str
    dtype: DType
    dims: Shape
    element: bytes | None
    declared: str
    note: str

    @property
    def count(self) -> int:
        """How many elements."""
        return prod(self.dims)

    @property
    def content_bytes(self) -> int:
        """The length of `tensor_content`; of no meaning for strings."""
        return self.count * self.dtype.size

    @property
    def text(self) -> str | None:
        """The element as text, where it is one."""
        return None if self.element in {None, PNG, TF_EXAMPLE} else (self.element or b"").decode()

    @property
    def proto_dtype(self) -> str:
        """The name in the enum DataType of `types.proto`."""
        return _PROTO_DTYPES.get(self.dtype.name, f"DT_{self.dtype.name.upper()}")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the example connects. `tls` without `ca` trusts the usual roots."""

    target: str
    tls: bool = False
    ca: str | None = None


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
    required = [found.inputs[alias] for alias in sorted(found.inputs) if alias not in found.defaults]
    takes_examples = _example_tensors(servable)
    return ExampleRequest(
        server,
        key,
        "" if found.name == DEFAULT_SIGNATURE else found.name,
        tuple(_input(spec, found, takes_examples) for spec in required),
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


def _input(spec: TensorSpec, signature: Signature, takes_examples: frozenset[str]) -> Input:
    dtype = DTYPES.get(spec.dtype)
    if dtype is None or spec.dtype in (DT_RESOURCE, DT_VARIANT):
        raise NoExampleError(
            f"input {escape(spec.alias)!r} is {dtype_name(spec.dtype)}, which cannot be sent"
        )
    if not spec.graph_name:
        raise NoExampleError(
            f"input {escape(spec.alias)!r} of {escape(signature.name)} is a sparse or composite tensor, which cannot be sent"
        )
    dims = _dims(spec.shape)
    notes = []
    if spec.shape is None:
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


def _dims(shape: Shape | None) -> Shape:
    """`shape` with its unknown sizes filled in: one example, an image's sides where it looks like one."""
    if shape is None:
        return (1,)
    sides = _sides(shape)
    channels = sides.stop if sides.start == 1 or len(shape) == 3 else -1
    filled = []
    for place, size in enumerate(shape):
        if size != UNKNOWN_DIM:
            filled.append(size)
        elif place in sides:
            filled.append(IMAGE_SIDE)
        elif place == 0:
            filled.append(1)
        else:
            filled.append(3 if place == channels and len(shape) == 4 else OTHER_DIM)
    return tuple(filled)


def _sides(shape: Shape) -> range:
    """Where height and width stand: [N,H,W,C], [N,C,H,W] or [H,W,C]; empty when it is no image."""
    if len(shape) == 4:
        return range(2, 4) if shape[1] in _CHANNELS and shape[3] not in _CHANNELS else range(1, 3)
    if len(shape) == 3 and shape[2] in _CHANNELS and shape[:2] == (UNKNOWN_DIM, UNKNOWN_DIM):
        return range(2)
    return range(0)
