"""Records what was chosen, once the server has answered it well, and tells what was refused, without values.

Law: an observer that only hands over; a thread of its own encodes and writes. What it cannot keep up with is
dropped and counted. While the files cannot be written (a full disk) the recording pauses and tries again; whatever
else goes wrong ends it, never a call.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from proxy.capture.files import Sink
from proxy.observe.outcome import Outcome
from proxy.observe.refusals import refusal_of
from proxy.wire.prediction_log import KINDS, log_head
from proxy.wire.tfrecord import frame

_OK: Final = 0
MOST_WAITING: Final = 1000
"""Calls that wait to be written; beyond, they are dropped."""
MOST_WAITING_BYTES: Final = 64 << 20

_REFUSAL_BYTES: Final = 4096
"""What a refusal is reckoned at while it waits: names of a request, no payload."""
_BREATH_SECONDS: Final = 0.0005
_CLOSING_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 10.0
"""From one attempt to write to the next while the recording pauses."""


class Recorder:
    """An `EndObserver` that writes to `sink`.

    `failed` is told once of what ended the recording, `paused` of what it pauses for (None: it goes on). Refusals are
    recorded for `models` only (empty: all).
    """

    def __init__(
        self,
        sink: Sink,
        failed: Callable[[Exception], None],
        paused: Callable[[OSError | None], None],
        models: Collection[str] = (),
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._sink = sink
        self._failed = failed
        self._tell_paused = paused
        self._models = frozenset(models)
        self._retry_seconds = retry_seconds
        self._paused = False
        # Whether the next attempt has to wait: until then nothing is taken.
        self._waits = False
        self._waiting: deque[Outcome] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._dead = False
        self._counts = {"request": 0, "refusal": 0, "dropped": 0}
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many requests and refusals were written, and how many of either were dropped."""
        return self._counts

    @property
    def paused(self) -> bool:
        """Whether nothing is recorded because the files cannot be written."""
        return self._dead or self._paused

    def call_ended(self, outcome: Outcome) -> None:
        """Hand over a chosen request that the server answered with OK, or a refusal."""
        if not self._wanted(outcome):
            return
        size = _size(outcome)
        with self._changed:
            full = len(self._waiting) >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES
            if full or self._dead or self._waits or self._closing:
                self._counts["dropped"] += 1
                return
            self._waiting.append(outcome)
            self._waiting_bytes += size
            self._changed.notify()

    def _wanted(self, outcome: Outcome) -> bool:
        if outcome.refusal is None:
            # A warm-up request that fails keeps the model from loading.
            return outcome.sample is not None and outcome.code == _OK
        if not self._models:
            return True
        key = outcome.request.key if outcome.request is not None else None
        return key is not None and key.model in self._models

    def close(self) -> None:
        """Write what waits, for at most five seconds, and close the files."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        try:
            while (outcome := self._next()) is not None:
                try:
                    self._write(outcome)
                except OSError as error:
                    self._pause(error)
                else:
                    self._go_on()
            self._sink.close()
        except Exception as error:  # noqa: BLE001  recording ends, traffic does not
            with self._changed:
                self._dead = True
                self._drop_waiting()
            self._failed(error)

    def _pause(self, error: OSError) -> None:
        """Drop what there is, and wait before the next attempt, which is made with the next that is chosen."""
        with self._changed:
            news, self._paused = not self._paused, True
            self._counts["dropped"] += 1
            self._drop_waiting()
        if news:
            self._tell_paused(error)
        with self._changed:
            self._waits = True
            self._changed.wait_for(lambda: self._closing, self._retry_seconds)
            self._waits = False

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self._tell_paused(None)

    def _drop_waiting(self) -> None:
        self._counts["dropped"] += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _next(self) -> Outcome | None:
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            if not self._waiting:
                return None
            outcome = self._waiting.popleft()
            self._waiting_bytes -= _size(outcome)
            return outcome

    def _write(self, outcome: Outcome) -> None:
        sample = outcome.sample
        if outcome.refusal is not None or sample is None:
            written, kind = self._sink.refused(_line(outcome)), "refusal"
        else:
            head = log_head(KINDS[outcome.method], len(sample))
            before, behind = frame((head, sample), _breathe)
            written, kind = self._sink.record(outcome.model or "", (before, head, sample, behind)), "request"
        with self._changed:
            self._counts[kind if written else "dropped"] += 1


def _breathe() -> None:
    # The checksum is computed in Python: without pauses, calls would wait for this thread again and again.
    time.sleep(_BREATH_SECONDS)


def _size(outcome: Outcome) -> int:
    return _REFUSAL_BYTES if outcome.sample is None else len(outcome.sample)


def _line(outcome: Outcome) -> bytes:
    return json.dumps(refusal_of(outcome, datetime.now(UTC)).as_json()).encode() + b"\n"
