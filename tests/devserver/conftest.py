"""Raw calls to a dev server: bytes out, what the server answered back."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
import pytest
from google.protobuf.message import Message

from proxy.wire.protos import get_model_status_pb2, model_pb2, predict_pb2, tensor_pb2, types_pb2

PREDICTION = "/tensorflow.serving.PredictionService"
MODEL = "/tensorflow.serving.ModelService"


@dataclass(frozen=True)
class Answer:
    code: str
    details: str
    body: bytes = b""


Call = Callable[..., Answer]


class Client:
    """One channel to one server."""

    def __init__(self, target: str) -> None:
        # A lost server is noticed at once, and a channel is not shared with a dead server on the same port.
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(target, options=options)

    def call(self, method: str, request: Message | bytes = b"", timeout: float = 60) -> Answer:
        body = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            return Answer("OK", "", self.channel.unary_unary(method)(body, timeout=timeout))
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details())

    def predict(self, request: Message | bytes, timeout: float = 60) -> Answer:
        return self.call(f"{PREDICTION}/Predict", request, timeout)

    def states(self, model: str) -> dict[int, str]:
        """Version → state; empty for an unknown model."""
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name=model))
        answer = self.call(f"{MODEL}/GetModelStatus", request)
        response = get_model_status_pb2.GetModelStatusResponse.FromString(answer.body)
        return {
            one.version: get_model_status_pb2.ModelVersionStatus.State.Name(one.state)
            for one in response.model_version_status
        }


@pytest.fixture(scope="session")
def client(dev_server):
    """The client of the shared dev server."""
    one = Client(dev_server.target)
    yield one
    one.channel.close()


@pytest.fixture
def connect():
    """Make a client of another server."""
    clients = []

    def make(target: str) -> Client:
        clients.append(Client(target))
        return clients[-1]

    yield make
    for one in clients:
        one.channel.close()


def floats(values=(), *, shape=None) -> tensor_pb2.TensorProto:
    """A float tensor; without a shape a vector of the values, without values zeros."""
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=values)
    proto.tensor_shape.SetInParent()
    for size in [len(values)] if shape is None else shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def predict_request(model, version=None, label=None, signature="", **inputs) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for alias, proto in inputs.items():
        request.inputs[alias].CopyFrom(proto)
    return request
