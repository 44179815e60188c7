"""Raw calls to a dev server: bytes out, what the server answered back."""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message

from proxy.devserver.protos import prediction_log_pb2
from proxy.wire.protos import get_model_status_pb2, model_pb2

PREDICTION = "/tensorflow.serving.PredictionService"
MODEL = "/tensorflow.serving.ModelService"


@dataclass(frozen=True)
class Answer:
    code: str
    details: str
    body: bytes = b""


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


@pytest.fixture(scope="session")
def unnumbered():
    """Take the numbers of an export out of a text: `__inference_ssd_54` may be `_61` in the next one."""
    return lambda details: re.sub(r"(__inference_\w+?|map_while_body)_\d+", r"\1_N", details)


@pytest.fixture
def warm_up_with():
    """Write warm-up records into a version directory: PredictRequests, or whole PredictionLogs."""

    def write(version: Path, *requests: Message) -> Path:
        file = version / "assets.extra" / "tf_serving_warmup_requests"
        file.parent.mkdir()
        with file.open("wb") as out:
            for request in requests:
                log = request
                if not isinstance(request, prediction_log_pb2.PredictionLog):
                    log = prediction_log_pb2.PredictionLog()
                    log.predict_log.request.CopyFrom(request)
                record = log.SerializeToString()
                # TFRecord: length, its checksum, record, its checksum; nobody looks at the checksums.
                out.write(struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0))
        return file

    return write
