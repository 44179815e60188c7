"""The whole way: official client stubs → `tfs-proxy serve` → dev server on the real TensorFlow."""

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from proxy.core.reasons import Reason
from proxy.wire.protos import predict_pb2
from tests.conftest import DevServer
from tests.proxy_process import EDGES, ProxyProcess, running_proxy

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PATIENCE = 20.0


@dataclass(frozen=True)
class Answer:
    """What a client sees. `reason` is ErrorInfo's, `reasons` those of all field violations."""

    code: str
    text: str = ""
    response: predict_pb2.PredictResponse | None = None
    reason: str = ""
    reasons: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """The proxy's own doing, not an answer of the server."""
        return self.reason != "" and Reason(self.reason).about.family != "upstream"


class Client:
    """The official stub on one channel, which also sends bytes that no stub would."""

    def __init__(self, target: str) -> None:
        # After proxy.wire.protos, so that these modules come without the TensorFlow runtime.
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        # A channel is not shared with another client of the same address.
        options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(target, options=options)
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self._raw = self.channel.unary_unary(
            PREDICT, response_deserializer=predict_pb2.PredictResponse.FromString
        )

    def predict(self, request: predict_pb2.PredictRequest | bytes) -> Answer:
        method = self._raw if isinstance(request, bytes) else self.stub.Predict
        try:
            response, call = method.with_call(request, timeout=PATIENCE)
        except grpc.RpcError as error:
            return _failed(error)
        warnings = tuple(value for key, value in call.trailing_metadata() if key == "tfs-proxy-warning")
        return Answer("OK", response=response, warnings=warnings)


def _failed(error: grpc.RpcError) -> Answer:
    reason, reasons = "", set()
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            assert (status.code, status.message) == (error.code().value[0], error.details())
            for detail in status.details:
                info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
                if detail.Unpack(info):
                    assert info.domain == "tfs-proxy"
                    reason = info.reason
                elif detail.Unpack(bad_request):
                    reasons |= {each.reason for each in bad_request.field_violations}
    return Answer(error.code().name, error.details(), reason=reason, reasons=frozenset(reasons))


@pytest.fixture(scope="session")
def connect() -> Iterator[Callable[[str], Client]]:
    """Make a client of the server at an address."""
    clients = []

    def make(target: str) -> Client:
        clients.append(Client(target))
        return clients[-1]

    yield make
    for client in clients:
        client.channel.close()


def wait_until_ready(proxy: ProxyProcess) -> None:
    """Wait until the proxy says that it has the server and the models."""
    deadline = time.monotonic() + PATIENCE
    missing = ""
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{proxy.admin}/readyz", timeout=5).close()
        except urllib.error.HTTPError as error:
            missing = error.read().decode()
            error.close()
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"never ready: {missing}")


@pytest.fixture(scope="session", params=EDGES)
def edge(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The flags that choose an edge: whatever goes the whole way goes it through each of them."""
    return EDGES[request.param]


@pytest.fixture(scope="session")
def proxied(dev_server: DevServer, edge: tuple[str, ...]) -> Iterator[ProxyProcess]:
    """A proxy in front of the dev server with every model."""
    with running_proxy("--upstream", dev_server.target, "--model", "ssd", *edge) as proxy:
        wait_until_ready(proxy)
        yield proxy


@pytest.fixture(scope="session")
def direct(dev_server: DevServer, connect: Callable[[str], Client]) -> Client:
    return connect(dev_server.target)


@pytest.fixture(scope="session")
def through(proxied: ProxyProcess, connect: Callable[[str], Client]) -> Client:
    return connect(proxied.target)
