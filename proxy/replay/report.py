"""What a replay has found so far: statuses, latencies, differences.

Law: counts everything, keeps the first hundred differences; no I/O.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from proxy.replay.comparison import Answer, Difference, differences
from proxy.replay.sending import Pair

MOST_KEPT: Final = 100
"""Differences that are told one by one."""


@dataclass
class Side:
    """What one server did: how often which code, and the seconds of its OK answers."""

    codes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)

    def add(self, answer: Answer, names: Mapping[int, str]) -> None:
        self.codes[names.get(answer.code, str(answer.code))] += 1
        if answer.code == 0 and answer.seconds is not None:
            self.seconds.append(answer.seconds)

    def quantile(self, part: float) -> float | None:
        """In milliseconds; None without an OK answer."""
        if not self.seconds:
            return None
        ordered = sorted(self.seconds)
        return round(1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))], 3)

    def as_json(self, target: str) -> dict[str, Any]:
        return {
            "target": target,
            "codes": dict(self.codes),
            "median_ms": self.quantile(0.5),
            "p99_ms": self.quantile(0.99),
        }


@dataclass
class Report:
    """What has been compared so far; the first hundred differences are kept, all are counted."""

    tolerance: float
    code_names: Mapping[int, str]
    with_baseline: bool
    sent: int = 0
    different: int = 0
    interrupted: bool = False
    kinds: Counter[str] = field(default_factory=Counter)
    found: list[tuple[int, Difference]] = field(default_factory=list)
    after: Side = field(default_factory=Side)
    before: Side = field(default_factory=Side)

    def add(self, pair: Pair) -> None:
        self.sent += 1
        self.after.add(pair.after, self.code_names)
        if self.with_baseline:
            self.before.add(pair.before, self.code_names)
        found = differences(pair.recorded.method, pair.before, pair.after, self.tolerance, self.code_names)
        self.different += bool(found)
        for difference in found:
            self.kinds[difference.kind] += 1
            if len(self.found) < MOST_KEPT:
                self.found.append((pair.recorded.place, difference))

    def as_json(self, against: str, baseline: str | None) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "different": self.different,
            "interrupted": self.interrupted,
            "kinds": dict(self.kinds),
            "against": self.after.as_json(against),
            "baseline": self.before.as_json(baseline) if baseline is not None else None,
            "differences": [{"record": index, **asdict(difference)} for index, difference in self.found],
        }
