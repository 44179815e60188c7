"""FakeServing: a scriptable TF Serving without TensorFlow, on a real gRPC server.

It answers GetModelMetadata, GetModelStatus and Predict with the codes and texts measured on the genuine
server, and does what a test says: which versions are there in which state, when an answer may leave, which
calls fail. It counts every call.

    async with FakeServing() as serving:
        serving.load("m", 1, {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 3))})})
        channel = grpc.aio.insecure_channel(serving.target)
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

import grpc
import grpc.aio

from proxy.wire.protos import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    meta_graph_pb2,
    model_pb2,
    predict_pb2,
)

DT_FLOAT = 1
DT_UINT8 = 4

UNKNOWN_RANK = None
Tensors = Mapping[str, tuple[int, tuple[int, ...] | None]]

SERVICES = {
    "tensorflow.serving.PredictionService": ("Predict", "GetModelMetadata"),
    "tensorflow.serving.ModelService": ("GetModelStatus", "HandleReloadConfigRequest"),
    "tensorflow.ProfilerService": ("Profile", "Monitor", "Terminate"),
}
OF_OPERATORS = {*SERVICES["tensorflow.ProfilerService"], "HandleReloadConfigRequest"}
"""Answered with an empty message, whatever they ask."""


def tensor_info(dtype: int, shape: tuple[int, ...] | None, name: str = "") -> meta_graph_pb2.TensorInfo:
    """A TensorInfo; shape None is unknown rank."""
    info = meta_graph_pb2.TensorInfo(name=name, dtype=dtype)
    if shape is None:
        info.tensor_shape.unknown_rank = True
    else:
        info.tensor_shape.SetInParent()
        for size in shape:
            info.tensor_shape.dim.add(size=size)
    return info


def signature_def(
    inputs: Tensors, outputs: Tensors | None = None, method: str = "tensorflow/serving/predict"
) -> meta_graph_pb2.SignatureDef:
    """A SignatureDef with tensors given as alias → (dtype, shape)."""
    definition = meta_graph_pb2.SignatureDef(method_name=method)
    for alias, (dtype, shape) in inputs.items():
        definition.inputs[alias].CopyFrom(tensor_info(dtype, shape, f"serving_default_{alias}:0"))
    for alias, (dtype, shape) in (outputs or {"y": (DT_FLOAT, (-1,))}).items():
        definition.outputs[alias].CopyFrom(tensor_info(dtype, shape, "StatefulPartitionedCall:0"))
    return definition


Signatures = Mapping[str, meta_graph_pb2.SignatureDef]
DEFAULT_SIGNATURES: Signatures = {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 3))})}


@dataclass
class Version:
    signatures: Signatures
    state: str = "AVAILABLE"
    error_code: int = 0
    error_message: str = ""


@dataclass
class Hold:
    """Calls of one method stop here, their answer already settled, until `release()`."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def arrived(self, count: int = 1) -> None:
        """Wait until that many more calls are held."""
        for _ in range(count):
            await asyncio.wait_for(self.waiting.acquire(), 10)

    def release(self) -> None:
        self.released.set()


class _AbortError(Exception):
    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        self.code, self.text = code, text


async def _no_such_method(_requests: object, context: grpc.aio.ServicerContext) -> None:
    """As gRPC in C++ answers, without a text (tfs-behaviour.md, section M)."""
    await context.abort(grpc.StatusCode.UNIMPLEMENTED)


