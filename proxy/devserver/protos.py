"""The message classes which only the dev server needs, beside those of `proxy.wire.protos`.

Law: `proxy.wire.protos` is imported first, because it decides where the name `tensorflow` leads; after that
the generated modules import like any other.
"""

# ruff: isort: off
from proxy.wire.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    meta_graph_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
    saved_model_pb2,
    tensor_pb2,
    tensor_shape_pb2,
    types_pb2,
)
from tensorflow.core.protobuf import config_pb2, error_codes_pb2
from tensorflow_serving.apis import input_pb2, prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2
# ruff: isort: on

__all__ = [
    "classification_pb2",
    "config_pb2",
    "error_codes_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "input_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "predict_pb2",
    "prediction_log_pb2",
    "regression_pb2",
    "saved_model_pb2",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
