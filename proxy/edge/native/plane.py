"""
What all calls of the native edge share: the gate, the limits, the observer, the pools, the clock work.

Law: holds, does not decide.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Final, final

from proxy.edge.access import AUTHORIZATION, Access
from proxy.edge.adaptive import adaptive_of
from proxy.edge.admission import Limits
from proxy.edge.explainer import Explainer
from proxy.edge.load import Load
from proxy.edge.local import Answering
from proxy.edge.methods import allowed_of
from proxy.edge.model_calls import adopted, model_calls_of
from proxy.edge.native.deadlines import Deadlines
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.plain_text import PlainText
from proxy.edge.native.pool import Pool
from proxy.edge.native.rpc import text_of
from proxy.edge.native.served_version import VersionSuffixes
from proxy.edge.native.shell import Exchange
from proxy.edge.rates import rates_of
from proxy.edge.request_ids import trace_id
from proxy.gate import Judge
from proxy.observe.outcome import Observer, Outcome, Tracer

_TOKENS: Final = frozenset((AUTHORIZATION.encode(),))
_NONE: Final[frozenset[bytes]] = frozenset()
_PARENT: Final = frozenset((b"traceparent",))
_TRACE: Final = frozenset((b"traceparent", b"tracestate"))


@final
class Plane:
    """One per edge."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        gate: Judge,
        observer: Observer,
        limits: Limits,
        version_seen: Callable[[str, int, str | None], None],
        pool: Pool,
        local_pool: Pool | None,
        local_methods: Collection[str],
        explainer: Explainer | None,
        answers: Mapping[str, Answering],
        bound_hit: Callable[[str], None],
        access: Access | None = None,
        tells_all: bool,
        tracer: Tracer | None,
    ) -> None:
        self.exchange = exchange
        self.gate = gate
        self.observer = observer
        self.limits = limits
        self.access = access
        """What is asked of clients; None: nothing, in this process for ever."""
        self.load = exchange.load = Load(limits, bound_hit)
        self.allowed = allowed_of(limits.methods)
        self.rates = rates_of(limits)
        self.model_calls = model_calls_of(limits)
        self.adaptive = adaptive_of(limits, self.load.most_calls)
        self.answers = answers
        self.version_suffixes = VersionSuffixes()
        self.version_seen = version_seen
        self.explainer = explainer
        self.tells_all = tells_all
        self.tracer = tracer
        self.pool = pool
        self.deadlines = Deadlines(self.flush)
        self.plain_text = PlainText()
        self._local_pool = local_pool
        self._local_methods = local_methods
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: list[Outcome] = []

    def adopt(self, limits: Limits, access: Access | None, tells_all: bool) -> None:
        """Take other limits, ask other things of clients, and tell of all calls or not, from now on."""
        self.tells_all = tells_all
        self.limits = limits
        self.access = access
        self.load.adopt(limits)
        if self.adaptive is not None:
            self.adaptive.adopt(self.load.most_calls)
        self.allowed = allowed_of(limits.methods)
        self.model_calls = adopted(self.model_calls, limits)

    def pool_for(self, method: str) -> Pool:
        """Find who answers a method."""
        if self._local_pool is not None and method in self._local_methods:
            return self._local_pool
        return self.pool

    def omitted(self, block: HeaderBlock) -> frozenset[bytes]:
        """The fields of a head that the server gets from the proxy instead, or not at all: those of a trace, tokens."""
        tokens = _NONE if self.access is None or self.access.tokens is None else _TOKENS
        if self.tracer is None:
            return tokens
        # W3C Trace Context §2.3: of a trace that cannot be read, nothing is passed on.
        return tokens | (_PARENT if trace_id(text_of(block.fields, b"traceparent")) else _TRACE)

    @property
    def out_of_reach(self) -> bool:
        """Whether no connection to the server stands, and someone can say why."""
        return self.explainer is not None and not self.explainer.connected

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that is kept until it is done."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def call_ended(self, outcome: Outcome) -> None:
        """Let the observer know of a call that is over, once its answer has been written: nobody waits for that."""
        if not self._ended:
            self.exchange.afterwards(self.tell_ended)
        self._ended.append(outcome)

    def tell_ended(self) -> None:
        """Let the observer know now."""
        ended, self._ended = self._ended, []
        for outcome in ended:
            self.observer.call_ended(outcome)

    def flush(self) -> None:
        """Write what every connection has."""
        self.exchange.flush()
