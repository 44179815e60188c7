"""The two questions that are put to TF Serving: which signatures, and which versions.

Law: one call each, no memory. Every way in which an answer can fail to come is one exception; that the
server has no such model is an answer.
"""

from collections.abc import Sequence

import grpc
import grpc.aio

from proxy.core.availability import Absence, Unanswered, VersionStatus, judge_absence
from proxy.core.reasons import Code
from proxy.core.types import ModelKey, Servable
from proxy.upstream.events import FetchResult
from proxy.wire.metadata import (
    UnreadableMetadataError,
    metadata_request,
    servable_of_response,
    status_request,
    versions_of_response,
)

GET_MODEL_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
GET_MODEL_STATUS = "/tensorflow.serving.ModelService/GetModelStatus"

_UNKNOWN_LABEL = "Unrecognized servable version label"
"""How INVALID_ARGUMENT begins for a label that is not assigned (measured; also when the model is unknown)."""

_UNAVAILABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)

_KEPT = frozenset(
    {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
)
"""Answers of a server, or of what stands before it, that does not give metadata away. Not among them is INTERNAL
and the like: what fails today may succeed tomorrow."""

_Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


class NoAnswerError(Exception):
    """The server gave no answer that is of use. The text says why; `result` is UNAVAILABLE or ERROR.

    `unanswered` is the same for those who judge requests.
    """

    def __init__(
        self, result: FetchResult, text: str, *, kept: bool = False, code: int = Code.UNAVAILABLE
    ) -> None:
        super().__init__(text)
        self.result = result
        self.unanswered = Unanswered(text, kept, code)


class ServingClient:
    """Asks the server behind `channel`; each call may take `timeout` seconds."""

    def __init__(self, channel: grpc.aio.Channel, timeout: float = 5.0) -> None:
        self._get_metadata: _Method = channel.unary_unary(GET_MODEL_METADATA)
        self._get_status: _Method = channel.unary_unary(GET_MODEL_STATUS)
        self._timeout = timeout

    async def lookup(self, key: ModelKey, known: Sequence[str] = ()) -> Servable | Absence:
        """The servable that `key` addresses, or its absence with what GetModelStatus says of the model.

        `known` are the model names to put into an absence. Raises NoAnswerError.
        """
        found = await self._lookup(key, known)
        if isinstance(found, Absence) and judge_absence(found) is None:
            # Loaded between the two questions, as a rule.
            found = await self._lookup(key, known)
            if isinstance(found, Absence) and judge_absence(found) is None:
                text = "GetModelMetadata answers NOT_FOUND for a version that GetModelStatus calls AVAILABLE"
                raise NoAnswerError(FetchResult.ERROR, text, kept=True)
        return found

    async def _lookup(self, key: ModelKey, known: Sequence[str]) -> Servable | Absence:
        try:
            try:
                data = await self._get_metadata(metadata_request(key), timeout=self._timeout)
            except grpc.aio.AioRpcError as error:
                if not _says_absent(error):
                    raise
            else:
                return servable_of_response(data, key.model)
        except (grpc.RpcError, grpc.aio.UsageError, UnreadableMetadataError) as error:
            raise _no_answer(error) from error
        # One NOT_FOUND has many causes; only the status tells them apart (measured).
        return Absence(key, await self.versions(key.model), tuple(known))

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version of `model` that the server tells of, newest first; empty: it does not know the model.

        Raises NoAnswerError.
        """
        try:
            return versions_of_response(await self._get_status(status_request(model), timeout=self._timeout))
        except (grpc.RpcError, grpc.aio.UsageError, UnreadableMetadataError) as error:
            if isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.NOT_FOUND:
                return ()  # "Could not find any versions of model …"
            raise _no_answer(error) from error


def _says_absent(error: grpc.aio.AioRpcError) -> bool:
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
        return (error.details() or "").startswith(_UNKNOWN_LABEL)
    return error.code() is grpc.StatusCode.NOT_FOUND


def _no_answer(error: Exception) -> NoAnswerError:
    if not isinstance(error, grpc.aio.AioRpcError):  # unreadable, or the channel is closed
        return NoAnswerError(FetchResult.ERROR, str(error), kept=isinstance(error, UnreadableMetadataError))
    code = error.code()
    result = FetchResult.UNAVAILABLE if code in _UNAVAILABLE else FetchResult.ERROR
    text = f"{code.name}: {error.details() or 'no text'}"
    return NoAnswerError(result, text, kept=code in _KEPT, code=code.value[0])
