"""The words that judgement is made of: dtypes, signatures, and what a request shows of itself.

Law: plain data. Payload bytes never enter here, only their lengths, their counts and a few leading bytes of
a string (to tell a JPEG from text); nothing here decides anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

UNKNOWN_DIM = -1

DEFAULT_SIGNATURE = "serving_default"
"""What TF Serving runs when `model_spec.signature_name` is empty (`predict_util.cc`)."""

INIT_OP_SIGNATURE = "__saved_model_init_op"
"""The loader's private entry in the signature map of TF2 exports; never a signature (F14)."""

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"
PREDICT_METHOD = "tensorflow/serving/predict"


class DType(NamedTuple):
    """One data type of TensorFlow's `types.proto`.

    `size` is in bytes of one element in `tensor_content` (0: no fixed size). `field` is the `*_val` field of
    TensorProto that TensorFlow reads for it (`tensor.cc`, `ProtoHelper`), with `per_element` values for
    one element. `low`/`high` bound the values where that field is wider than the dtype, so that
    TensorFlow would wrap them.
    """

    number: int
    name: str
    size: int
    field: str
    per_element: int = 1
    low: int | None = None
    high: int | None = None


def _narrow(number: int, name: str, size: int, low: int, high: int, field: str = "int_val") -> DType:
    return DType(number, name, size, field, 1, low, high)


# half_val holds bits, not numbers: languages without unsigned types send 0x8000 and up as a negative short, of
# which TensorFlow takes the same 16 bits.
_BITS16 = (-0x8000, 0xFFFF)

DTYPES: Mapping[int, DType] = MappingProxyType(
    {
        dtype.number: dtype
        for dtype in (
            DType(1, "float32", 4, "float_val"),
            DType(2, "float64", 8, "double_val"),
            DType(3, "int32", 4, "int_val"),
            _narrow(4, "uint8", 1, 0, 0xFF),
            _narrow(5, "int16", 2, -0x8000, 0x7FFF),
            _narrow(6, "int8", 1, -0x80, 0x7F),
            DType(7, "string", 0, "string_val"),
            DType(8, "complex64", 8, "scomplex_val", 2),
            DType(9, "int64", 8, "int64_val"),
            DType(10, "bool", 1, "bool_val"),
            _narrow(11, "qint8", 1, -0x80, 0x7F),
            _narrow(12, "quint8", 1, 0, 0xFF),
            DType(13, "qint32", 4, "int_val"),
            _narrow(14, "bfloat16", 2, *_BITS16, "half_val"),
            _narrow(15, "qint16", 2, -0x8000, 0x7FFF),
            _narrow(16, "quint16", 2, 0, 0xFFFF),
            _narrow(17, "uint16", 2, 0, 0xFFFF),
            DType(18, "complex128", 16, "dcomplex_val", 2),
            _narrow(19, "float16", 2, *_BITS16, "half_val"),
            DType(20, "resource", 0, "resource_handle_val"),
            DType(21, "variant", 0, "variant_val"),
            DType(22, "uint32", 4, "uint32_val"),
            DType(23, "uint64", 8, "uint64_val"),
            DType(24, "float8_e5m2", 1, "float8_val"),
            DType(25, "float8_e4m3fn", 1, "float8_val"),
            DType(26, "float8_e4m3fnuz", 1, "float8_val"),
            DType(27, "float8_e4m3b11fnuz", 1, "float8_val"),
            DType(28, "float8_e5m2fnuz", 1, "float8_val"),
            _narrow(29, "int4", 1, -8, 7),
            _narrow(30, "uint4", 1, 0, 15),
            _narrow(31, "int2", 1, -2, 1),
            _narrow(32, "uint2", 1, 0, 3),
            DType(33, "float4_e2m1fn", 1, "float8_val"),
        )
    }
)
"""Every dtype that a request can carry, by its number. Reference types (101 and up) are not among them."""

