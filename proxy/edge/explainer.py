"""What an edge adds to an error that it did not make itself: the server's, or that of the way to it.

Law: code and text of the answer stay; only words are added, behind them. It never waits: signatures, states of
models and the way to the server are watched by others, and what they know now is what is told, unless the server's
own text contradicts it: then the signature is asked for again, and nothing is explained by it. A fault of ours adds
nothing and is counted.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from proxy.core.reasons import Code, Reason
from proxy.core.types import RequestView, Servable
from proxy.diagnosis import Call, Diagnosis, diagnose
from proxy.diagnosis.contradiction import contradicts, denies_servable, told
from proxy.diagnosis.transport import WAY_REASONS, Spent, diagnose_deadline, diagnose_reach
from proxy.gate import Judge
from proxy.observe.outcome import Outcome
from proxy.upstream.models import ModelWatch
from proxy.upstream.reach import ReachWatch
from proxy.upstream.signatures import SignatureCache
from proxy.wire.diagnosis import Annotated, annotate

_DEADLINE_TEXTS: Final = frozenset({"", "Deadline Exceeded"})
"""What gRPC's own clock says; a server that ends a call for its time has a text of its own."""


_OF_THE_WAY: Final = WAY_REASONS | {Reason.UPSTREAM_MESSAGE_TOO_LARGE}
"""What an answer to a question of the proxy's own says of every request that would go the same way."""


class Answer(NamedTuple):
    """How a call ended; `details` is what `grpc-status-details-bin` held."""

    code: int
    text: str = ""
    details: bytes = b""


class Explainer:
    """Diagnoses failed calls for every edge; `failed` is told of a fault in doing so."""

    def __init__(
        self,
        target: str,
        gate: Judge,
        signatures: SignatureCache,
        models: ModelWatch,
        reach: ReachWatch,
        failed: Callable[[object, Exception], None],
    ) -> None:
        self._target = target
        self._gate = gate
        self._signatures = signatures
        self._models = models
        self._reach = reach
        self._failed = failed

    @property
    def connected(self) -> bool:
        """Whether a connection to the server stands."""
        return self._reach.up is True

    def explain(
        self,
        outcome: Outcome,
        answer: Answer,
        request: RequestView | None,
        spent: Spent,
        *,
        of_the_way: bool = False,
    ) -> Annotated | None:
        """What to answer instead, and the sentence for trailing metadata; `request` is what the gate read.

        None: nothing is known beyond what the answer says, or, with `of_the_way`, nothing of the way to the server.
        The outcome is told too; its method, model, version, signature and request_bytes are read.
        """
        try:
            call = self._call(outcome, request)
            outdated = call.servable if contradicts(answer.text, call) else None
            if outdated is not None or denies_servable(answer.text):
                self._renew(request)
            diagnosis = self._diagnose(answer, replace(call, servable=None) if outdated else call, spent)
            if outdated is not None and diagnosis is not None:
                diagnosis = diagnosis.saying(f"{diagnosis.sentence}; {told(outdated)}")
        except Exception as error:  # noqa: BLE001  a fault of ours must not break traffic
            self._failed(self, error)
            return None
        if diagnosis is None or (of_the_way and diagnosis.reason not in _OF_THE_WAY):
            return None
        outcome.diagnosis = diagnosis.reason
        outcome.text = f"{diagnosis.sentence}. {diagnosis.remedy}"
        outcome.request = request
        version = outcome.version if outdated is None else None
        facts = {"model": outcome.model, "version": version, "signature": outcome.signature}
        known = {name: str(value) for name, value in facts.items() if value not in {None, ""}}
        return annotate(answer.code, answer.text, answer.details, diagnosis, known)

    def _renew(self, request: RequestView | None) -> None:
        if request is not None and request.key is not None:
            self._signatures.observe_contradiction(request.key)

    def _diagnose(self, answer: Answer, call: Call, spent: Spent) -> Diagnosis | None:
        code, text = answer.code, answer.text
        diagnosis = diagnose(code, text, call)
        reach = self._reach.latest
        if code == Code.DEADLINE_EXCEEDED and text in _DEADLINE_TEXTS:
            return diagnose_deadline(spent, self.connected, self._target, diagnosis, reach)
        from_the_way = diagnosis is None or diagnosis.reason in WAY_REASONS
        if reach is not None and code == Code.UNAVAILABLE and from_the_way:
            return diagnose_reach(reach, text) or diagnosis
        return diagnosis

    def _call(self, outcome: Outcome, request: RequestView | None) -> Call:
        key = request.key if request is not None else None
        servable: Servable | None = None
        versions = None
        independent = False
        if request is not None and key is not None:
            servable = self._signatures.last(key)
            independent = servable is not None and self._gate.are_independent(request, servable)
            state = self._models.model(key.model)
            versions = state.versions if state is not None else None
        return Call(
            outcome.method,
            request,
            servable,
            versions,
            self._signatures.known_models(),
            outcome.request_bytes,
            independent,
        )
