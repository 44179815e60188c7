"""The section on latency where calls arrive whether or not earlier ones are answered.

Law: times from when a call was due. Where the generator itself was late, the row says so.
"""

from collections.abc import Sequence
from statistics import median

from tests.bench.rounds import OpenLoopResult
from tests.bench.tables import HELD_UP, NONE, markdown, milliseconds, whole

LATE = 0.5
"""Part of the p99 from which it is the generator's own lateness that is seen."""


def mostly_late(result: OpenLoopResult) -> bool:
    """Whether half of the contestant's p99 is that calls were sent late."""
    return median(each.late for each in result.rounds) > LATE * median(
        each.latency.p99 for each in result.rounds
    )


def open_loops(results: Sequence[OpenLoopResult]) -> str:
    """A table for each payload and kind of rate; "" for none."""
    parts = []
    for payload in dict.fromkeys(each.payload for each in results):
        for own, words in ((True, "each at half of its own capacity"), (False, "all at half of Envoy's")):
            chosen = [each for each in results if each.payload is payload and each.own is own]
            rows = [_row(each) for each in chosen if each.rounds and not each.failure]
            if rows:
                header = ["", "requests/s", "p50 ms", "p99 ms", "p99.9 ms", "calls", "p99 sent late, ms"]
                parts += [f"{payload.title}, {words}:\n", markdown(header, rows)]
            parts += [
                f"{each.contestant.title} failed: `{each.failure[:300]}`\n" for each in chosen if each.failure
            ]
    return "\n".join(parts)


def _row(result: OpenLoopResult) -> list[str]:
    latencies = [each.latency for each in result.rounds]
    mark = HELD_UP if mostly_late(result) else ""
    return [
        result.contestant.title,
        whole(median(result.rates)),
        milliseconds(median(each.median for each in latencies)),
        milliseconds(median(each.p99 for each in latencies)) + mark,
        milliseconds(median(each.p999 for each in latencies)) + mark,
        whole(sum(each.calls for each in result.rounds)) if result.rounds else NONE,
        milliseconds(median(each.late for each in result.rounds)),
    ]
