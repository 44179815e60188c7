"""Which methods there are, and which may pass: knowledge that every edge shares.

Law: decides by the method's full path alone (`/package.Service/Method`); knows nothing of how calls arrive.
"""

from typing import Final

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

GUARDED_SERVICES: Final = ("/tensorflow.serving.ModelService/", "/tensorflow.ProfilerService/")
"""Services that change the server, so that only what is known to be harmless passes, whatever they learn later.

ModelService unloads models and, with one absent path, blocks the server's threads for ever (measured).
tensorflow_model_server registers TensorFlow's profiler on the same port (`server.cc`): it slows the server down and
writes files to a path that the caller chooses.
"""


def changes_state(method: str) -> bool:
    """Whether a method may change the server, so that only an operator needs it.

    Compared octet by octet, because gRPC core does so: it looks the path up in a map of the registered ones
    (`src/core/server/server.cc`, `Server::GetRegisteredMethod`). Another case, a second or a trailing slash, a
    percent-encoding or a URI in the path is another method there, one that does not exist.
    """
    return method.startswith(GUARDED_SERVICES) and method not in HARMLESS_METHODS
