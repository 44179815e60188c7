"""What is measured: the settings, the scenarios of each, and who meets them.

Law: a list, and nothing that runs. Those whom the product is held to meet every scenario; the others the ones that
show their place, so that a run stays short.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.payloads import PAYLOADS, Payload

H2LOAD, CPP, PYTHON = "h2load", "C++ client", "Python client"

TIMES = "×"  # noqa: RUF001

_CONNECTIONS = 8
"""Connections that many calls at a time share, as clients with a channel each would."""
_WORKERS_CONNECTIONS = 64
"""The kernel deals connections to workers by a hash: with so many, none has too few."""


@dataclass(frozen=True)
class Setting:
    """`bound`: contestant on the first core, server and load on the others. `share`: of a core's time, for each of
    the contestant's workers; None: as much as it can get."""

    name: str
    title: str
    bound: bool
    share: float | None = None


LIMITED = Setting("limited", "with a third of a core", bound=True, share=1 / 3)
"""Little enough for one core of load and server to be more than the fastest contestant takes."""
CORE = Setting("core", "with a core of its own", bound=True)
FREE = Setting("free", "bound to no core", bound=False)
WORKERS = Setting("workers", "with a fifth of a core for each worker", bound=True, share=0.2)
SETTINGS = (LIMITED, CORE, FREE, WORKERS)
OPEN_LOOP = "open-loop"


@dataclass(frozen=True)
class Scenario:
    """`concurrency` calls at a time of `payload`, made by `load`."""

    load: str
    payload: Payload
    concurrency: int = 1
    setting: Setting = CORE

    @property
    def title(self) -> str:
        client = "" if self.load == H2LOAD else f", {self.load}"
        many = "" if client and self.concurrency == 1 else f" {TIMES} {self.concurrency}"
        return f"{self.payload.title}{client}{many}"

    @property
    def connections(self) -> int:
        """Over how many the calls are spread."""
        return min(self.concurrency, _WORKERS_CONNECTIONS if self.setting is WORKERS else _CONNECTIONS)

    @property
    def bytes_in_flight(self) -> int:
        return self.payload.size * self.concurrency


_BY_NAME = {each.name: each for each in PAYLOADS}
_SMALL, _IMAGE, _FLOAT, _BATCH = (_BY_NAME[name] for name in ("small", "image", "float", "batch"))
_INPUTS, _ORDERS, _MANY, _WRONG = (_BY_NAME[name] for name in ("inputs", "orders", "many", "wrong"))

SLOW = Scenario(H2LOAD, _FLOAT, 256)
OPEN_LOOPS = tuple(Scenario(H2LOAD, payload, 32) for payload in (_SMALL, _IMAGE))
"""Scenarios that tell the capacity where the open loop of the same payload is, which has half of it."""

PLAN = (
    *(Scenario(H2LOAD, _SMALL, calls, LIMITED) for calls in (32, 256)),
    *(Scenario(H2LOAD, payload, calls, LIMITED) for payload in (_IMAGE, _FLOAT) for calls in (8, 32, 256)),
    *(Scenario(CPP, payload, 32, LIMITED) for payload in (_ORDERS, _MANY, _WRONG)),
    *(Scenario(H2LOAD, _SMALL, calls) for calls in (1, 32, 256)),
    *(Scenario(H2LOAD, payload, calls) for payload in (_IMAGE, _FLOAT) for calls in (1, 8, 32, 256)),
    # 256 times 13 MB would measure 3.3 GB of memory, not a proxy.
    *(Scenario(H2LOAD, _BATCH, calls) for calls in (1, 32)),
    *(Scenario(H2LOAD, payload, 32) for payload in (_INPUTS, _MANY)),
    *(Scenario(CPP, payload) for payload in (_SMALL, _IMAGE, _FLOAT, _ORDERS, _MANY)),
    *(Scenario(PYTHON, payload) for payload in (_SMALL, _IMAGE, _FLOAT)),
    *(Scenario(H2LOAD, _SMALL, calls, FREE) for calls in (1, 32, 256)),
    *(Scenario(H2LOAD, payload, 32, FREE) for payload in (_IMAGE, _FLOAT)),
    Scenario(H2LOAD, _SMALL, 256, WORKERS),
    Scenario(H2LOAD, _IMAGE, 64, WORKERS),
)

_HELD_TO = ("compiled", "envoy", "nginx", "haproxy")
_JUDGING = ("compiled", "native", "grpcio")
_FOR_ALL = (
    *(Scenario(H2LOAD, _SMALL, calls) for calls in (1, 32, 256)),
    *(Scenario(H2LOAD, payload, 32) for payload in (_IMAGE, _FLOAT)),
    Scenario(CPP, _SMALL),
)


def takes_part(name: str, scenario: Scenario) -> bool:
    """Whether the contestant of that name meets the scenario."""
    if scenario.setting is WORKERS:
        return name in {"compiled", "workers"}
    if scenario.setting is FREE:
        return name in {"direct", "workers", *_HELD_TO}
    if scenario.payload is _WRONG:
        return name in {*_JUDGING, "envoy"}
    if scenario.setting is LIMITED:
        return name in {*_HELD_TO, "native"}
    return name in {"direct", *_HELD_TO} or (name != "workers" and scenario in _FOR_ALL)


def plan(
    settings: Sequence[str], payloads: Sequence[str], concurrency: Sequence[int], *, clients: bool
) -> list[Scenario]:
    """The scenarios that were asked for; an empty sequence asks for all. `clients`: those one at a time too."""
    chosen = [
        each
        for each in PLAN
        if (not settings or each.setting.name in settings)
        and (not payloads or each.payload.name in payloads)
        and (not concurrency or each.concurrency in concurrency)
        and (clients or each.load == H2LOAD or each.concurrency > 1)
    ]
    if OPEN_LOOP in settings:
        chosen += [
            each
            for each in OPEN_LOOPS
            if each not in chosen and (not payloads or each.payload.name in payloads)
        ]
    return chosen
