"""How the proxy stands, in one answer: is it up, for whom, since when, how near its bounds are.

Law: puts together what it is handed: what the process was started as, its conditions, its metrics. A gauge with another
of the same name and `_limit` is a bound; so a new bound is shown as soon as it is measured.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.metrics_core import Metric

from proxy.observe.catalogue import METRICS
from proxy.observe.history import COUNTED, NEEDED, read
from proxy.observe.problem import stamp

if TYPE_CHECKING:
    from proxy.observe.admin.views import Sources

UP: Final = "up"
DOWN: Final = "down"
UNKNOWN: Final = "not connected yet"
"""States of an upstream."""

_LIMIT: Final = "_limit"
_PREFIX: Final = "tfs_proxy_"
_BOUNDS: Final = {name: f"{name}{_LIMIT}" for name in METRICS if f"{name}{_LIMIT}" in METRICS}
_IN_FLIGHT: Final = "tfs_proxy_in_flight"
_CAPTURED: Final = "tfs_proxy_captured_total"
_CAPTURE_PAUSED: Final = "tfs_proxy_capture_paused"
_NEEDED: Final = (*NEEDED, *_BOUNDS, *_BOUNDS.values(), _IN_FLIGHT, _CAPTURED, _CAPTURE_PAUSED)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One address of the server; `since` is when it came into its state (None: never yet in any)."""

    address: str
    state: str
    since: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Asks:
    """What the gRPC port asks of those who call it; other files may come, but what is asked stays until the next start."""

    certificate: Path | None = None
    """Of the port's own, with which it answers TLS; None: it speaks plaintext."""
    client_certificate: bool = False
    token: bool = False


@dataclass(frozen=True, slots=True)
class Serving:
    """What the process was started as. `log_level` is asked for each time, because it may change."""

    edge: str = ""
    listen: str = ""
    upstream: str = ""
    hot_path: str = ""
    version: str = ""
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    log_level: Callable[[], str] = lambda: "info"
    asks: Asks = field(default_factory=Asks)


def status_json(sources: "Sources", now: datetime) -> dict[str, Any]:
    """The status as the admin port shows it."""
    serving = sources.serving
    checks = sources.readiness()
    families = list(sources.families(_NEEDED))
    draining = any(check.name == "serving" and not check.ok for check in checks)
    ready = all(check.ok for check in checks)
    paused = _value(families, _CAPTURE_PAUSED)
    return {
        "version": serving.version,
        "hot_path": serving.hot_path,
        "edge": serving.edge,
        "listen": serving.listen,
        "asks": {
            "tls": serving.asks.certificate is not None,
            "client_certificate": serving.asks.client_certificate,
            "token": serving.asks.token,
        },
        "upstream": serving.upstream,
        "started": stamp(serving.started),
        "uptime_seconds": round((now - serving.started).total_seconds(), 3),
        "state": "draining" if draining else "ready" if ready else "not ready",
        "checks": [{"name": check.name, "ok": check.ok, "detail": check.text} for check in checks],
        "upstreams": [asdict(each) for each in sources.upstreams()],
        "bounds": list(_bounds(families)),
        "in_flight": int(_value(families, _IN_FLIGHT) or 0),
        "counts": dict(zip(COUNTED, read(families).all(), strict=False)),
        "capture": {
            "on": paused is not None,
            "paused": bool(paused),
            "counts": {
                sample.labels["result"]: int(sample.value)
                for sample in _samples(families, _CAPTURED.removesuffix("_total"))
                if "result" in sample.labels and sample.name == _CAPTURED
            },
        },
        "log_level": serving.log_level(),
        "workers": None if sources.workers is None else [asdict(each) for each in sources.workers()],
    }


def _bounds(families: Collection[Metric]) -> Iterable[dict[str, Any]]:
    for name, limit in _BOUNDS.items():
        most = _value(families, limit)
        if most is not None:
            used = _value(families, name) or 0
            yield {"name": name.removeprefix(_PREFIX), "used": int(used), "limit": int(most)}


def _value(families: Iterable[Metric], name: str) -> float | None:
    return next((sample.value for sample in _samples(families, name)), None)


def _samples(families: Iterable[Metric], name: str) -> list[Any]:
    return [sample for family in families if family.name == name for sample in family.samples]
