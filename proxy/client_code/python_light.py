"""Python without TensorFlow: grpcio and numpy, and the few protobuf fields of Predict written by hand.

Law: see the package. The script must run where neither protobuf nor TensorFlow is installed. Field numbers
are those of `predict.proto`, `model.proto`, `tensor.proto` and `tensor_shape.proto`.
"""

from textwrap import fill
from typing import Final

from proxy.client_code.python import (
    channel,
    connection,
    environment,
    integers,
    metadata,
    needs,
    object_array,
)
from proxy.client_code.request import DEADLINE_SECONDS, PREDICT, ExampleRequest, Input
from proxy.core.types import DTYPES, IN_NUMPY, DType

_WIDTH: Final = 114


def _numpy(kind: DType) -> str:
    """What numpy calls the memory of an element."""
    if kind.name == "bool":
        return "<?"
    if kind.name in IN_NUMPY:
        return f"<{kind.name[0]}{kind.size}"
    # Integers of a name of their own have a sign unless their range says otherwise; all else is bits.
    signed = kind.field == "int_val" and (kind.low is None or kind.low < 0)
    return f"<{'i' if signed else 'u'}{kind.size}"


def _dtypes() -> str:
    rows = " ".join(f'{kind.number}:@"{_numpy(kind)}",' for kind in DTYPES.values() if kind.size)
    rows = fill(rows, _WIDTH, initial_indent="    ", subsequent_indent="    ")
    return f"DTYPES = {{\n{rows.replace('@', ' ')}\n}}  # fmt: skip"


_HEAD = '''\


# === protobuf, as much of it as Predict needs ===


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number, content):
    """A length-delimited field; an int becomes a varint field."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor(dtype, values):
    """TensorProto: dtype 1, tensor_shape 2, tensor_content 4 (C order, little-endian), string_val 8."""
    shape = b"".join(field(2, field(1, size)) for size in values.shape)
    if values.dtype == object:
        payload = b"".join(field(8, value) for value in values.ravel())
    else:
        payload = field(4, values.astype(values.dtype.newbyteorder("<")).tobytes())
    return field(1, dtype) + field(2, shape) + payload


def named(alias, content):
    """One entry of PredictRequest.inputs."""
    return field(2, field(1, alias.encode()) + field(2, content))


def read_varint(data, pos):
    number = shift = 0
    while True:
        byte = data[pos]
        number |= (byte & 0x7F) << shift
        pos, shift = pos + 1, shift + 7
        if byte < 0x80:
            return number, pos


def fields(data):
    """(number, value) of every field: an int for a varint, bytes for everything else."""
    pos = 0
    while pos < len(data):
        tag, pos = read_varint(data, pos)
        kind = tag & 7
        if kind == 0:
            value, pos = read_varint(data, pos)
        else:
            size, pos = read_varint(data, pos) if kind == 2 else ({1: 8, 5: 4}[kind], pos)
            value, pos = data[pos : pos + size], pos + size
        yield tag >> 3, value


# dtype number -> numpy; bfloat16 (14) and the float8 kinds, which numpy has not, show as their bits.
@DTYPES@
FIXED = {5: "<f4", 6: "<f8", 9: "<c8", 12: "<c16", 18: "<u1"}  # float_val, double_val, scomplex_val, dcomplex_val, float8_val
VARINTS = (7, 10, 11, 13, 16, 17)  # int_val, int64_val, bool_val, half_val, uint32_val, uint64_val


def array(proto):
    """The numpy array in a TensorProto."""
    dtype, dims, content, strings, values = 0, [], b"", [], []
    for number, value in fields(proto):
        if number == 1:
            dtype = value
        elif number == 2:
            dims = [sum(size for inner, size in fields(dim) if inner == 1) for where, dim in fields(value) if where == 2]
        elif number == 4:
            content = value
        elif number == 8:
            strings.append(value)
        elif number in FIXED:
            values.extend(np.frombuffer(value, FIXED[number]))
        elif number in VARINTS and isinstance(value, int):
            values.append(value)
        elif number in VARINTS:
            pos = 0
            while pos < len(value):
                one, pos = read_varint(value, pos)
                values.append(one)
    if dtype == 7:
        return np.array(strings, dtype=object).reshape(dims)
    kind = np.dtype(DTYPES[dtype])
    if content:
        return np.frombuffer(content, kind).reshape(dims)
    if dtype in (14, 19):  # half_val holds the bits
        return np.array(values, "<u2").view(kind).reshape(dims)
    if kind.kind in "iu":  # a negative varint is its two's complement in 64 bits
        return np.array(values, np.uint64).astype(kind).reshape(dims)
    return np.array(values, kind).reshape(dims)


def run(request):
    """Send a serialised PredictRequest, print every output."""
'''.replace("@DTYPES@", _dtypes())

_TAIL = """\
        except grpc.RpcError as error:
            raise SystemExit(f"{error.code().name}: {error.details()}") from None
    for number, entry in fields(response):
        if number == 1:
            output = dict(fields(entry))
            values = array(output[2])
            print(output[1].decode(), values.dtype, values.shape, values.ravel()[:5])


# === the request ===
"""


def render(request: ExampleRequest) -> str:
    """A script: sends the request, prints every output."""
    key, server = request.key, request.server
    spec = [f"field(1, {key.model!r}.encode())"]
    if key.version is not None:
        spec.append(f"field(2, field(1, {key.version}))")
    if request.signature:
        spec.append(f"field(3, {request.signature!r}.encode())")
    if key.version is None and key.label is not None:
        spec.append(f"field(4, {key.label!r}.encode())")
    lines = [
        "# pip install grpcio numpy     (no TensorFlow, no protobuf)",
        *needs(server),
        f"# {request.accepts}",
        *environment(server),
        "import grpc",
        "import numpy as np",
        "",
        *connection(server),
        _HEAD + f"    with {channel(server)} as channel:",
        f"        predict = channel.unary_unary({PREDICT!r})  # bytes in, bytes out",
        "        try:",
        f"            response = predict(request, timeout={DEADLINE_SECONDS}{metadata(server)})  # timeout in seconds",
        _TAIL,
        "# model_spec: name 1, version 2, signature_name 3, version_label 4",
        f"request = field(1, {' + '.join(spec)})",
    ]
    for each in request.inputs:
        lines += ["", f"# {each.declared}{each.note and ': ' + each.note}", f"values = {_values(each)}"]
        lines.append(f"request += named({each.alias!r}, tensor({each.dtype.number}, values))")
    return "\n".join([*lines, "", "run(request)"]) + "\n"


def _values(each: Input) -> str:
    if each.element is not None:
        return object_array(each)
    dtype = f"DTYPES[{each.dtype.number}]"
    return integers(each, dtype) or f"np.zeros({each.dims}, {dtype})"
