"""Which methods there are, and which may pass: knowledge that every edge shares.

Law: decides by the method's full path alone (`/package.Service/Method`); knows nothing of how calls arrive.
"""

from collections.abc import Collection
from typing import Final

from proxy.core.reasons import Reason
from proxy.wire import protos

UNARY_METHODS: Final[frozenset[str]] = frozenset(
    f"/{service.full_name}/{method.name}"
    for file in (protos.prediction_service_pb2, protos.model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    if not method.client_streaming and not method.server_streaming
)
"""TF Serving's own methods with one request and one response; every other method is relayed as a stream."""

QUESTIONS: Final = frozenset(
    {
        "/tensorflow.serving.PredictionService/GetModelMetadata",
        "/tensorflow.serving.ModelService/GetModelStatus",
    }
)
"""What is asked about models: messages that hold little but names, and are not judged."""

HARMLESS_METHODS: Final = frozenset({"/tensorflow.serving.ModelService/GetModelStatus"})
"""What may be asked of a guarded service."""

_MODEL_SERVICE: Final = "/tensorflow.serving.ModelService/"
"""It unloads models and, with one absent path, blocks the server's threads for ever (tfs-behaviour.md, section S)."""
_PROFILER: Final = "/tensorflow.ProfilerService/"
"""tensorflow_model_server registers TensorFlow's profiler on the same port (`server.cc`): it slows the server down
and writes files to a path that the caller chooses.
"""
_GUARDED: Final = (_MODEL_SERVICE, _PROFILER)
"""Services of which only what is known to be harmless passes, whatever they learn later."""


def only_for_operators(method: str) -> Reason | None:
    """Why a client is not to call a method that only an operator needs; None: it may.

    Compared octet by octet, because gRPC core does so: it looks the path up in a map of the registered ones
    (`src/core/server/server.cc`, `Server::GetRegisteredMethod`). Another case, a second or a trailing slash, a
    percent-encoding or a URI in the path is another method there, one that does not exist.
    """
    if not method.startswith(_GUARDED) or method in HARMLESS_METHODS:
        return None
    return Reason.PROFILER_FORBIDDEN if method.startswith(_PROFILER) else Reason.METHOD_FORBIDDEN


class AllowedMethods:
    """The methods that an operator lets through: `/package.Service/Method`, or `/package.Service/*` for all of one."""

    __slots__ = ("_methods", "_services")

    def __init__(self, names: Collection[str]) -> None:
        self._methods = frozenset(names)
        self._services = frozenset(name[:-1] for name in names if name.endswith("/*"))

    def has(self, method: str) -> bool:
        """Whether a method may pass; octet by octet, as above."""
        return method in self._methods or method[: method.rfind("/") + 1] in self._services


def allowed_of(names: Collection[str]) -> AllowedMethods | None:
    """What is allowed by these names; None: there are none, and everything is."""
    return AllowedMethods(names) if names else None