class FakeServing(grpc.GenericRpcHandler):
    """`models[name][version]`, `labels[name][label]`; change them at any time."""

    def __init__(
        self, address: str = "127.0.0.1:0", credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self.models: dict[str, dict[int, Version]] = {}
        self.labels: dict[str, dict[str, int]] = {}
        self.calls: Counter[str] = Counter()
        """Calls by method name, and by method and model: `calls["GetModelMetadata", "m"]`."""
        self.requests: list[tuple[str, bytes]] = []
        self._failures: dict[str, tuple[grpc.StatusCode, str]] = {}
        self._raw: dict[str, bytes] = {}
        self._holds: dict[str, Hold] = {}
        self._address = address
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def target(self) -> str:
        return f"{self._address.rpartition(':')[0]}:{self.port}"

    async def start(self) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", -1),
                ("grpc.max_send_message_length", -1),
                # Beyond 1000 calls that Python has not taken yet, grpc's core cancels some, whosever they are.
                ("grpc.server.max_pending_requests", 1_000_000),
                ("grpc.server.max_pending_requests_hard_limit", 1_000_000),
            ]
        )
        self._server.add_generic_rpc_handlers((self,))
        if self._credentials is None:
            self.port = self._server.add_insecure_port(self._address)
        else:
            self.port = self._server.add_secure_port(self._address, self._credentials)
        if self._address.endswith(":0"):
            self._address = self.target  # a restart comes back where it was
        await self._server.start()

    async def stop(self) -> None:
        for hold in self._holds.values():
            hold.release()
        await self._server.stop(None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def load(
        self,
        model: str,
        version: int = 1,
        signatures: Signatures = DEFAULT_SIGNATURES,
        state: str = "AVAILABLE",
        error: tuple[int, str] = (0, ""),
    ) -> None:
        """Have a version of a model; any other version stays."""
        self.models.setdefault(model, {})[version] = Version(signatures, state, *error)

    def swap(self, model: str, version: int, signatures: Signatures = DEFAULT_SIGNATURES) -> None:
        """The new version becomes AVAILABLE and every other one END, as after a version directory appears."""
        for other in self.models.get(model, {}).values():
            other.state = "END"
        self.load(model, version, signatures)

    def fail(self, method: str, code: grpc.StatusCode, text: str = "") -> None:
        """Every further call of `method` fails so, until `mend(method)`."""
        self._failures[method] = (code, text)

    def answer(self, method: str, data: bytes) -> None:
        """Every further call of `method` is answered with these bytes, until `mend(method)`."""
        self._raw[method] = data

    def mend(self, method: str) -> None:
        self._failures.pop(method, None)
        self._raw.pop(method, None)

    @contextlib.contextmanager
    def hold(self, method: str) -> Iterator[Hold]:
        """Hold every call of `method` that arrives while the block runs."""
        hold = self._holds[method] = Hold()
        try:
            yield hold
        finally:
            hold.release()
            del self._holds[method]

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        _, service, method = handler_call_details.method.split("/")
        if method not in SERVICES.get(service, ()):
            return grpc.stream_stream_rpc_method_handler(_no_such_method)

        async def call(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                settled: bytes | _AbortError = self._settle(method, data)
            except _AbortError as abort:
                settled = abort
            hold = self._holds.get(method)
            if hold is not None:
                hold.waiting.release()
                await hold.released.wait()
            if isinstance(settled, _AbortError):
                await context.abort(settled.code, settled.text)
            return settled

        return grpc.unary_unary_rpc_method_handler(call)

    def _settle(self, method: str, data: bytes) -> bytes:
        if method in OF_OPERATORS:
            self.calls[method] += 1
            return b""
        request = {
            "Predict": predict_pb2.PredictRequest,
            "GetModelMetadata": get_model_metadata_pb2.GetModelMetadataRequest,
            "GetModelStatus": get_model_status_pb2.GetModelStatusRequest,
        }[method].FromString(data)
        self.calls[method] += 1
        self.calls[method, request.model_spec.name] += 1
        self.requests.append((method, data))
        if method in self._failures:
            raise _AbortError(*self._failures[method])
        if method in self._raw:
            return self._raw[method]
        if method == "GetModelStatus":
            return self._status(request.model_spec)
        version, found = self._resolve(request.model_spec)
        if method == "Predict":
            response = predict_pb2.PredictResponse()
            response.model_spec.signature_name = request.model_spec.signature_name or "serving_default"
        else:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(
                get_model_metadata_pb2.SignatureDefMap(signature_def=found.signatures)
            )
        response.model_spec.name = request.model_spec.name
        response.model_spec.version.value = version
        return response.SerializeToString()

    def _resolve(self, spec: model_pb2.ModelSpec) -> tuple[int, Version]:
        served = {n: v for n, v in self.models.get(spec.name, {}).items() if v.state == "AVAILABLE"}
        if spec.HasField("version_label"):
            wanted = self.labels.get(spec.name, {}).get(spec.version_label)
            if wanted is None:
                text = f"Unrecognized servable version label: {spec.version_label}"
                raise _AbortError(grpc.StatusCode.INVALID_ARGUMENT, text)
        elif spec.HasField("version"):
            wanted = spec.version.value
        else:
            wanted = max(served, default=None)
        if wanted not in served:
            asked = f"Latest({spec.name})" if wanted is None else f"Specific({spec.name}, {wanted})"
            raise _AbortError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
        return wanted, served[wanted]

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        versions = self.models.get(spec.name, {})
        if not versions:
            raise _AbortError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for number, version in sorted(versions.items(), reverse=True):
            status = response.model_version_status.add(version=number, state=version.state)
            status.status.error_code = version.error_code
            status.status.error_message = version.error_message
        return response.SerializeToString()
