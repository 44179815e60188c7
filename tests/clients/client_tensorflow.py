"""TensorFlow 2 with the stubs of tensorflow-serving-api, as users write it: `python client_tensorflow.py ADDRESS`.

What is read are requests that fit or do not; each tensor is taken apart and made anew by `tf.make_tensor_proto`.
"""

import sys
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.clients.client_python import OPTIONS
from tests.clients.telling import Told, answer, hello, read


def made_anew(message: bytes) -> Any:
    told = predict_pb2.PredictRequest.FromString(message)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = told.model_spec.name
    request.model_spec.signature_name = told.model_spec.signature_name
    if told.model_spec.HasField("version"):
        request.model_spec.version.value = told.model_spec.version.value
    for alias, tensor in told.inputs.items():
        values = tf.make_ndarray(tensor)
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(values, dtype=tensor.dtype, shape=values.shape))
    return request


def play(channel: grpc.Channel, told: Told) -> str:
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    stub, request = {
        "Predict": lambda: (prediction.Predict, made_anew(told.messages[0])),
        "GetModelMetadata": lambda: (
            prediction.GetModelMetadata,
            get_model_metadata_pb2.GetModelMetadataRequest.FromString(told.messages[0]),
        ),
        "GetModelStatus": lambda: (
            models.GetModelStatus,
            get_model_status_pb2.GetModelStatusRequest.FromString(told.messages[0]),
        ),
    }[told.path.rpartition("/")[2]]()
    how = {"compression": grpc.Compression.Gzip} if told.gzip else {}
    call: Any = stub.future(request, timeout=told.timeout, metadata=told.metadata, **how)
    if told.cancel == "told":
        sys.stdin.readline()
        call.cancel()
    messages = []
    try:
        response = call.result()
        for tensor in getattr(response, "outputs", {}).values():
            tf.make_ndarray(tensor)
        messages.append(response.SerializeToString(deterministic=True))
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    initial = call.initial_metadata() if told.cancel == "never" else ()
    return answer(
        told, call.code().value[0], call.details(), messages, initial, call.trailing_metadata() or ()
    )


def main() -> None:
    hello(f"TensorFlow {tf.__version__}, grpcio {grpc.__version__}")
    with grpc.insecure_channel(sys.argv[1], OPTIONS) as channel:
        for line in sys.stdin:
            print(play(channel, read(line)), flush=True)


if __name__ == "__main__":
    main()
