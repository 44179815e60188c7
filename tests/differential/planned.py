"""A call and its answer, from a seed: the client and the server make the same of it, each for itself.

Law: everything is drawn from `random.Random(seed)`; nothing else decides. Which calls the proxy has to refuse is not
known here.
"""

import math
import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import grpc

from proxy.core.bounds import MAX_COMPRESSED_QUESTION
from proxy.core.types import DTYPES
from proxy.wire.protos import meta_graph_pb2, predict_pb2, tensor_pb2
from tests.fake_serving import signature_def

PREDICT = "/tensorflow.serving.PredictionService/Predict"
UNKNOWN = "/some.other.Service/Method"
QUESTIONS = (
    "/tensorflow.serving.PredictionService/GetModelMetadata",
    "/tensorflow.serving.ModelService/GetModelStatus",
)
OTHERS = (
    *QUESTIONS,
    *(f"/tensorflow.serving.PredictionService/{name}" for name in ("Classify", "Regress", "MultiInference")),
    "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
    "/tensorflow.ProfilerService/Profile",
    "/tensorflow.serving.PredictionService/NoSuchMethod",
)
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

_FLOAT, _UINT8, _STRING, _INT64, _BOOL, _HALF = 1, 4, 7, 9, 10, 19
SIGNATURES: dict[str, dict[str, meta_graph_pb2.SignatureDef]] = {
    "m": {"serving_default": signature_def({"x": (_FLOAT, (-1, 3))})},
    "image": {
        "serving_default": signature_def({"image_tensor": (_UINT8, (-1, -1, -1, 3))}),
        "encoded": signature_def({"bytes": (_STRING, (-1,))}),
    },
    "tokens": {
        "serving_default": signature_def(
            {"ids": (_INT64, (-1, 16)), "mask": (_BOOL, (-1, 16)), "scale": (_HALF, ())}
        ),
    },
    "any": {"serving_default": signature_def({"x": (_FLOAT, None)})},
}

Pairs = tuple[tuple[str, str | bytes], ...]
_VALUES = {_FLOAT: "float_val", _UINT8: "int_val", _INT64: "int64_val", _BOOL: "bool_val", _HALF: "half_val"}


@dataclass(frozen=True)
class Planned:
    """What a client does, and what the server answers when it gets it.

    `slow`: the answer comes after the deadline, which is `timeout` seconds.
    """

    kind: str
    method: str
    messages: tuple[bytes, ...]
    metadata: Pairs
    compression: grpc.Compression
    timeout: float
    answers: tuple[bytes, ...]
    code: grpc.StatusCode
    text: str
    initial: Pairs
    trailing: Pairs
    answer_compression: grpc.Compression
    slow: bool


@lru_cache(64)
def planned(seed: int) -> Planned:
    """The call of a seed."""
    draw = random.Random(seed)
    method = draw.choices([PREDICT, draw.choice(OTHERS), UNKNOWN], [70, 15, 15])[0]
    kind = draw.choice(KINDS) if method == UNKNOWN else "unary_unary"
    streams = kind.startswith("stream")
    answers_many = kind.endswith("stream")
    failing = draw.random() < 0.25
    slow = draw.random() < 0.01
    messages = tuple(_message(draw, method) for _ in range(draw.randrange(4) if streams else 1))
    compression = _compression(draw)
    if method in QUESTIONS and max(map(len, messages)) > MAX_COMPRESSED_QUESTION:
        # How long they may be the native edge counts as they come, and gRPC's core when they are inflated.
        compression = grpc.Compression.NoCompression
    code = draw.choice([each for each in grpc.StatusCode if each is not grpc.StatusCode.OK])
    return Planned(
        kind=kind,
        method=method,
        messages=messages,
        metadata=_pairs(draw),
        compression=compression,
        timeout=1.0 if slow else 60.0,
        answers=tuple(_octets(draw) for _ in range(draw.randrange(4) if answers_many else 1)),
        code=code if failing else grpc.StatusCode.OK,
        text=_text(draw) if failing else "",
        initial=_pairs(draw),
        trailing=_pairs(draw),
        answer_compression=_compression(draw),
        slow=slow,
    )


def _compression(draw: random.Random) -> grpc.Compression:
    return draw.choice(
        [grpc.Compression.NoCompression] * 3 + [grpc.Compression.Gzip, grpc.Compression.Deflate]
    )


