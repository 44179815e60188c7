"""Python with TensorFlow and tensorflow-serving-api: the stub that most clients use.

Law: see the package. Names are written with `repr`, so whatever a signature calls its inputs stays a string.
"""

from proxy.client_code.request import DEADLINE_SECONDS, ExampleRequest, Input

_NUMPY = frozenset(
    {
        *("float32", "float64", "float16", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "complex64", "complex128", "bool"),
    }
)
"""dtypes that numpy has itself; the others come with TensorFlow."""


def render(request: ExampleRequest) -> str:
    """A script: sends the request, prints every output."""
    key = request.key
    lines = [
        "# pip install tensorflow-serving-api     (brings TensorFlow)",
        f"# {request.accepts}",
        "import grpc",
        "import numpy as np",
        "import tensorflow as tf",
        "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc",
        "",
        "# -1: as large as it comes. gRPC's own default is 4 MiB, which an answer easily exceeds.",
        'OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]',
        "",
        "request = predict_pb2.PredictRequest()",
        f"request.model_spec.name = {key.model!r}",
    ]
    if request.signature:
        lines.append(f"request.model_spec.signature_name = {request.signature!r}")
    if key.version is not None:
        lines.append(f"request.model_spec.version.value = {key.version}")
    elif key.label is not None:
        lines.append(f"request.model_spec.version_label = {key.label!r}")
    for each in request.inputs:
        lines += ["", f"# {each.declared}{each.note and ': ' + each.note}", *_values(each)]
        lines.append(f"request.inputs[{each.alias!r}].CopyFrom(tf.make_tensor_proto(values))")
    lines += [
        "",
        f"with {channel(request)} as channel:",
        "    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)",
        "    try:",
        f"        response = stub.Predict(request, timeout={DEADLINE_SECONDS})  # seconds",
        "    except grpc.RpcError as error:",
        '        raise SystemExit(f"{error.code().name}: {error.details()}") from None',
        "",
        'print("answered by version", response.model_spec.version.value)',
        "for alias, tensor in sorted(response.outputs.items()):",
        "    values = tf.make_ndarray(tensor)",
        "    print(alias, values.dtype, values.shape, values.ravel()[:5])",
    ]
    return "\n".join(lines) + "\n"


def channel(request: ExampleRequest) -> str:
    """The expression that opens the channel; OPTIONS are defined before it."""
    server = request.server
    if not server.tls:
        return f"grpc.insecure_channel({server.target!r}, OPTIONS)"
    roots = f"open({server.ca!r}, 'rb').read()" if server.ca else ""
    return f"grpc.secure_channel({server.target!r}, grpc.ssl_channel_credentials({roots}), OPTIONS)"


def object_array(each: Input) -> str:
    """An array of Python bytes; not np.full, which cuts zero bytes off their ends."""
    if each.dims == (1,):
        return f"np.array([{each.element!r}], dtype=object)"
    return f"np.array([{each.element!r}] * {each.count}, dtype=object).reshape({each.dims})"


def integers(each: Input, dtype: str) -> str:
    """An array of the numbers of an input; "" where it has none."""
    if not each.numbers:
        return ""
    shape = "" if each.dims == (len(each.numbers),) else f".reshape({each.dims})"
    return f"np.array({list(each.numbers)}, {dtype}){shape}"


def _values(each: Input) -> list[str]:
    if each.element is not None:
        return [f"values = {object_array(each)}"]
    name = each.dtype.name
    dtype = f"np.{name}" if name in _NUMPY else f'tf.as_dtype("{name}").as_numpy_dtype'
    return [f"values = {integers(each, dtype) or f'np.zeros({each.dims}, {dtype})'}"]
