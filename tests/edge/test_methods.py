"""What is known of methods."""

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from proxy.core.reasons import Reason
from proxy.edge.methods import UNARY_METHODS, only_for_operators
from proxy.gate import JUDGED_METHODS
from proxy.wire.protos import model_service_pb2


def test_every_judged_method_is_unary():
    assert JUDGED_METHODS <= UNARY_METHODS


def test_all_methods_of_tf_serving_are_known():
    assert {method.rpartition("/")[2] for method in UNARY_METHODS} == {
        *("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"),
        *("GetModelStatus", "HandleReloadConfigRequest"),
    }


@pytest.mark.parametrize(
    "method",
    [
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
        "/tensorflow.serving.ModelService/UnloadEverything",
        "/tensorflow.serving.ModelService/getmodelstatus",
        "/tensorflow.serving.ModelService/GetModelStatus/",
        "/tensorflow.serving.ModelService//GetModelStatus",
        "/tensorflow.serving.ModelService/",
        "/tensorflow.ProfilerService/Profile",
        "/tensorflow.ProfilerService/Monitor",
        "/tensorflow.ProfilerService/Terminate",
    ],
)
def test_of_a_service_for_operators_only_what_is_known_to_be_harmless_passes(method):
    assert only_for_operators(method)


@pytest.mark.parametrize(
    "method", [*JUDGED_METHODS, "/tensorflow.serving.ModelService/GetModelStatus", "/a.B/C", ""]
)
def test_everything_else_is_for_clients(method):
    assert only_for_operators(method) is None


@pytest.mark.parametrize("method", ["Profile", "Monitor", "Terminate"])
def test_the_profiler_has_a_reason_of_its_own(method):
    assert only_for_operators(f"/tensorflow.ProfilerService/{method}") is Reason.PROFILER_FORBIDDEN


def test_every_method_of_the_model_service_has_been_decided_on():
    """A TF Serving that brings another method fails here, and clients are refused it until someone has looked."""
    service = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
    decided = {"GetModelStatus": None, "HandleReloadConfigRequest": Reason.METHOD_FORBIDDEN}
    assert {
        method.name: only_for_operators(f"/{service.full_name}/{method.name}") for method in service.methods
    } == decided


def _field(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _call(port: int, path: bytes) -> None:
    """One call to `path`, written by hand; over once the server has ended the stream or the connection."""
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    fields += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    block = b"".join(_field(*each) for each in fields)
    head = len(block).to_bytes(3, "big") + b"\x01\x04" + (1).to_bytes(4, "big") + block
    body = (5).to_bytes(3, "big") + b"\x00\x01" + (1).to_bytes(4, "big") + bytes(5)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as client,
        client.makefile("rb") as answers,
    ):
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5) + head + body)
        while frame := answers.read(9):
            answers.read(int.from_bytes(frame[:3], "big"))
            kind, flags = frame[3], frame[4]
            if kind in {RST_STREAM, GOAWAY} or (kind == HEADERS and flags & END_STREAM):
                return


HEADERS, RST_STREAM, GOAWAY, END_STREAM = 1, 3, 7, 1
GUARDED = b"/tensorflow.serving.ModelService/HandleReloadConfigRequest"


@pytest.fixture
def grpc_core():
    """A server of gRPC core's that notes each call to the method as registered there; yields (port, calls)."""
    calls = []
    server = grpc.server(ThreadPoolExecutor(1))

    def answer(request, context):
        calls.append(request)
        return b""

    handler = grpc.unary_unary_rpc_method_handler(answer)
    service, method = "tensorflow.serving.ModelService", "HandleReloadConfigRequest"
    server.add_registered_method_handlers(service, {method: handler})
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, calls
    server.stop(None)


def test_the_path_as_it_is_reaches_the_method(grpc_core):
    port, calls = grpc_core
    _call(port, GUARDED)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "path",
    [
        b"/" + GUARDED,
        GUARDED + b"/",
        GUARDED.replace(b"Service/", b"Service//"),
        GUARDED.replace(b"Handle", b"handle"),
        GUARDED.replace(b"/tensor", b"/Tensor"),
        GUARDED.replace(b"HandleR", b"Handle%52"),
        GUARDED + b"?x=1",
        GUARDED + b"#x",
        GUARDED + b" ",
        b"http://x" + GUARDED,
        b"/x/.." + GUARDED,
        GUARDED[1:],
    ],
)
def test_no_other_spelling_of_a_path_reaches_a_method_that_is_refused(grpc_core, path):
    """Either gRPC core does not know the path, or the check sees it."""
    port, calls = grpc_core
    assert not path.startswith(GUARDED) or only_for_operators(path.decode())
    _call(port, path)
    assert calls == []