IN_NUMPY = frozenset(
    {"float16", "float32", "float64", "complex64", "complex128", "bool"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
"""The dtypes that numpy itself has, under the same names. Others are lent to it by ml_dtypes, where that is loaded."""

DT_STRING = 7
DT_BOOL = 10
DT_RESOURCE = 20
DT_VARIANT = 21


def dtype_name(number: int) -> str:
    """The numpy-like name of a dtype number, or a description of what is wrong with it."""
    known = DTYPES.get(number)
    if known is not None:
        return known.name
    if number == 0:
        return "DT_INVALID (dtype not set)"
    if 100 < number < 200 and number - 100 in DTYPES:
        return f"{DTYPES[number - 100].name} reference (dtype {number})"
    return f"unknown dtype {number}"


Shape = tuple[int, ...]
"""Dimensions; in a signature -1 stands for any size."""


def shape_text(shape: Shape | None) -> str:
    """`[?,300,300,3]`, `[]` for a scalar, `<any rank>` where nothing is known."""
    if shape is None:
        return "<any rank>"
    return "[" + ",".join("?" if dim == UNKNOWN_DIM else str(dim) for dim in shape) + "]"


MAX_RANK = 254
"""`TensorShape::MaxDimensions()`; measured: 254 dimensions pass, 255 are a parsing error."""

MAX_ELEMENTS = 2**63 - 1
"""TensorFlow counts elements in int64 and refuses a shape whose count overflows (measured: [2^62,4])."""


def element_count(dims: Shape) -> int | None:
    """The number of elements, or None when the shape is impossible (`TensorShape::IsValid`)."""
    count = 1
    if len(dims) > MAX_RANK:
        return None
    for dim in dims:
        if dim < 0:
            return None
        count *= dim
        if count > MAX_ELEMENTS:
            return None
    return count


def fits(dims: Shape, shape: Shape | None) -> bool:
    """Whether a tensor of `dims` is what a spec of `shape` allows."""
    if shape is None:
        return True
    if len(dims) != len(shape):
        return False
    # A plain loop: this runs for every input of every request.
    for got, want in zip(dims, shape, strict=True):  # noqa: SIM110
        if want != got and want != UNKNOWN_DIM:  # noqa: PLR1714
            return False
    return True


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a signature says of one tensor: its alias, dtype number, shape (None: unknown rank), graph name."""

    alias: str
    dtype: int
    shape: Shape | None
    graph_name: str = ""

    def __str__(self) -> str:
        return f"{self.alias}: {dtype_name(self.dtype)}{shape_text(self.shape) if self.shape is not None else ''}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One SignatureDef. `defaults` names the inputs that may be left out (`SignatureDef.defaults`)."""

    name: str
    method: str
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    defaults: frozenset[str] = frozenset()

    def __str__(self) -> str:
        inputs = ", ".join(str(self.inputs[alias]) for alias in sorted(self.inputs))
        return f"{self.name}({inputs}) -> {', '.join(sorted(self.outputs))}"


@dataclass(frozen=True, slots=True)
class Servable:
    """One loaded version of a model, as GetModelMetadata describes it."""

    model: str
    version: int
    signatures: Mapping[str, Signature]

    def signature(self, name: str) -> Signature | None:
        """The signature that TF Serving would run for `signature_name` as sent ("" is the default one)."""
        return self.signatures.get(name or DEFAULT_SIGNATURE)


class ModelKey(NamedTuple):
    """Which servable a request addresses: the latest, a version number, or a version label (not both)."""

    model: str
    version: int | None = None
    label: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model}:{self.version}"
        if self.label is not None:
            return f"{self.model}:{self.label!r}"
        return self.model


@dataclass(slots=True)
class TensorView:
    """What one TensorProto of a request shows without its payload.

    `counts` holds the number of values in each non-empty `*_val` field. `head` is at most 16 leading bytes
    of the first string, for hints only, which has `string_length`. `wraps` says that a value does not fit the dtype it claims.
    `string_content_fits` says whether `tensor_content` of a string tensor holds exactly the elements of its
    shape in TensorFlow's own encoding (None: not a string tensor, or no content).
    """

    alias: str
    dtype: int
    dims: Shape = ()
    unknown_rank: bool = False
    content_length: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    head: bytes = b""
    string_length: int = 0
    wraps: bool = False
    string_content_fits: bool | None = None


@dataclass(slots=True)
class RequestView:
    """What one request shows of itself. `key` is None when there is no model_spec at all.

    `signature` is as sent: "" asks for the default one. For Classify, Regress and MultiInference `inputs`
    and `outputs` stay empty: their Examples are opaque.
    """

    key: ModelKey | None
    signature: str = ""
    inputs: tuple[TensorView, ...] = ()
    outputs: tuple[str, ...] = ()
