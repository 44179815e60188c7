#!/bin/sh
# embed(image_bytes: string[?,2], pixels: float32[?,?,?,3], query: string[?]) -> scores
# 'image_bytes': string [?,2]: ? is yours to choose; the bytes of an image file (here a grey PNG), not base64
# 'pixels': float32 [?,?,?,3]: ? is yours to choose
# 'query': string [?]: ? is yours to choose
# grpcurl asks the server how to encode this. tfs-proxy answers such questions (reflection); a bare
# tensorflow_model_server does not: give grpcurl the .proto files of TensorFlow Serving and TensorFlow then,
#   -import-path serving -import-path tensorflow -proto tensorflow_serving/apis/prediction_service.proto
# tensorContent is base64 of the tensor's bytes (C order, little-endian): $(base64 < pixels.bin | tr -d '\n')
grpcurl -plaintext -max-time 10 -max-msg-sz 2147483647 -d @ tfs.example:8500 tensorflow.serving.PredictionService/Predict <<JSON
{
  "modelSpec": {"name": "detector", "signatureName": "embed", "version": "3"},
  "inputs": {
    "image_bytes": {"dtype": "DT_STRING", "tensorShape": {"dim": [{"size": "1"}, {"size": "2"}]}, "stringVal": ["iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAD0lEQVR42mNowAEYhpYEAILzYAEllbNjAAAAAElFTkSuQmCC"]},
    "pixels": {"dtype": "DT_FLOAT", "tensorShape": {"dim": [{"size": "1"}, {"size": "224"}, {"size": "224"}, {"size": "3"}]}, "tensorContent": "$(head -c 602112 /dev/zero | base64 | tr -d '\n')"},
    "query": {"dtype": "DT_STRING", "tensorShape": {"dim": [{"size": "1"}]}, "stringVal": ["dGV4dA=="]}
  }
}
JSON
