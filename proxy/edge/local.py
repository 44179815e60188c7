"""The services that the proxy answers itself, beside the server's own: health and reflection.

Law: serves what it is told; what is healthy is decided elsewhere. The handlers are plain grpc.aio ones, so
any edge can put them behind its port.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2  # noqa: F401  lets reflection clients print the details of refusals
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

Handlers = dict[str, Any]
"""Full method path → grpc.RpcMethodHandler."""

Answering = Callable[[bytes], tuple[int, bytes | str]]
"""Answers a unary method at once: request message → status code with the response message, or with a text."""

OVERALL: Final = ""
"""The process is alive and not draining."""
_SERVER_SERVICES: Final = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
SERVER_NAMES: Final = (*_SERVER_SERVICES, *(name.rpartition(".")[2] for name in _SERVER_SERVICES))
"""The upstream is reachable and has what it should. The names without a package are those that
tensorflow_model_server itself answers with `--enable_grpc_healthcheck_service` (`server.cc`).
"""
_UNKNOWN: Final = "unknown service; Health/List has those that are known"

_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = (
    health_pb2.HealthCheckResponse(status=status).SerializeToString()
    for status in (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
        health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
    )
)


def model_service(model: str) -> str:
    """The health service name of a model."""
    return f"model/{model}"


class Health:
    """`grpc.health.v1.Health`, following what it is told until the proxy drains.

    Not grpcio-health-checking's servicer: there a watcher that does not read keeps everyone's status from changing,
    since it writes under the lock that a change needs.
    """

    def __init__(self) -> None:
        self._statuses = {OVERALL: _SERVING}
        self._draining = False
        self._closed = False
        # Done when something changes, and replaced by the next.
        self._change: asyncio.Future[None] | None = None

    async def tell(self, service: str, serving: bool) -> None:
        """Say from now on that `service` is SERVING or NOT_SERVING; watchers hear of it."""
        if not self._draining:
            self._statuses[service] = _SERVING if serving else _NOT_SERVING
            self._changed()

    async def drain(self) -> None:
        """Say NOT_SERVING of everything, for good."""
        self._draining = True
        self._statuses = dict.fromkeys(self._statuses, _NOT_SERVING)
        self._changed()

    def close(self) -> None:
        """End every Watch: by itself it would never end, and stopping would wait for it."""
        self._closed = True
        self._changed()

    def answers(self) -> dict[str, Answering]:
        """Check again, for an edge that can answer without waiting for anyone."""
        return {f"/{health.SERVICE_NAME}/Check": self._answer}

    def handlers(self) -> Handlers:
        """Check, List and Watch."""
        read = health_pb2.HealthCheckRequest.FromString
        return {
            f"/{health.SERVICE_NAME}/List": grpc.unary_unary_rpc_method_handler(
                self._list,
                health_pb2.HealthListRequest.FromString,
                health_pb2.HealthListResponse.SerializeToString,
            ),
            f"/{health.SERVICE_NAME}/Check": grpc.unary_unary_rpc_method_handler(self._check, read),
            f"/{health.SERVICE_NAME}/Watch": grpc.unary_stream_rpc_method_handler(self._watch, read),
        }

    def _answer(self, message: bytes) -> tuple[int, bytes | str]:
        try:
            service = health_pb2.HealthCheckRequest.FromString(message).service
        except DecodeError:
            return grpc.StatusCode.INTERNAL.value[0], "the request is not a HealthCheckRequest"
        status = self._statuses.get(service)
        return (grpc.StatusCode.NOT_FOUND.value[0], _UNKNOWN) if status is None else (0, status)

    async def _check(self, request: Any, context: Any) -> bytes | None:
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, _UNKNOWN)
        return status

    async def _list(self, _request: Any, _context: Any) -> Any:
        answer = health_pb2.HealthListResponse()
        for service, status in self._statuses.items():
            answer.statuses[service].MergeFromString(status)
        return answer

    async def _watch(self, request: Any, context: Any) -> None:
        told = None
        while not self._closed:
            if self._change is None:
                self._change = asyncio.get_running_loop().create_future()
            change = self._change
            status = self._statuses.get(request.service, _SERVICE_UNKNOWN)
            if status != told:
                await context.write(status)
                told = status
            await asyncio.shield(change)
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        context.set_details("the proxy is stopping")

    def _changed(self) -> None:
        change, self._change = self._change, None
        if change is not None:
            change.set_result(None)


def reflection_handlers() -> Handlers:
    """Server reflection over the proxy's own services and TF Serving's.

    v1 has the same messages as v1alpha, of which grpcio-reflection ships only the older name.
    """
    names = (health.SERVICE_NAME, reflection.SERVICE_NAME, *_SERVER_SERVICES)
    found = _Handlers()
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
        reflection.aio.ReflectionServicer(names), found
    )
    return found.by_path | {
        path.replace(".v1alpha.", ".v1."): handler for path, handler in found.by_path.items()
    }


class _Handlers:
    """What the generated `add_…_to_server` functions take for a server.

    A real grpc.aio server would register each method with the core and from then on wait for each of them
    beside every call.
    """

    def __init__(self) -> None:
        self.by_path: Handlers = {}

    def add_generic_rpc_handlers(self, _: object) -> None:
        """The same handlers once more, by prefix."""

    def add_registered_method_handlers(
        self, service: str, handlers: Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]
    ) -> None:
        self.by_path |= {f"/{service}/{name}": handler for name, handler in handlers.items()}
