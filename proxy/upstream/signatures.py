"""SignatureCache: the live signatures of the server, asked once and shared by all requests.

Law: does what core/freshness.py decides and decides nothing itself. No question is asked twice at a time
(single flight per key), nothing that clients send makes it grow without bound, and nothing here raises:
what cannot be had is `Unanswered`. What was once known stays known, and is asked for in room of its own: names
that clients invent queue behind one another, never before it.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar

from proxy.core.availability import Absence, Unanswered, VersionStatus
from proxy.core.drift import drift_of
from proxy.core.freshness import (
    DEFAULT_LIMITS,
    Decision,
    Entry,
    Event,
    Limits,
    decide,
    may_outdate,
    moved,
    quiet_after_failure,
)
from proxy.core.types import ModelKey, Servable
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.control import ControlPlane
from proxy.upstream.events import FetchResult, Listener, NullListener
from proxy.upstream.rounds import StatusRounds

Lookup = Servable | Absence
Answer = Lookup | Unanswered

_Value = TypeVar("_Value")

_LONGEST_NAME = 512
"""Characters of a model name and label together beyond which an absence is not remembered: names come from
clients, and megabytes of them must not stay."""

_LABEL_PAUSE = 0.1
"""Seconds between an answer for a label and the next question at most, however many requests contradict what it
pointed to: as long as the answer took, since it brings all signatures, and reading them takes time."""

_STOPPED = Unanswered("the proxy is stopping")
_TOO_MANY = Unanswered("too many unknown names are being asked for")
_NO_TIME = Unanswered("no answer of the server in time")


@dataclass(slots=True, eq=False)
class _Fetch:
    """One question under way. `doubted`: something happened since `began` that the answer may not know of."""

    began: float
    is_recheck: bool
    answer: "asyncio.Future[Answer]"
    task: "asyncio.Task[None]" = field(init=False)
    doubted: bool = False


class SignatureCache:
    """The servables of one server, by ModelKey.

    `configured` are names known to exist before the server was ever asked. `max_keys` bounds the servables
    and, separately, the keys without one, so that invented names never push out a model that is served.
    `max_fetches` questions for keys of which nothing is known are asked at a time, and as many for those that
    are; of the former `max_strangers` may be under way or queued, and `max_strangers_each` on behalf of one
    client, a long name counting as several. `fetch_timeout` is in seconds and bounds each question. Questions
    begin on demand; `stop()` ends them.
    """

    def __init__(
        self,
        control: ControlPlane,
        *,
        configured: Iterable[str] = (),
        listener: Listener | None = None,
        limits: Limits = DEFAULT_LIMITS,
        clock: Callable[[], float] = time.monotonic,
        max_keys: int = 1024,
        max_fetches: int = 4,
        max_strangers: int = 2048,
        max_strangers_each: int = 256,
        fetch_timeout: float = 5.0,
    ) -> None:
        self._client = ServingClient(control, fetch_timeout)
        self._rounds = StatusRounds(self._client.versions)
        self._listener = listener or NullListener()
        self._limits = limits
        self._clock = clock
        self._max_keys = max_keys
        self._max_strangers = max_strangers
        self._max_strangers_each = max_strangers_each
        self._strangers: Counter[Hashable] = Counter()
        self._strangers_in_all = 0
        self._turn = {known: asyncio.Semaphore(max_fetches) for known in (True, False)}
        self._served: OrderedDict[ModelKey, Entry] = OrderedDict()
        self._missing: OrderedDict[ModelKey, Entry] = OrderedDict()
        self._fetches: dict[ModelKey, _Fetch] = {}
        # Outlives an absence in between: a server that unloads before it loads still drifts.
        self._last_served: OrderedDict[ModelKey, Servable] = OrderedDict()
        self._known = tuple(sorted(set(configured)))
        self._stopped = False

    def __repr__(self) -> str:
        return (
            f"<SignatureCache [{len(self._served)} served, {len(self._missing)} missing, "
            f"{len(self._fetches)} being asked]>"
        )

    def peek(self, key: ModelKey) -> Servable | None:
        """The servable to admit by, at the cost of a dictionary look-up; None: await `lookup`.

        One that is due for a refresh is given and asked for again in the background.
        """
        entry = self._served.get(key)
        if entry is None:
            return None
        decision = decide(entry, self._clock(), Event.ADMIT, self._limits)
        if decision is Decision.REFRESH:
            self._begin(key)
        elif decision is not Decision.USE:
            return None
        self._served.move_to_end(key)
        return entry.found if isinstance(entry.found, Servable) else None

    def last(self, key: ModelKey) -> Servable | None:
        """The servable last seen for `key`, however old: good enough to explain by, never to judge by."""
        return self._last_served.get(key)

    async def lookup(self, key: ModelKey, timeout: float | None, client: Hashable = None) -> Answer:
        """The servable, or its absence, for `key`; Unanswered: not to be had within `timeout` seconds.

        While what is known is being renewed, it is given as it was, at the latest `patience` seconds after the
        renewal began: a request that contradicts it has to be rechecked in any case. A question that outlasts
        `timeout` goes on for others. `client` is whoever asks, as far as that can be told.
        """
        entry = self._entry(key)
        now = self._clock()
        decision = decide(entry, now, Event.ADMIT, self._limits)
        answer: Answer = _NO_TIME
        if decision is Decision.WAIT:
            fetch = self._begin(key, client=client)
            if isinstance(fetch, Unanswered):
                answer = fetch
            else:
                if self._is_known(key):
                    soon = max(0.0, fetch.began + self._limits.patience - now)
                    timeout = soon if timeout is None else min(timeout, soon)
                answer = await self._answer(fetch, timeout)
        elif entry is not None:
            if decision is Decision.REFRESH:
                self._begin(key)
            if decision is not Decision.UNKNOWN and entry.found is not None:
                return entry.found
            answer = entry.failure or answer
        if isinstance(answer, Unanswered):
            last = self._last_known(key)
            if last is None and answer.kept and self._was_told(key.model):
                # A client chooses between the names of one servable: none of them is unknown by that.
                return replace(answer, kept=False)
            return answer if last is None else last
        return answer

    def _was_told(self, model: str) -> bool:
        """Whether the server ever gave a signature of `model`."""
        return any(known.model == model for known in self._last_served)

    def _last_known(self, key: ModelKey) -> Lookup | None:
        """What was last heard of a key that was served at some time."""
        entry = self._entry(key)
        if entry is None or entry.found is None:
            return self._last_served.get(key)
        return entry.found if key in self._last_served or isinstance(entry.found, Servable) else None

    async def recheck(
        self,
        key: ModelKey,
        seen: Lookup,
        timeout: float | None,
        arrived: float | None = None,
        client: Hashable = None,
    ) -> Answer:
        """The newest truth, before a request is refused by `seen`.

        Asks the server once more, unless a recheck of this key began less than `recheck_interval` ago: then
        only whether the versions have moved since, so that a swap refuses nobody however many bad requests
        there are. Who comes while one is under way lets it end, and then goes by the versions. `arrived` is when the request came
        in, by this cache's `clock`: an answer asked for since then needs no recheck. Returns `seen` itself where
        nothing has changed; Unanswered: not to be confirmed within `timeout` seconds.
        """
        now = self._clock()
        arrived = now if arrived is None else arrived
        deadline = inf if timeout is None else now + timeout
        while True:
            entry = self._entry(key)
            decision = decide(entry, now, Event.REFUSE, self._limits, arrived)
            if decision is Decision.UNKNOWN:
                return (entry.failure if entry is not None else None) or _NO_TIME
            left = None if timeout is None else max(0.0, deadline - now)
            if decision is Decision.USE and entry is not None and entry.found is not None:
                if key.label is not None and entry.asked_at <= arrived:
                    # Where a label points to is told with the signature alone.
                    took = entry.answered_at - entry.asked_at
                    pause = max(0.0, entry.answered_at + min(took, _LABEL_PAUSE) - now)
                    if left is not None and left <= pause:
                        return _NO_TIME
                    await asyncio.sleep(pause)
                    found = await self._asked_since(key, arrived, deadline, client)
                    return seen if found == seen else found
                moved = False if entry.asked_at > arrived else await self._moved(key, entry.found, left)
                if isinstance(moved, Unanswered):
                    return moved
                if not moved:
                    return seen if entry.found == seen else entry.found
                self.invalidate(key.model)
                now = self._clock()
                continue
            fetch = self._fetches.get(key)
            if fetch is None or fetch.began > arrived:
                found = await self._answer(self._begin(key, is_recheck=True, client=client), left)
                return seen if found == seen else found
            # Asked before the request arrived: its answer may be from before a swap. Let it end, then ask.
            await asyncio.wait((fetch.answer,), timeout=left)
            if not fetch.answer.done():
                return _NO_TIME
            now = self._clock()

    def observe_version(self, model: str, version: int, label: str | None = None) -> None:
        """An answer to a request for the latest version (or for `label`) came from `version`."""
        key = ModelKey(model, None, label)
        entry = self._served.get(key)
        if entry is not None and isinstance(entry.found, Servable) and entry.found.version != version:
            self.observe_contradiction(key)

    def observe_contradiction(self, key: ModelKey) -> None:
        """An answer to a request for `key` contradicts what is held: it is asked for again at once."""
        entry = self._served.get(key)
        now = self._clock()
        if entry is not None and may_outdate(entry, now, self._limits):
            self._served[key] = replace(entry, outdated=True, observed_at=now)
            self._doubt(key)
            self._begin(key)

    def observe_status(self, model: str, versions: Sequence[VersionStatus], asked_at: float) -> None:
        """GetModelStatus, asked at `asked_at` by this cache's `clock`, told these versions of `model`."""
        for key, entry in list(self._served.items()):
            found = entry.found
            if key.model == model and entry.asked_at < asked_at and found and moved(key, found, versions):
                self._served[key] = replace(entry, outdated=True)
                self._doubt(key)

    def invalidate(self, model: str | None = None) -> None:
        """Nothing remembered of `model` (None: of any model) may be used without asking again."""
        for entries in (self._served, self._missing):
            for key, entry in list(entries.items()):
                if model is None or key.model == model:
                    entries[key] = replace(entry, outdated=True, quiet_until=-inf)
        for key in self._fetches:
            if model is None or key.model == model:
                self._doubt(key)

    def known_models(self) -> tuple[str, ...]:
        """Names configured or seen served, sorted; at most `max_keys` of the latter."""
        return self._known

    def ages(self) -> Iterator[tuple[ModelKey, Servable, float]]:
        """Every servable held and how many seconds ago it was asked for."""
        now = self._clock()
        for key, entry in list(self._served.items()):
            if isinstance(entry.found, Servable):
                yield key, entry.found, now - entry.asked_at

    async def _asked_since(self, key: ModelKey, arrived: float, deadline: float, client: Hashable) -> Answer:
        """What the server says of `key` in answer to a question asked after `arrived`."""
        while True:
            left = None if deadline == inf else max(0.0, deadline - self._clock())
            entry, fetch = self._entry(key), self._fetches.get(key)
            if entry is not None and entry.found is not None and entry.asked_at > arrived:
                return entry.found
            if fetch is None or fetch.began > arrived:
                return await self._answer(self._begin(key, is_recheck=True, client=client), left)
            await asyncio.wait((fetch.answer,), timeout=left)
            if not fetch.answer.done():
                return _NO_TIME

    async def _moved(self, key: ModelKey, found: Lookup, timeout: float | None) -> bool | Unanswered:
        """Whether the server's versions contradict `found`; a server that never tells them confirms it."""
        try:
            async with asyncio.timeout(timeout):
                versions = await self._rounds.versions(key.model, known=key.model in self._known)
        except TimeoutError:
            return _NO_TIME
        if isinstance(versions, Unanswered):
            return False if versions.kept else versions
        return moved(key, found, versions)

    async def stop(self) -> None:
        """End all questions; whoever waits for one is told so, and no new one begins."""
        self._stopped = True
        await self._rounds.stop()
        fetches = list(self._fetches.values())
        for fetch in fetches:
            fetch.task.cancel()
        await asyncio.gather(*(fetch.task for fetch in fetches), return_exceptions=True)
        for fetch in fetches:
            if not fetch.answer.done():  # a task cancelled before its first step never ran
                fetch.answer.set_result(_STOPPED)
        self._fetches.clear()

    def _entry(self, key: ModelKey) -> Entry | None:
        return self._served.get(key) or self._missing.get(key)

    def _doubt(self, key: ModelKey) -> None:
        fetch = self._fetches.get(key)
        if fetch is not None:
            fetch.doubted = True

    def _is_known(self, key: ModelKey) -> bool:
        """Whether the key is one that exists, as far as anyone has told: the server, or who started the proxy."""
        return (
            key in self._last_served
            or key in self._served
            or (key.model in self._known and key == ModelKey(key.model))
        )

    def _begin(
        self, key: ModelKey, *, is_recheck: bool = False, client: Hashable = None
    ) -> _Fetch | Unanswered:
        """The question under way for `key`, else a new one, where there are not too many."""
        fetch = self._fetches.get(key)
        if fetch is not None:
            return fetch
        if self._stopped:
            return _STOPPED
        known = self._is_known(key)
        if not known and not self._take_in(client, size := 1 + _name_length(key) // _LONGEST_NAME):
            return _TOO_MANY
        loop = asyncio.get_running_loop()
        fetch = self._fetches[key] = _Fetch(self._clock(), is_recheck, loop.create_future())
        fetch.task = loop.create_task(self._run(key, fetch, known), name="signatures")
        if not known:
            fetch.task.add_done_callback(lambda _: self._take_in(client, -size))
        return fetch

    def _take_in(self, client: Hashable, size: int) -> bool:
        """Count a question for a key of which nothing is known (less than 0: it has ended); False: too many."""
        each, in_all = self._strangers[client] + size, self._strangers_in_all + size
        if size > 0 and (each > self._max_strangers_each or in_all > self._max_strangers):
            return False
        self._strangers_in_all = in_all
        self._strangers[client] = each
        if not each:
            del self._strangers[client]
        return True

    @staticmethod
    async def _answer(fetch: _Fetch | Unanswered, timeout: float | None) -> Answer:
        if isinstance(fetch, Unanswered):
            return fetch
        # asyncio.wait leaves the question alone when it times out or the waiter is cancelled.
        await asyncio.wait((fetch.answer,), timeout=timeout)
        return fetch.answer.result() if fetch.answer.done() else _NO_TIME

    async def _run(self, key: ModelKey, fetch: _Fetch, known: bool) -> None:
        found: Answer = _STOPPED
        result = FetchResult.ERROR
        asked = self._clock()
        try:
            async with self._turn[known]:
                asked = self._clock()
                found = await self._client.lookup(key, self._known)
            result = FetchResult.OK if isinstance(found, Servable) else FetchResult.ABSENT
        except NoAnswerError as error:
            result = error.result
            found = error.unanswered
        finally:
            # Also when cancelled: nobody may be left waiting.
            del self._fetches[key]
            seconds = self._clock() - asked
            before = self._keep(key, fetch, found, seconds)
            fetch.answer.set_result(found)
        self._listener.signature_fetched(key, result, seconds)
        if isinstance(found, Servable) and before is not None and before != found:
            self._listener.signature_drifted(drift_of(before, found))

    def _keep(self, key: ModelKey, fetch: _Fetch, found: Answer, took: float) -> Servable | None:
        """Remember what `fetch` brought; returns the servable of this key before it."""
        entry = self._entry(key) or Entry()
        rechecked_at = fetch.began if fetch.is_recheck else entry.rechecked_at
        if isinstance(found, Unanswered):
            quiet_until = quiet_after_failure(self._clock(), took, self._limits)
            entry = replace(entry, quiet_until=quiet_until, failure=found)
        else:
            # The same object for the same content: what others derive from it stays valid.
            found = entry.found if found == entry.found else found
            entry = replace(
                entry,
                found=found,
                asked_at=fetch.began,
                answered_at=self._clock(),
                outdated=fetch.doubted,
                rechecked_at=rechecked_at,
                quiet_until=-inf,
                failure=None,
            )
        served = isinstance(entry.found, Servable)
        (self._missing if served else self._served).pop(key, None)
        if served or _name_length(key) <= _LONGEST_NAME:
            _remember(self._served if served else self._missing, key, entry, self._max_keys)
        before = self._last_served.get(key)
        if isinstance(found, Servable):
            _remember(self._last_served, key, found, self._max_keys)
            if key.model not in self._known and len(self._known) < self._max_keys:
                self._known = tuple(sorted((*self._known, key.model)))
        return before


def _name_length(key: ModelKey) -> int:
    return len(key.model) + len(key.label or "")


def _remember(entries: OrderedDict[ModelKey, _Value], key: ModelKey, value: _Value, bound: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > bound:
        entries.popitem(last=False)
