"""The services that the proxy answers itself, beside the server's own: health and reflection.

Law: serves what it is told; what is healthy is decided elsewhere. The handlers are plain grpc.aio ones, so
any edge can put them behind its port.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2  # noqa: F401  lets reflection clients print the details of refusals
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

Handlers = dict[str, Any]
"""Full method path → grpc.RpcMethodHandler."""

OVERALL: Final = ""
"""The process is alive and not draining."""
PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
"""The upstream is reachable."""
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"


def model_service(model: str) -> str:
    """The health service name of a model."""
    return f"model/{model}"


class Health:
    """`grpc.health.v1.Health`, following what it is told until the proxy drains."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()
        self._closed = asyncio.Event()

    async def tell(self, service: str, serving: bool) -> None:
        """Say from now on that `service` is SERVING or NOT_SERVING; watchers hear of it."""
        status = health_pb2.HealthCheckResponse
        await self._servicer.set(service, status.SERVING if serving else status.NOT_SERVING)

    async def drain(self) -> None:
        """Say NOT_SERVING of everything, for good."""
        await self._servicer.enter_graceful_shutdown()

    def close(self) -> None:
        """End every Watch: by itself it would never end, and stopping would wait for it."""
        self._closed.set()

    def handlers(self) -> Handlers:
        """Check and Watch; List is not in the kept implementation."""
        found = _Handlers()
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, found)
        check, watch = (found.by_path[f"/{health.SERVICE_NAME}/{name}"] for name in ("Check", "Watch"))
        return {
            f"/{health.SERVICE_NAME}/Check": check,
            f"/{health.SERVICE_NAME}/Watch": grpc.unary_stream_rpc_method_handler(
                self._watch, watch.request_deserializer, watch.response_serializer
            ),
        }

    async def _watch(self, request: Any, context: Any) -> None:
        watching = asyncio.ensure_future(self._servicer.Watch(request, context))
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({watching, closed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            closed.cancel()
            await asyncio.gather(watching, closed, return_exceptions=True)
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        context.set_details("the proxy is stopping")


def reflection_handlers() -> Handlers:
    """Server reflection over the proxy's own services and TF Serving's.

    v1 has the same messages as v1alpha, of which grpcio-reflection ships only the older name.
    """
    names = (health.SERVICE_NAME, reflection.SERVICE_NAME, PREDICTION_SERVICE, MODEL_SERVICE)
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
