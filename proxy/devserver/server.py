"""The gRPC face: PredictionService and ModelService over a Repository.

Law: bytes in, bytes out; the first check of every method stands here (does it parse, is there a ModelSpec),
every later one further down. Neither health nor reflection: the genuine server has none by default. What is
not one of the methods below is UNIMPLEMENTED with an empty text, what does not parse INTERNAL with an empty
text (measured, section M).
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from proxy.devserver.examples import classify, multi_inference, regress
from proxy.devserver.model import Model
from proxy.devserver.predict import predict
from proxy.devserver.protos import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)
from proxy.devserver.repository import Repository
from proxy.devserver.runtime import INVALID_ARGUMENT, TensorFlowError

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_WORKERS: Final = 64
_OPTIONS: Final = (
    # The genuine server takes messages of any size, and a port taken by another process is an error.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
)

# A parsed request and the seconds left in, a response message or TensorFlowError out.
_Method = Callable[[Any, float | None], Any]


class Services:
    """The methods of both services."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def methods(self) -> dict[str, tuple[type[Message], _Method]]:
        """Full method name → (request type, method)."""
        prediction, model = "/tensorflow.serving.PredictionService", "/tensorflow.serving.ModelService"
        return {
            f"{prediction}/Predict": (predict_pb2.PredictRequest, self._running(predict)),
            f"{prediction}/Classify": (classification_pb2.ClassificationRequest, self._running(classify)),
            f"{prediction}/Regress": (regression_pb2.RegressionRequest, self._running(regress)),
            f"{prediction}/MultiInference": (inference_pb2.MultiInferenceRequest, self._multi_inference),
            f"{prediction}/GetModelMetadata": (
                get_model_metadata_pb2.GetModelMetadataRequest,
                self._get_model_metadata,
            ),
            f"{model}/GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, self._get_model_status),
            f"{model}/HandleReloadConfigRequest": (
                model_management_pb2.ReloadConfigRequest,
                self._handle_reload_config,
            ),
        }

    def _running(self, run: Callable[[Model, Any, float | None], Any]) -> _Method:
        def method(request: Any, timeout_seconds: float | None) -> Any:
            with self._repository.lease(_spec(request)) as model:
                return run(model, request, timeout_seconds)

        return method

    def _multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, timeout_seconds: float | None
    ) -> Any:
        spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        with self._repository.lease(spec) as model:
            return multi_inference(model, request, timeout_seconds)

    def _get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, _: float | None
    ) -> Any:
        spec = _spec(request)
        if not request.metadata_field:
            raise TensorFlowError(
                INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
            )
        for name in request.metadata_field:
            if name != "signature_def":
                raise TensorFlowError(INVALID_ARGUMENT, f"Metadata field {name} is not supported")
        with self._repository.lease(spec) as model:
            response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=model.spec())
            response.metadata["signature_def"].Pack(model.signature_map)
            return response

    def _get_model_status(self, request: get_model_status_pb2.GetModelStatusRequest, _: float | None) -> Any:
        return self._repository.status(_spec(request))

    def _handle_reload_config(
        self, request: model_management_pb2.ReloadConfigRequest, _: float | None
    ) -> Any:
        if request.config.WhichOneof("config") != "model_config_list":
            raise TensorFlowError(
                INVALID_ARGUMENT,
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported",
            )
        self._repository.configure(request.config.model_config_list)
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response


def _spec(request: Any) -> model_pb2.ModelSpec:
    if not request.HasField("model_spec"):
        raise TensorFlowError(INVALID_ARGUMENT, "Missing ModelSpec")
    return request.model_spec


_LONGEST_TEXT = 1024
"""Octets of an error's text that TF Serving sends (model_servers/grpc_status_util.cc)."""


def _shortened(text: str) -> str:
    octets = text.encode()
    if len(octets) <= _LONGEST_TEXT:
        return text
    return octets[:_LONGEST_TEXT].decode(errors="ignore") + "...TRUNCATED"


class _Handler(grpc.GenericRpcHandler):
    """Raw bytes of any method to the services, and their errors to statuses."""

    def __init__(self, services: Services, max_threads: int | None) -> None:
        self._methods = services.methods()
        self._slots = threading.Semaphore(max_threads - 1) if max_threads else None

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        if details.method not in self._methods:
            return grpc.stream_stream_rpc_method_handler(_unimplemented)
        request_type, method = self._methods[details.method]

        def answer(body: bytes, context: grpc.ServicerContext) -> bytes:
            if self._slots and not self._slots.acquire(blocking=False):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "Server Threadpool Exhausted")
            try:
                response = method(request_type.FromString(body), context.time_remaining())
                return bytes(response.SerializeToString())
            except DecodeError:
                context.abort(grpc.StatusCode.INTERNAL, "")
            except TensorFlowError as error:
                context.abort(_CODES[error.code], _shortened(error.message))
            finally:
                if self._slots:
                    self._slots.release()

        return grpc.unary_unary_rpc_method_handler(answer)


def _unimplemented(_: Iterator[bytes], context: grpc.ServicerContext) -> NoReturn:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "")


def serve(repository: Repository, address: str, max_threads: int | None = None) -> tuple[grpc.Server, int]:
    """Open the port and answer; return the server and the port it listens on.

    `max_threads` counts as --grpc_max_threads does: one thread listens, so one call fewer runs at a time and
    the next is refused at once with RESOURCE_EXHAUSTED (measured, section W).

    Raises:
        RuntimeError: the address cannot be bound.
    """
    server = grpc.server(
        ThreadPoolExecutor(max(_WORKERS, 2 * (max_threads or 0)), thread_name_prefix="rpc"),
        handlers=[_Handler(Services(repository), max_threads)],
        options=_OPTIONS,
    )
    port = server.add_insecure_port(address)
    server.start()
    return server, port
