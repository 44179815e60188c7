"""Python with TensorFlow and tensorflow-serving-api: the stub that most clients use.

Law: see the package. Names are written with `repr`, so whatever a signature calls its inputs stays a string.
"""

from proxy.client_code.request import DEADLINE_SECONDS, ExampleRequest, Input
from proxy.client_code.server import TOKEN_VARIABLE, Server

_NUMPY = frozenset(
    {
        *("float32", "float64", "float16", "int8", "int16", "int32", "int64"),
        *("uint8", "uint16", "uint32", "uint64", "complex64", "complex128", "bool"),
    }
)
"""dtypes that numpy has itself; the others come with TensorFlow."""


def render(request: ExampleRequest) -> str:
    """A script: sends the request, prints every output."""
    key, server = request.key, request.server
    lines = [
        "# pip install tensorflow-serving-api     (brings TensorFlow)",
        *needs(server),
        f"# {request.accepts}",
        *environment(server),
        "import grpc",
        "import numpy as np",
        "import tensorflow as tf",
        "from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc",
        "",
        *connection(server),
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
        f"with {channel(server)} as channel:",
        "    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)",
        "    try:",
        f"        response = stub.Predict(request, timeout={DEADLINE_SECONDS}{metadata(server)})  # timeout in seconds",
        "    except grpc.RpcError as error:",
        '        raise SystemExit(f"{error.code().name}: {error.details()}") from None',
        "",
        'print("answered by version", response.model_spec.version.value)',
        "for alias, tensor in sorted(response.outputs.items()):",
        "    values = tf.make_ndarray(tensor)",
        "    print(alias, values.dtype, values.shape, values.ravel()[:5])",
    ]
    return "\n".join(lines) + "\n"


def needs(server: Server) -> list[str]:
    """What has to be there, as comments."""
    return [f"# needs {each}" for each in server.needs()]


def environment(server: Server) -> list[str]:
    """The import of what reads the token."""
    return ["import os", ""] if server.token else []


def connection(server: Server) -> list[str]:
    """OPTIONS, and as far as they are needed CREDENTIALS and METADATA: what the channel and the call are made with."""
    lines = [
        "# -1: as large as it comes. gRPC's own default is 4 MiB, which an answer easily exceeds.",
        'OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]',
    ]
    if server.tls and server.name:
        lines += [
            "# The server's certificate carries this name, which is not the host that is called.",
            f'OPTIONS.append(("grpc.ssl_target_name_override", {server.name!r}))',
        ]
    if server.tls:
        files = {
            "root_certificates": server.ca,
            "private_key": server.key,
            "certificate_chain": server.certificate,
        }
        given = [f'    {name}=open({file!r}, "rb").read(),' for name, file in files.items() if file]
        lines.append("\n".join(["CREDENTIALS = grpc.ssl_channel_credentials(", *given, ")"]))
    if server.token:
        lines.append(f'METADATA = [("authorization", "Bearer " + os.environ["{TOKEN_VARIABLE}"])]')
    return lines


def channel(server: Server) -> str:
    """The expression that opens the channel, of what `connection` defines."""
    if not server.tls:
        return f"grpc.insecure_channel({server.target!r}, OPTIONS)"
    return f"grpc.secure_channel({server.target!r}, CREDENTIALS, OPTIONS)"


def metadata(server: Server) -> str:
    """What a call is given beside its timeout."""
    return ", metadata=METADATA" if server.token else ""


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
