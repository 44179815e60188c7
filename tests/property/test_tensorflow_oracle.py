"""The judge's idea of a payload is TensorFlow's: thousands of random tensors, parsed by TensorFlow itself.

What TensorFlow refuses to parse is refused. What it parses into exactly the values sent (or the one value sent,
everywhere) is admitted. Where it pads, cuts, fills or wraps, the request is refused.
"""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core.policy import Policy
from proxy.core.types import (
    DT_RESOURCE,
    DT_STRING,
    DT_VARIANT,
    DTYPES,
    DType,
    Servable,
    Signature,
    TensorSpec,
)
from proxy.core.validate import judge
from proxy.wire.protos import predict_pb2, tensor_pb2
from proxy.wire.request import parse_predict

ORACLE = Path(__file__).parent / "tensorflow_oracle.py"
COUNT = 6000

# How one value of a `*_val` field lies in a tensor's memory.
FORMATS = {
    name: code
    for code, names in {
        "f": "float32 complex64",
        "d": "float64 complex128",
        "?": "bool",
        "b": "int8 qint8 int4 int2",
        "h": "int16 qint16",
        "i": "int32 qint32",
        "q": "int64",
        "B": "uint8 quint8 uint4 uint2 float8_e5m2 float8_e4m3fn float8_e4m3fnuz float8_e4m3b11fnuz float8_e5m2fnuz "
        "float4_e2m1fn",
        "H": "uint16 quint16 float16 bfloat16",
        "I": "uint32",
        "Q": "uint64",
    }.items()
    for name in names.split()
}
# Elements smaller than a byte take one, and their type reads only its low bits.
BITS = {"int4": 4, "uint4": 4, "int2": 2, "uint2": 2}
INTEGERS = (0, 1, 2, 3, 7, 8, 15, 16, 100, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1)
SHAPES = (
    (),
    (1,),
    (2,),
    (3,),
    (6,),
    (2, 3),
    (1, 2, 2, 1),
    (0,),
    (2, 0, 3),
    (-1,),
    (2, -1),
    (2**62, 4),
    (1,) * 254,
    (1,) * 255,
)


def low_bits(value: int, kind: DType) -> int:
    value &= (1 << BITS[kind.name]) - 1
    return value if value <= kind.high else value - (1 << BITS[kind.name])


def value_for(field: str, rng: random.Random):
    if field == "string_val":
        return rng.choice((b"", b"a", b"a\x00b", b"\xff\xfe", b"x" * 200))
    if field in {"float_val", "double_val", "scomplex_val", "dcomplex_val"}:
        return rng.choice((0.0, 1.5, -2.0, 1e30))
    if field == "bool_val":
        return rng.random() < 0.5
    number = rng.choice(INTEGERS)
    if field in {"uint32_val", "uint64_val"}:
        return number
    return -number - 1 if rng.random() < 0.2 else number


def fill(
    tensor, field: str, count: int, rng: random.Random, *, inside: tuple[int, int] | None = None
) -> None:
    values = [value_for(field, rng) for _ in range(count)]
    if inside:
        values = [rng.randint(*inside) for _ in range(count)]
    if field == "float8_val":
        tensor.float8_val = bytes(rng.randrange(256) for _ in range(count))
    else:
        getattr(tensor, field).extend(values)


def encoded_strings(strings: list[bytes]) -> bytes:
    lengths = b"".join(
        bytes([len(each)]) if len(each) < 128 else bytes([len(each) & 0x7F | 0x80, len(each) >> 7])
        for each in strings
    )
    return lengths + b"".join(strings)


