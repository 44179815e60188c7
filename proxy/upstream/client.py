"""The two questions that are put to TF Serving: which signatures, and which versions.

Law: one call each, no memory. Every way in which an answer can fail to come is one exception; that the
server has no such model is an answer.
"""

from collections.abc import Sequence

import grpc

from proxy.core.availability import Absence, Unanswered, VersionStatus, judge_absence
from proxy.core.reasons import Code
from proxy.core.types import ModelKey, Servable
from proxy.upstream.control import ControlError, ControlPlane
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

_IN_HTTP = "http2 header with status"
"""What the text of a status says that was made of an answer in HTTP: a front has no way to the server just now."""

_KEPT = frozenset(
    {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
)
"""Answers of a server, or of what stands before it, that does not give metadata away. Not among them is INTERNAL
and the like: what fails today may succeed tomorrow."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}


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
    """Asks the server behind `control`; each call may take `timeout` seconds."""

    def __init__(self, control: ControlPlane, timeout: float = 5.0) -> None:
        self._control = control
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
                data = await self._control.ask(GET_MODEL_METADATA, metadata_request(key), self._timeout)
            except ControlError as error:
                if not _says_absent(error):
                    raise
            else:
                return servable_of_response(data, key.model)
        except (ControlError, UnreadableMetadataError) as error:
            raise _no_answer(error) from error
        # One NOT_FOUND has many causes; only the status tells them apart (measured).
        return Absence(key, await self.versions(key.model), tuple(known))

    async def versions(self, model: str) -> tuple[VersionStatus, ...]:
        """Every version of `model` that the server tells of, newest first; empty: it does not know the model.

        Raises NoAnswerError.
        """
        try:
            data = await self._control.ask(GET_MODEL_STATUS, status_request(model), self._timeout)
            return versions_of_response(data)
        except (ControlError, UnreadableMetadataError) as error:
            if isinstance(error, ControlError) and _CODES.get(error.code) is grpc.StatusCode.NOT_FOUND:
                return ()  # "Could not find any versions of model …"
            raise _no_answer(error) from error


def _says_absent(error: ControlError) -> bool:
    code = _CODES.get(error.code)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return error.text.startswith(_UNKNOWN_LABEL)
    return code is grpc.StatusCode.NOT_FOUND


def _no_answer(error: ControlError | UnreadableMetadataError) -> NoAnswerError:
    if not isinstance(error, ControlError):
        return NoAnswerError(FetchResult.ERROR, str(error), kept=True)
    code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
    result = FetchResult.UNAVAILABLE if code in _UNAVAILABLE else FetchResult.ERROR
    text = f"{code.name}: {error.text or 'no text'}"
    kept = code in _KEPT and _IN_HTTP not in error.text.lower()
    return NoAnswerError(result, text, kept=kept, code=code.value[0])
