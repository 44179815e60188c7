"""How many calls of each model are under way, against a limit for each.

Law: counts names that the server has confirmed, as whoever asks knows; one without a call is not remembered. The words
are those of `admission`.
"""

from collections.abc import Mapping

from proxy.core.verdict import Verdict
from proxy.edge.admission import UNLIMITED, Limits, too_many_of_a_model


class ModelCalls:
    """Calls under way by model; `most` of each, but for those with a limit of their own."""

    __slots__ = ("_calls", "_most", "_own")

    def __init__(self, most: int, own: Mapping[str, int]) -> None:
        self._most = most
        self._own = own
        self._calls: dict[str, int] = {}

    def adopt(self, limits: Limits) -> None:
        """Hold to other limits from now on."""
        self._most = limits.max_model_calls
        self._own = limits.model_calls

    def enter(self, verdict: Verdict) -> Verdict | None:
        """Take in a call that was judged so, or say why not. What was taken in must leave."""
        model = verdict.model or ""
        calls = self._calls.get(model, 0)
        most = self._own.get(model, self._most)
        if most != UNLIMITED and calls >= most:
            return too_many_of_a_model(most, verdict)
        self._calls[model] = calls + 1
        return None

    def leave(self, model: str) -> None:
        """A call that was taken in is over."""
        left = self._calls[model] - 1
        if left:
            self._calls[model] = left
        else:
            del self._calls[model]


def is_confirmed(verdict: Verdict | None) -> bool:
    """Whether the server has said that it has the model that was judged against."""
    return verdict is not None and bool(verdict.model) and verdict.version is not None


def model_calls_of(limits: Limits) -> ModelCalls | None:
    """The counts that the limits ask for; None: there is no such limit, and nothing is counted."""
    if limits.max_model_calls == UNLIMITED and not limits.model_calls:
        return None
    return ModelCalls(limits.max_model_calls, limits.model_calls)


def adopted(calls: ModelCalls | None, limits: Limits) -> ModelCalls | None:
    """The counts that go on under other limits: who is counted is not forgotten."""
    if calls is None:
        return model_calls_of(limits)
    calls.adopt(limits)
    return calls
