"""Node.js with @grpc/grpc-js and protobufjs; the messages are declared in the script.

Law: see the package. Names are written as ASCII JSON, which is JavaScript too.
"""

import base64
import json

from proxy.client_code.request import DEADLINE_SECONDS, INTEGERS, PREDICT, ExampleRequest, Input
from proxy.client_code.server import TOKEN_VARIABLE, Server

_SCHEMA = """\
const grpc = require('@grpc/grpc-js');
const protobuf = require('protobufjs');

// As much of TensorFlow Serving's .proto files as Predict needs; keepCase: names as they stand here.
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Int64Value { int64 value = 1; }
  message ModelSpec {
    string name = 1;
    oneof version_choice { Int64Value version = 2; string version_label = 4; }
    string signature_name = 3;
  }
  message Dim { int64 size = 1; }
  message TensorShape { repeated Dim dim = 2; }
  message Tensor {
    int32 dtype = 1;
    TensorShape tensor_shape = 2;
    bytes tensor_content = 4;
    repeated float float_val = 5;
    repeated double double_val = 6;
    repeated int32 int_val = 7;
    repeated bytes string_val = 8;
    repeated int64 int64_val = 10;
    repeated bool bool_val = 11;
    repeated int32 half_val = 13;
    repeated uint32 uint32_val = 16;
    repeated uint64 uint64_val = 17;
  }
  message PredictRequest { ModelSpec model_spec = 1; map<string, Tensor> inputs = 2; }
  message PredictResponse { map<string, Tensor> outputs = 1; ModelSpec model_spec = 2; }
`, { keepCase: true });
const PredictRequest = root.lookupType('PredictRequest');
const PredictResponse = root.lookupType('PredictResponse');
"""

_OPTIONS = """\
// -1: as large as it comes. gRPC's own default is 4 MiB, which an answer easily exceeds.
const options = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const metadata = new grpc.Metadata();"""

_CALL = f"""\
const client = new grpc.Client(%s, options);
const deadline = Date.now() + {DEADLINE_SECONDS} * 1000;
client.makeUnaryRequest(
  {json.dumps(PREDICT)},
  (message) => Buffer.from(PredictRequest.encode(PredictRequest.fromObject(message)).finish()),
  (bytes) => PredictResponse.decode(bytes),
  request,
  metadata,
  {{ deadline }},
  (error, response) => {{
    client.close();
    if (error) {{
      console.error(`${{grpc.status[error.code]}}: ${{error.details}}`);
      process.exitCode = 1;
      return;
    }}
    for (const [alias, tensor] of Object.entries(response.outputs)) {{
      const shape = tensor.tensor_shape.dim.map((dim) => Number(dim.size));
      const field = Object.keys(tensor).find((name) => name.endsWith('_val') && tensor[name].length);
      console.log(alias, 'dtype', tensor.dtype, 'shape', shape, field, field && tensor[field].slice(0, 5));
    }}
  }},
);
"""


def render(request: ExampleRequest) -> str:
    """A script: sends the request, prints every output."""
    key, server = request.key, request.server
    spec = [f"name: {json.dumps(key.model)}"]
    if request.signature:
        spec.append(f"signature_name: {json.dumps(request.signature)}")
    if key.version is not None:
        spec.append(f"version: {{ value: '{key.version}' }}")
    elif key.label is not None:
        spec.append(f"version_label: {json.dumps(key.label)}")
    lines = [
        "// npm install @grpc/grpc-js protobufjs",
        *(f"// needs {each}" for each in server.needs()),
        f"// {request.accepts}",
        _SCHEMA,
        "const request = {",
        f"  model_spec: {{ {', '.join(spec)} }},",
        "  inputs: {",
    ]
    for each in request.inputs:
        lines.append(f"    // {each.declared}{each.note and ': ' + each.note}")
        # Computed keys: a plain "__proto__" would set the prototype instead.
        lines.append(f"    [{json.dumps(each.alias)}]: {_tensor(each)},")
    lines += ["  },", "};", "", _OPTIONS]
    if server.tls and server.name:
        lines.append("// The server's certificate carries this name, which is not the host that is called.")
        lines.append(f"options['grpc.ssl_target_name_override'] = {json.dumps(server.name)};")
    if server.token:
        lines.append(f"metadata.set('authorization', `Bearer ${{process.env.{TOKEN_VARIABLE}}}`);")
    lines.append(_CALL % f"{json.dumps(server.target)}, {_credentials(server)}")
    return "\n".join(lines)


def _credentials(server: Server) -> str:
    if not server.tls:
        return "grpc.credentials.createInsecure()"
    files = (server.ca, server.key, server.certificate) if server.certificate else (server.ca,)
    given = (f"require('fs').readFileSync({json.dumps(file)})" if file else "null" for file in files)
    return f"grpc.credentials.createSsl({', '.join(given)})"


def _tensor(each: Input) -> str:
    dims = ", ".join(f"{{ size: {size} }}" for size in each.dims)
    if each.numbers:
        payload = f"{INTEGERS[each.dtype.name][0]}: {list(each.numbers)}"
    elif each.element is None:
        payload = f"tensor_content: Buffer.alloc({each.content_bytes})"
    else:
        encoding = "" if each.text is not None else ", 'base64'"
        element = each.text if each.text is not None else base64.b64encode(each.element).decode()
        payload = f"string_val: new Array({each.count}).fill(Buffer.from({json.dumps(element)}{encoding}))"
    return f"{{ dtype: {each.dtype.number}, tensor_shape: {{ dim: [{dims}] }}, {payload} }}"