def _octets(draw: random.Random) -> bytes:
    size = draw.choices(
        [0, draw.randrange(100), draw.randrange(5000), draw.randrange(300_000)], [1, 6, 2, 0.2]
    )[0]
    return draw.randbytes(min(size, 4096)) * max(1, size // 4096)


def _pairs(draw: random.Random) -> Pairs:
    keys = string.ascii_lowercase + string.digits + "_.-"
    found: list[tuple[str, str | bytes]] = []
    for _ in range(draw.choice([0, 0, 1, 2, 6])):
        name = "x-" + "".join(draw.choices(keys, k=draw.randrange(9)))
        if draw.random() < 0.3:
            found.append((name + "-bin", draw.randbytes(draw.randrange(40))))
        elif not name.endswith("-bin"):
            found.append(
                (name, "".join(map(chr, draw.choices(range(0x20, 0x7F), k=draw.randrange(30)))).strip())
            )
    return tuple(found)


def _text(draw: random.Random) -> str:
    return draw.choice(
        [
            "",
            "Servable not found for request: Latest(m)",
            "Socket closed",
            "50% more\n",
            "größer",
            "input must be 4-dimensional[3]",
            "Could not find variable dense/kernel.",
            "".join(map(chr, draw.choices(range(1, 0xD7FF), k=draw.randrange(30)))),
        ]
    )


def _message(draw: random.Random, method: str) -> bytes:
    if method == UNKNOWN or draw.random() < 0.02:
        return _octets(draw)
    request = _fitting(draw)
    for spoil in draw.choices(SPOILINGS, k=draw.choice([0, 0, 1, 1, 2])):
        spoil(draw, request)
    return draw.choices(_WRITTEN, [12, 2, 2, 1, 1, 1])[0](draw, request)


def _fitting(draw: random.Random) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw.choice(list(SIGNATURES))
    signatures = SIGNATURES[request.model_spec.name]
    name = draw.choice(list(signatures))
    if name != "serving_default" or draw.random() < 0.3:
        request.model_spec.signature_name = name
    if draw.random() < 0.2:
        request.model_spec.version.value = 1
    batch = draw.choice([0, 1, 1, 2, 5, 100])
    for alias, info in signatures[name].inputs.items():
        sizes = [dim.size for dim in info.tensor_shape.dim]
        if info.tensor_shape.unknown_rank:
            sizes = [-1] * draw.randrange(4)
        shape = [
            batch if not axis else draw.choice([1, 2, 7]) if size < 0 else size
            for axis, size in enumerate(sizes)
        ]
        _fill(draw, request.inputs[alias], info.dtype, shape)
    return request


def _fill(draw: random.Random, tensor: tensor_pb2.TensorProto, dtype: int, shape: Sequence[int]) -> None:
    tensor.Clear()
    tensor.dtype = dtype
    tensor.tensor_shape.SetInParent()
    count = 1
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
        count *= size
    if dtype == _STRING:
        tensor.string_val.extend(draw.randbytes(draw.randrange(20)) for _ in range(count))
    elif dtype in _VALUES and count < 200 and draw.random() < 0.4:
        getattr(tensor, _VALUES[dtype]).extend(
            draw.choices([0, 1], k=1 if draw.random() < 0.3 and count else count)
        )
    elif dtype in DTYPES and (size := DTYPES[dtype].size) is not None:
        tensor.tensor_content = bytes(draw.choices([0, 1], k=64)) * (count * size // 64) + bytes(
            count * size % 64
        )


# === spoilings ===


def _tensor(draw: random.Random, request: predict_pb2.PredictRequest) -> tensor_pb2.TensorProto | None:
    return request.inputs[draw.choice(sorted(request.inputs))] if request.inputs else None


def _model(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    request.model_spec.name = draw.choice(["M", "other", "", "image ", "token", "m\n"])


def _no_spec(_: random.Random, request: predict_pb2.PredictRequest) -> None:
    request.ClearField("model_spec")


def _signature(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    request.model_spec.signature_name = draw.choice(["Serving_Default", "predict", "encode", "x" * 50])


def _version(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if draw.random() < 0.5:
        request.model_spec.version_label = draw.choice(["stable", "canary", ""])
    else:
        request.model_spec.version.value = draw.choice([2, 0, -1, 10**12])


def _alias(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if not request.inputs:
        return
    name = draw.choice(sorted(request.inputs))
    other = draw.choice([name.upper(), name + "s", name[:-1], f"{name}:0", "", "größe"])
    tensor = tensor_pb2.TensorProto()
    tensor.CopyFrom(request.inputs[name])
    del request.inputs[name]
    request.inputs[other].CopyFrom(tensor)


def _missing(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if request.inputs:
        del request.inputs[draw.choice(sorted(request.inputs))]


def _extra(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    _fill(
        draw, request.inputs[draw.choice(["more", "x2", "training"])], draw.choice([_FLOAT, _INT64]), [1, 2]
    )


def _dtype(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if (tensor := _tensor(draw, request)) is not None:
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        if abs(math.prod(shape)) < 1_000_000:
            _fill(draw, tensor, draw.choice([1, 2, 3, 4, 6, 7, 9, 10, 14, 19, 22, 23]), shape)


def _shape(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if (tensor := _tensor(draw, request)) is None or tensor.dtype == 0:
        return
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    match draw.randrange(4):
        case 0:
            shape = shape[1:]
        case 1:
            shape = [1, *shape]
        case 2:
            shape = shape[::-1]
        case _:
            shape = [size + draw.choice([0, 0, 1]) for size in shape]
    if abs(math.prod(shape)) < 1_000_000:
        _fill(draw, tensor, tensor.dtype, shape)


def _payload(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if (tensor := _tensor(draw, request)) is not None:
        match draw.randrange(4):
            case 0:
                tensor.tensor_content = tensor.tensor_content[
                    : draw.randrange(len(tensor.tensor_content) + 1)
                ]
            case 1:
                tensor.ClearField("tensor_content")
            case 2:
                tensor.float_val.append(1.0)
            case _:
                tensor.tensor_content += b"\0" * draw.randrange(1, 9)


def _declared(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    if (tensor := _tensor(draw, request)) is not None:
        match draw.randrange(3):
            case 0:
                tensor.dtype = draw.choice([0, 99, 101, 20, 21])
            case 1:
                tensor.tensor_shape.unknown_rank = True
            case _:
                tensor.tensor_shape.dim.add(size=draw.choice([-1, -7, 2**40, 2**62]))


def _filter(draw: random.Random, request: predict_pb2.PredictRequest) -> None:
    request.output_filter.extend(draw.choices(["y", "Y", "", "z"], k=draw.randrange(1, 3)))


SPOILINGS: tuple[Callable[[random.Random, predict_pb2.PredictRequest], None], ...] = (
    *(_model, _no_spec, _signature, _version, _alias, _missing, _extra, _dtype, _shape, _payload),
    *(_declared, _filter, _shape, _dtype, _alias),
)


# === ways to write a request ===


def _plainly(_: random.Random, request: predict_pb2.PredictRequest) -> bytes:
    return request.SerializeToString()


def _with_unknown_fields(draw: random.Random, request: predict_pb2.PredictRequest) -> bytes:
    field = draw.choice([b"\xd2\x3e\x02hi", b"\xd0\x3e\x05", b"\xd5\x3e\0\0\0\0", b"\xd3\x3e\xd4\x3e"])
    return draw.choice([request.SerializeToString() + field, field + request.SerializeToString()])


def _in_pieces(draw: random.Random, request: predict_pb2.PredictRequest) -> bytes:
    """Each field by itself, in any order; the last of a kind counts, and messages are merged."""
    spec = predict_pb2.PredictRequest(model_spec=request.model_spec).SerializeToString()
    pieces = [spec] * draw.choice([1, 1, 2])
    for alias, tensor in request.inputs.items():
        part = predict_pb2.PredictRequest()
        part.inputs[alias].CopyFrom(tensor)
        pieces += [part.SerializeToString()] * draw.choice([1, 1, 2])
    draw.shuffle(pieces)
    return b"".join(pieces)


def _cut(draw: random.Random, request: predict_pb2.PredictRequest) -> bytes:
    whole = request.SerializeToString()
    return whole[: draw.randrange(len(whole) + 1)]


def _flipped(draw: random.Random, request: predict_pb2.PredictRequest) -> bytes:
    whole = bytearray(request.SerializeToString())
    for _ in range(draw.randrange(1, 4)):
        if whole:
            whole[draw.randrange(min(len(whole), 120))] = draw.randrange(256)
    return bytes(whole)


def _doubled(_: random.Random, request: predict_pb2.PredictRequest) -> bytes:
    return 2 * request.SerializeToString()


_WRITTEN = (_plainly, _with_unknown_fields, _in_pieces, _cut, _flipped, _doubled)
