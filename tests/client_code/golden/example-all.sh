#!/bin/sh
# needs ca.pem: the certificate that signed the server's (PEM)
# needs client.pem and client.key: this client's certificate and its key (PEM)
# needs the environment variable TFS_PROXY_TOKEN: this client's token
# embed(image_bytes: string[?,2], pixels: float32[?,?,?,3], query: string[?], tokens: int64[?], tokens_1: int64[?], weights: float32[?], weights_1: int32[?]) -> scores
# 'image_bytes': string [?,2]: ? is yours to choose; the bytes of an image file (here a grey PNG), not base64
# 'pixels': float32 [?,?,?,3]: ? is yours to choose
# 'query': string [?]: ? is yours to choose
# 'tokens': int64 [?]: the values of ragged 'tokens', 2 in each row
# 'tokens_1': int64 [?]: row splits of ragged 'tokens': row i is values[splits[i]:splits[i+1]]
# 'weights': float32 [?]: the values of ragged 'weights', 2 in each row
# 'weights_1': int32 [?]: row splits of ragged 'weights': row i is values[splits[i]:splits[i+1]]
# grpcurl asks the server how to encode this. tfs-proxy answers such questions (reflection); a bare
# tensorflow_model_server does not: give grpcurl the .proto files of TensorFlow Serving and TensorFlow then,
#   -import-path serving -import-path tensorflow -proto tensorflow_serving/apis/prediction_service.proto
# tensorContent is base64 of the tensor's bytes (C order, little-endian): $(base64 < pixels.bin | tr -d '\n')
grpcurl -cacert ca.pem -cert client.pem -key client.key -authority proxy.example -expand-headers -H 'authorization: Bearer ${TFS_PROXY_TOKEN}' -max-time 10 -max-msg-sz 2147483647 -d @ 10.0.0.1:8600 tensorflow.serving.PredictionService/Predict <<JSON
{
  "modelSpec": {"name": "detector", "signatureName": "embed", "versionLabel": "canary"},
  "inputs": {
    "image_bytes": {"dtype": "DT_STRING", "tensorShape": {"dim": [{"size": "1"}, {"size": "2"}]}, "stringVal": ["iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"]},
    "pixels": {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "1"}, {"size": "224"}, {"size": "224"}, {"size": "3"}]}, "tensorContent": "$(head -c 602112 /dev/zero | base64 | tr -d '\n')"},
    "query": {"dtype": "DT_STRING", "tensorShape": {"dim": [{"size": "1"}]}, "stringVal": ["dGV4dA=="]},
    "tokens": {"dtype": "DT_INT64", "tensorShape": {"dim": [{"size": "2"}]}, "tensorContent": "$(head -c 16 /dev/zero | base64 | tr -d '\n')"},
    "tokens_1": {"dtype": "DT_INT64", "tensorShape": {"dim": [{"size": "2"}]}, "int64Val": [0, 2]},
    "weights": {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "2"}]}, "tensorContent": "$(head -c 8 /dev/zero | base64 | tr -d '\n')"},
    "weights_1": {"dtype": "DT_INT32", "tensorShape": {"dim": [{"size": "2"}]}, "intVal": [0, 2]}
  }
}
JSON
