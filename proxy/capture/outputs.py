"""Looks at what the server answered to a sample of the requests, and tells what is wrong with its outputs.

Law: an observer that only hands over; a thread of its own reads. What it cannot keep up with is dropped and counted,
and nothing that goes wrong here touches a call. The answer has gone to the client by then: what is found is for
the operator, in metrics and log. Only digests are kept.
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from proxy.core.outputs import OutputFinding, OutputKind, Run, judge_outputs
from proxy.observe.outcome import Outcome
from proxy.observe.series import OTHER
from proxy.wire.outputs import output_facts
from proxy.wire.values import require_numpy

_OK: Final = 0
MOST_WAITING: Final = 100
"""Answers that wait to be looked at; beyond, they are dropped."""
MOST_WAITING_BYTES: Final = 64 << 20
"""The same, in bytes of requests and answers together."""
MOST_SIGNATURES: Final = 256
"""Signatures of model versions that are remembered; the one not called for longest makes room."""
_CLOSING_SECONDS: Final = 5.0

Found = Callable[[str, int | None, str, OutputFinding], None]
Labels = tuple[str, str, str]


class _Answered(NamedTuple):
    model: str
    version: int | None
    signature: str
    request: bytes
    answer: bytes | bytearray | memoryview

    @property
    def size(self) -> int:
        return len(self.request) + len(self.answer)


class OutputWatch:
    """An `EndObserver`; `found` is told the model, its version, the signature and what was found, on another thread.

    Raises ModuleNotFoundError, with what to do, where numpy is missing.
    """

    def __init__(self, found: Found) -> None:
        require_numpy()
        self._found = found
        self._waiting: deque[_Answered] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._runs: OrderedDict[tuple[str, int | None, str], Run] = OrderedDict()
        self._counts = {"checked": 0, "unreadable": 0, "dropped": 0}
        self._findings: Counter[Labels] = Counter()
        self._thread = threading.Thread(target=self._run, name="outputs", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many answers were looked at, could not be read, and were dropped."""
        return self._counts

    @property
    def findings(self) -> Mapping[Labels, int]:
        """How many answers had something wrong, by model, signature and kind; 0 for those that were only looked at."""
        with self._changed:
            return dict(self._findings)

    def call_ended(self, outcome: Outcome) -> None:
        """Hand over a chosen request with its answer."""
        if outcome.watched is None or outcome.code != _OK:
            return
        answered = _Answered(
            outcome.model or "", outcome.version, outcome.signature, outcome.watched, outcome.answer
        )
        with self._changed:
            full = not answered.answer or self._waiting_bytes + answered.size > MOST_WAITING_BYTES
            if full or len(self._waiting) >= MOST_WAITING or self._closing:
                self._counts["dropped"] += 1
                return
            self._waiting.append(answered)
            self._waiting_bytes += answered.size
            self._changed.notify()

    def close(self) -> None:
        """Look at what waits, for at most five seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while (answered := self._next()) is not None:
            try:
                self._look(answered)
            except Exception:  # noqa: BLE001  one answer that cannot be read must not end the watch
                self._count("unreadable")

    def _next(self) -> _Answered | None:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            if not self._waiting:
                return None
            answered = self._waiting.popleft()
            self._waiting_bytes -= answered.size
            return answered

    def _look(self, answered: _Answered) -> None:
        facts = output_facts(answered.request, bytes(answered.answer))
        model, version, signature = key = answered[:3]
        run = self._runs.pop(key, Run()).followed_by(facts)
        self._runs[key] = run
        if len(self._runs) > MOST_SIGNATURES:
            self._runs.popitem(last=False)
        found = judge_outputs(facts, run)
        with self._changed:
            self._counts["checked"] += 1
            self._count_findings(model, signature, [finding.kind for finding in found])
        for finding in found:
            self._found(model, version, signature, finding)

    def _count_findings(self, model: str, signature: str, found: Collection[OutputKind]) -> None:
        new = (model, signature, OutputKind.NOT_FINITE.value) not in self._findings
        if new and len(self._findings) >= MOST_SIGNATURES * len(OutputKind):
            model = signature = OTHER
        for kind in OutputKind:
            # Zeros too, so that rate() sees the first finding.
            self._findings[model, signature, kind.value] += kind in found

    def _count(self, result: str) -> None:
        with self._changed:
            self._counts[result] += 1
