"""What is known of a request, in one of two ways, and how a view of it is read from that.

Law: a value, told by whoever has the request: its `Message`, whole or in pieces; or, where the payloads were not
kept, a `Glimpse`, which can show a view of it and nothing more. Decides nothing.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, final

from proxy.core.types import CLASSIFY_METHOD, REGRESS_METHOD, RequestView
from proxy.wire.pieces import Pieces
from proxy.wire.request import (
    AT_ONCE,
    parse_classify,
    parse_multi_inference,
    parse_predict,
    parse_predict_at_once,
    parse_regress,
)
from proxy.wire.wire_format import UnusualError

PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"


class Part(NamedTuple):
    """One thing that a message asks for. `method` is the method_name that its signature needs (None: any), `task`
    its number among the tasks of a MultiInferenceRequest.
    """

    view: RequestView
    method: str | None = None
    task: int | None = None


Parts = Sequence[Part]


def _parse_predict(message: bytes) -> Parts:
    return (Part(parse_predict(message)),)


def _parse_classify(message: bytes) -> Parts:
    return (Part(parse_classify(message), CLASSIFY_METHOD),)


def _parse_regress(message: bytes) -> Parts:
    return (Part(parse_regress(message), REGRESS_METHOD),)


def _parse_multi_inference(message: bytes) -> Parts:
    return [Part(*each, number) for number, each in enumerate(parse_multi_inference(message))]


_PARSERS: Final[MappingProxyType[str, Callable[[bytes], Parts]]] = MappingProxyType(
    {
        PREDICT: _parse_predict,
        "/tensorflow.serving.PredictionService/Classify": _parse_classify,
        "/tensorflow.serving.PredictionService/Regress": _parse_regress,
        "/tensorflow.serving.PredictionService/MultiInference": _parse_multi_inference,
    }
)

JUDGED_METHODS: Final = frozenset(_PARSERS)
"""Full paths of the methods that the gate judges; every other one is only relayed."""


@final
class Message:
    """The serialised request of a method in JUDGED_METHODS. Pieces are put together only where that is needed."""

    __slots__ = ("method", "octets")

    def __init__(self, method: str, octets: bytes | Pieces) -> None:
        self.method = method
        self.octets = octets

    @property
    def size(self) -> int:
        return len(self.octets)

    def view_at_once(self) -> RequestView:
        """The view of a PredictRequest; raises UnusualError where it takes longer than a glance."""
        return parse_predict_at_once(bytes(self.octets))

    def parts_at_once(self) -> Parts:
        """What it asks for; raises UnusualError where it takes longer than a glance to find out."""
        octets = bytes(self.octets)
        if self.method == PREDICT:
            return (Part(parse_predict_at_once(octets)),)
        if len(octets) > AT_ONCE:
            raise UnusualError
        return _PARSERS[self.method](octets)

    def parts(self) -> Parts:
        """What it asks for, however long it takes to find out."""
        return _PARSERS[self.method](bytes(self.octets))


class Shows(Protocol):
    """Who has seen a PredictRequest and can show what was seen, such as a `wire.push.PushScanner`."""

    def view(self) -> RequestView:
        """What is known by now; may raise MalformedRequestError or UnusualError."""


@final
class Glimpse:
    """A PredictRequest of which not all is there yet, or not all was kept: its values cannot be looked at."""

    __slots__ = ("shown_by",)

    method: Final = PREDICT
    size: Final = 0

    def __init__(self, shown_by: Shows) -> None:
        self.shown_by = shown_by

    def view_at_once(self) -> RequestView:
        return self.shown_by.view()

    def parts_at_once(self) -> Parts:
        return (Part(self.shown_by.view()),)

    def parts(self) -> Parts:
        return self.parts_at_once()


Known = Message | Glimpse
