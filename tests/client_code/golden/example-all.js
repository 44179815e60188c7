// npm install @grpc/grpc-js protobufjs
// needs ca.pem: the certificate that signed the server's (PEM)
// needs client.pem and client.key: this client's certificate and its key (PEM)
// needs the environment variable TFS_PROXY_TOKEN: this client's token
// embed(image_bytes: string[?,2], pixels: float32[?,?,?,3], query: string[?], tokens: int64[?], tokens_1: int64[?], weights: float32[?], weights_1: int32[?]) -> scores
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

const request = {
  model_spec: { name: "detector", signature_name: "embed", version_label: "canary" },
  inputs: {
    // string [?,2]: ? is yours to choose; the bytes of an image file (here a grey PNG), not base64
    ["image_bytes"]: { dtype: 7, tensor_shape: { dim: [{ size: 1 }, { size: 2 }] }, string_val: new Array(2).fill(Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC", 'base64')) },
    // float32 [?,?,?,3]: ? is yours to choose
    ["pixels"]: { dtype: 1, tensor_shape: { dim: [{ size: 1 }, { size: 224 }, { size: 224 }, { size: 3 }] }, tensor_content: Buffer.alloc(602112) },
    // string [?]: ? is yours to choose
    ["query"]: { dtype: 7, tensor_shape: { dim: [{ size: 1 }] }, string_val: new Array(1).fill(Buffer.from("text")) },
    // int64 [?]: the values of ragged 'tokens', 2 in each row
    ["tokens"]: { dtype: 9, tensor_shape: { dim: [{ size: 2 }] }, tensor_content: Buffer.alloc(16) },
    // int64 [?]: row splits of ragged 'tokens': row i is values[splits[i]:splits[i+1]]
    ["tokens_1"]: { dtype: 9, tensor_shape: { dim: [{ size: 2 }] }, int64_val: [0, 2] },
    // float32 [?]: the values of ragged 'weights', 2 in each row
    ["weights"]: { dtype: 1, tensor_shape: { dim: [{ size: 2 }] }, tensor_content: Buffer.alloc(8) },
    // int32 [?]: row splits of ragged 'weights': row i is values[splits[i]:splits[i+1]]
    ["weights_1"]: { dtype: 3, tensor_shape: { dim: [{ size: 2 }] }, int_val: [0, 2] },
  },
};

// -1: as large as it comes. gRPC's own default is 4 MiB, which an answer easily exceeds.
const options = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 };
const metadata = new grpc.Metadata();
// The server's certificate carries this name, which is not the host that is called.
options['grpc.ssl_target_name_override'] = "proxy.example";
metadata.set('authorization', `Bearer ${process.env.TFS_PROXY_TOKEN}`);
const client = new grpc.Client("10.0.0.1:8600", grpc.credentials.createSsl(require('fs').readFileSync("ca.pem"), require('fs').readFileSync("client.key"), require('fs').readFileSync("client.pem")), options);
const deadline = Date.now() + 10 * 1000;
client.makeUnaryRequest(
  "/tensorflow.serving.PredictionService/Predict",
  (message) => Buffer.from(PredictRequest.encode(PredictRequest.fromObject(message)).finish()),
  (bytes) => PredictResponse.decode(bytes),
  request,
  metadata,
  { deadline },
  (error, response) => {
    client.close();
    if (error) {
      console.error(`${grpc.status[error.code]}: ${error.details}`);
      process.exitCode = 1;
      return;
    }
    for (const [alias, tensor] of Object.entries(response.outputs)) {
      const shape = tensor.tensor_shape.dim.map((dim) => Number(dim.size));
      const field = Object.keys(tensor).find((name) => name.endsWith('_val') && tensor[name].length);
      console.log(alias, 'dtype', tensor.dtype, 'shape', shape, field, field && tensor[field].slice(0, 5));
    }
  },
);
