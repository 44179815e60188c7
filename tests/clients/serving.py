"""The server behind: answers what is asked of it in the metadata of a call, and can go and come back.

Law: it knows nothing of cases or clients. Predict answers with its inputs, streams with their messages; `Interop` does
what gRPC's interop-test-descriptions.md ask of its server, with sizes in metadata instead of a message.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc

from proxy.wire.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    predict_pb2,
)
from tests.fake_serving import signature_def

PATIENCE = 20.0
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
PREDICT, METADATA = (
    f"/tensorflow.serving.PredictionService/{name}" for name in ("Predict", "GetModelMetadata")
)
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELAY, INTEROP = "/tfs.test.Relay/Stream", "/tfs.test.Interop/Call"
KNOWN = (PREDICT, METADATA, STATUS, RELAY, INTEROP)
NEVER_TOLD = "slow"
"""How the names of models begin whose metadata is held back."""


class Serving(grpc.GenericRpcHandler):
    """`signatures` are those of the model `m`; of every call that came, `seen` has the path."""

    def __init__(self, signatures: dict[str, Any]) -> None:
        self._signatures = signatures
        self._changed = threading.Condition()
        self.seen: list[str] = []
        self.under_way = 0
        self._held = 0
        self._server: grpc.Server | None = None
        self.port = 0
        self.start()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """On the port where it was."""
        self._ending = threading.Event()
        self._server = grpc.server(ThreadPoolExecutor(16), options=(*UNLIMITED, ("grpc.so_reuseport", 0)))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        self._server.start()

    def stop(self) -> None:
        self._ending.set()
        self._server.stop(0).wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait_until(self, calls: int, *, after: int = 0, path: str | None = None) -> bool:
        """Whether so many calls come to be under way, of those of `path` that came after the first `after`."""

        def there() -> bool:
            return self.under_way == calls and (path is None or path in self.seen[after:])

        with self._changed:
            return self._changed.wait_for(there, PATIENCE)

    def service(self, details: Any) -> Any:
        path = details.method
        if path not in KNOWN:
            return None
        return grpc.stream_stream_rpc_method_handler(
            lambda messages, context: self._serve(path, messages, context)
        )

    def _serve(self, path: str, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        gone = threading.Event()
        context.add_callback(gone.set)
        asked = {key: value for key, value in context.invocation_metadata() if key.startswith("x-")}
        first = next(messages, None) if path in (PREDICT, METADATA, STATUS) else None
        # The proxy asks questions of its own; they are not calls of clients.
        of_client = path not in (METADATA, STATUS) or bool(asked)
        with self._changed:
            self.seen.append(path)
            self.under_way += of_client
            self._changed.notify_all()
        try:
            yield from self._answer(path, first, messages, asked, context, gone)
        finally:
            with self._changed:
                self.under_way -= of_client
                self._changed.notify_all()

    def _answer(
        self,
        path: str,
        first: bytes | None,
        messages: Iterator[bytes],
        asked: dict[str, Any],
        context: grpc.ServicerContext,
        gone: threading.Event,
    ) -> Iterator[bytes]:
        if "x-gzip" in asked:
            context.set_compression(grpc.Compression.Gzip)
        if "x-grpc-test-echo-initial" in asked:
            context.send_initial_metadata((("x-grpc-test-echo-initial", asked["x-grpc-test-echo-initial"]),))
        if "x-grpc-test-echo-trailing-bin" in asked:
            echoed = ("x-grpc-test-echo-trailing-bin", asked["x-grpc-test-echo-trailing-bin"])
            context.set_trailing_metadata((echoed,))
        match path:
            case "/tensorflow.serving.PredictionService/Predict":
                answers: Iterator[bytes] = iter((_predicted(first or b""),))
            case "/tensorflow.serving.PredictionService/GetModelMetadata":
                answers = self._metadata(first or b"", gone, context)
            case "/tensorflow.serving.ModelService/GetModelStatus":
                answers = iter((_status(first or b"", context),))
            case "/tfs.test.Relay/Stream":
                answers = messages
            case _:
                answers = _sized(messages, asked)
        hold = asked.get("x-hold")
        if hold == "before":
            self._hold(gone)
        yield from answers
        if hold == "after":
            self._hold(gone)
        if "x-code" in asked:
            context.set_code(next(code for code in grpc.StatusCode if code.value[0] == int(asked["x-code"])))
            context.set_details(asked["x-text-bin"].decode())

    def let_go(self) -> None:
        """Answer what is held: the proxy asks only a few questions about unknown names at a time."""
        self._held += 1

    def _hold(self, gone: threading.Event) -> None:
        """Until the call is over, or this server, or it is let go."""
        held = self._held
        while not (gone.wait(0.01) or self._ending.is_set() or held != self._held):
            pass

    def _metadata(self, data: bytes, gone: threading.Event, context: grpc.ServicerContext) -> Iterator[bytes]:
        request = get_model_metadata_pb2.GetModelMetadataRequest.FromString(data)
        if request.model_spec.name.startswith(NEVER_TOLD):
            self._hold(gone)
        _known(request.model_spec, context)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = 1
        response.metadata["signature_def"].Pack(
            get_model_metadata_pb2.SignatureDefMap(signature_def=self._signatures), deterministic=True
        )
        yield response.SerializeToString(deterministic=True)


def signatures(inputs: dict[str, tuple[int, tuple[int, ...]]]) -> dict[str, meta_graph_pb2.SignatureDef]:
    """What takes each input by itself, under its name, and answers with it."""
    return {name: signature_def({name: spec}, {name: spec}) for name, spec in inputs.items()} | {
        "serving_default": signature_def(inputs, inputs)
    }


def _known(spec: Any, context: grpc.ServicerContext) -> None:
    """With the code and text of TF Serving for what it does not have."""
    if spec.name != "m":
        context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
    if spec.HasField("version") and spec.version.value != 1:
        asked = f"Specific({spec.name}, {spec.version.value})"
        context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")


def _predicted(data: bytes) -> bytes:
    request = predict_pb2.PredictRequest.FromString(data)
    response = predict_pb2.PredictResponse(outputs=request.inputs)
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = 1
    return response.SerializeToString(deterministic=True)


def _status(data: bytes, context: grpc.ServicerContext) -> bytes:
    request = get_model_status_pb2.GetModelStatusRequest.FromString(data)
    if request.model_spec.name != "m":
        context.abort(
            grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {request.model_spec.name}"
        )
    response = get_model_status_pb2.GetModelStatusResponse()
    response.model_version_status.add(version=1, state="AVAILABLE").status.SetInParent()
    return response.SerializeToString(deterministic=True)


def _sized(messages: Iterator[bytes], asked: dict[str, Any]) -> Iterator[bytes]:
    """Zeros: of each of the sizes, one for each message (`x-each`) or after all of them; or how many octets came."""
    sizes = [int(size) for size in asked.get("x-sizes", "").split("+") if size]
    if "x-each" in asked:
        for number, _ in enumerate(messages):
            yield bytes(sizes[number])
        return
    received = sum(len(message) for message in messages)
    if "x-sum" in asked:
        yield str(received).encode()
    for size in sizes:
        yield bytes(size)