def random_tensor(rng: random.Random) -> tensor_pb2.TensorProto:
    kinds = [kind for kind in DTYPES.values() if kind.number not in (DT_RESOURCE, DT_VARIANT)]
    kind = rng.choice(kinds)
    tensor = tensor_pb2.TensorProto(dtype=kind.number)
    shape = rng.choice(SHAPES[:7] * 6 + SHAPES)
    for size in shape:
        tensor.tensor_shape.dim.add(size=size, name=rng.choice(("", "batch")))
    tensor.tensor_shape.unknown_rank = rng.random() < 0.03
    tensor.version_number = rng.choice((0, 0, 0, 1))
    if not shape and rng.random() < 0.3:
        tensor.ClearField("tensor_shape")
    count = 1
    for size in shape:
        count *= max(size, 0)
    count = min(count, 300)
    how = rng.choice(
        ("field", "field", "field", "inside", "inside", "content", "content", "other field", "none")
    )
    several = rng.choice((count, count, count, 1, 0, count - 1, count + 1, 2 * count)) * kind.per_element
    several = max(0, several + (rng.choice((0, 0, 0, 1, -1)) if kind.per_element == 2 else 0))
    if how == "field":
        fill(tensor, kind.field, several, rng)
    elif how == "inside":
        inside = (kind.low, kind.high) if kind.low is not None else None
        fill(tensor, kind.field, several, rng, inside=inside)
    elif how == "other field":
        fill(tensor, rng.choice(kinds).field, several, rng)
    if how == "content" or rng.random() < 0.05:
        if kind.number == DT_STRING:
            content = encoded_strings([value_for("string_val", rng) for _ in range(several)])
            tensor.tensor_content = rng.choice(
                (content, content, content[:-1], content + b"x", b"\x85\x00" + content)
            )
        else:
            length = max(0, kind.size * several // kind.per_element + rng.choice((0, 0, 0, 1, -1)))
            high = 2 if kind.name == "bool" and rng.random() < 0.7 else 256
            tensor.tensor_content = bytes(rng.randrange(high) for _ in range(length))
    if rng.random() < 0.1:
        fill(tensor, rng.choice(kinds).field, 1, rng)
    return tensor


@pytest.fixture(scope="module")
def pairs():
    """Tensors, each with what TensorFlow made of it."""
    rng = random.Random(20260101)
    tensors = [random_tensor(rng) for _ in range(COUNT)]
    messages = [tensor.SerializeToString() for tensor in tensors]
    done = subprocess.run(
        [sys.executable, ORACLE],
        input=b"".join(len(message).to_bytes(4) + message for message in messages),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return list(zip(tensors, answers, strict=True))


def refusals(tensor: tensor_pb2.TensorProto):
    """Why the judge refuses `tensor` where its dtype and any shape are wanted."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].CopyFrom(tensor)
    spec = TensorSpec("x", tensor.dtype, None)
    signature = Signature("serving_default", "", {"x": spec}, {})
    verdict = judge(
        parse_predict(request.SerializeToString()), Servable("m", 1, {"serving_default": signature}), Policy()
    )
    return verdict.violations


def keeps_what_was_sent(tensor: tensor_pb2.TensorProto, made) -> bool:
    """Whether the tensor in TensorFlow's memory is the one that `tensor` was meant to be."""
    kind = DTYPES[tensor.dtype]
    if tensor.tensor_content:
        if kind.number == DT_STRING:
            return True  # it parsed, which leaves no other meaning
        return bytes.fromhex(made["data"]) == tensor.tensor_content
    sent = list(getattr(tensor, kind.field))
    if kind.number == DT_STRING:
        held = [bytes.fromhex(each) for each in made["strings"]]
    else:
        data = bytes.fromhex(made["data"])
        held = list(
            struct.unpack(f"{len(data) // struct.calcsize(FORMATS[kind.name])}{FORMATS[kind.name]}", data)
        )
        if kind.name in BITS:
            held = [low_bits(value, kind) for value in held]
        if kind.field == "half_val":  # bits, which may also be written as a negative short
            sent = [value + 0x10000 if -0x8000 <= value < 0 else value for value in sent]
        if FORMATS[kind.name] == "f":  # what a float_val holds is a float32 already
            sent = list(struct.unpack(f"{len(sent)}f", struct.pack(f"{len(sent)}f", *sent)))
    one = len(sent) == kind.per_element
    return held == sent or (one and held == sent * (len(held) // kind.per_element))


def test_what_tensorflow_cannot_parse_is_refused(pairs):
    unparsable = [tensor for tensor, made in pairs if made is None]
    assert len(unparsable) > COUNT / 20
    assert [tensor for tensor in unparsable if not refusals(tensor)] == []


def test_what_tensorflow_reads_as_it_was_sent_is_admitted(pairs):
    kept = [
        tensor for tensor, made in pairs if made and (0 in made["shape"] or keeps_what_was_sent(tensor, made))
    ]
    assert len(kept) > COUNT / 4
    assert {tensor.dtype for tensor in kept} == DTYPES.keys() - {DT_RESOURCE, DT_VARIANT}
    assert [(tensor, refusals(tensor)) for tensor in kept if refusals(tensor)] == []


def test_what_tensorflow_pads_cuts_fills_or_wraps_is_refused(pairs):
    changed = [
        tensor
        for tensor, made in pairs
        if made and 0 not in made["shape"] and not keeps_what_was_sent(tensor, made)
    ]
    assert len(changed) > COUNT / 10
    assert [tensor for tensor in changed if not refusals(tensor)] == []
