"""What protobuf itself reads in a PredictRequest: what the readers of `wire/` must agree with.

Law: reads everything by the protobuf parser, without a bound. `inputs` is read as a repeated field of entries, of
which the last of an alias counts: so does protobuf in C++, which the server is made of, while the one in Python drops
an entry with a field that it does not know.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from proxy.core.types import DT_BOOL, DT_STRING, DTYPES, RequestView, TensorView, element_count
from proxy.wire.fields import MalformedRequestError
from proxy.wire.protos import predict_pb2
from proxy.wire.unusual import key_of

_COUNTED = sorted({kind.field for kind in DTYPES.values()} - {"resource_handle_val", "variant_val"})


def _without_map() -> type:
    pool = descriptor_pool.DescriptorPool()

    def add(file) -> None:
        for each in file.dependencies:
            add(each)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        for message in proto.message_type:
            if message.name == "PredictRequest":
                for nested in message.nested_type:
                    nested.options.ClearField("map_entry")
        pool.Add(proto)

    add(predict_pb2.DESCRIPTOR)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictRequest"))


_REQUEST = _without_map()


def parse_fully(data: bytes) -> RequestView:
    try:
        request = _REQUEST.FromString(data)
    except DecodeError as error:
        raise MalformedRequestError("not a readable tensorflow.serving.PredictRequest") from error
    inputs = {entry.key: _view(entry.key, entry.value) for entry in request.inputs}
    key, signature = key_of(request.model_spec) if request.HasField("model_spec") else (None, "")
    return RequestView(key, signature, tuple(inputs.values()), tuple(request.output_filter))


def _view(alias: str, tensor) -> TensorView:
    content = tensor.tensor_content
    view = TensorView(
        alias,
        tensor.dtype,
        tuple(dim.size for dim in tensor.tensor_shape.dim),
        tensor.tensor_shape.unknown_rank,
        len(content),
        {name: count for name in _COUNTED if (count := len(getattr(tensor, name)))},
        tensor.string_val[0][:16] if tensor.string_val else b"",
        len(tensor.string_val[0]) if tensor.string_val else 0,
    )
    kind = DTYPES.get(view.dtype)
    if content and view.dtype == DT_STRING:
        view.string_content_fits = _holds_strings(content, view.dims)
    elif content and view.dtype == DT_BOOL:
        view.wraps = not set(content) <= {0, 1}
    elif kind is not None and not content and kind.low is not None and kind.field in view.counts:
        values = getattr(tensor, kind.field)
        view.wraps = min(values) < kind.low or max(values) > kind.high
    return view


def _holds_strings(content: bytes, dims: tuple[int, ...]) -> bool:
    count, position, total = element_count(dims), 0, 0
    if count is None or (count and count > len(content)):
        return False
    if not count:
        return True
    for _ in range(count):
        value = 0
        for place in range(6):
            if place == 5 or position == len(content):
                return False
            byte = content[position]
            position += 1
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                break
        total += value & 0xFFFFFFFF
    return position + total == len(content)
