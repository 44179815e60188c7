"""What is reckoned from rounds: medians, ratios, capacity, and whether the contestant or its load was the limit.

Law: pure. Every figure is the median of the rounds; every ratio is the median of the ratios within each round.
"""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from tests.bench.rounds import Result, Round
from tests.bench.scenarios import Scenario, Setting

BUSY = 0.9
"""A contestant that used less of the CPU time that it could have had was not the limit: its load or the server was."""

Figure = Callable[[Round], float | None]


def rate(one: Round) -> float:
    """Requests per second."""
    return one.rate


def capacity(one: Round) -> float | None:
    """Requests for each second of CPU time: what a whole core would do, whoever was the limit."""
    return 1000 / one.cpu if one.cpu else None


def scenarios_of(results: Iterable[Result], *settings: Setting) -> list[Scenario]:
    """Those that were measured, of these settings, in the order of the results."""
    return list(dict.fromkeys(each.scenario for each in results if each.scenario.setting in settings))


def find(results: Iterable[Result], name: str, scenario: Scenario) -> Result | None:
    """What the contestant of that name did in the scenario."""
    for result in results:
        if result.contestant.name == name and result.scenario == scenario:
            return result
    return None


def value(result: Result | None, figure: Figure) -> float | None:
    """The median over the rounds; None where there is none."""
    if result is None or result.failure:
        return None
    values = [found for found in map(figure, result.rounds) if found is not None]
    return median(values) if values else None


def ratio(result: Result | None, other: Result | None, figure: Figure) -> float | None:
    """The median over the rounds of `result`'s figure by that of `other`."""
    if result is None or other is None or result.failure or other.failure:
        return None
    pairs = [(figure(mine), figure(its)) for mine, its in zip(result.rounds, other.rounds, strict=True)]
    ratios = [mine / its for mine, its in pairs if mine is not None and its]
    return median(ratios) if ratios else None


def spread(result: Result) -> float | None:
    """Half the distance between the best and the worst round, of the median."""
    rates = [each.rate for each in result.rounds]
    return None if result.failure or not rates else (max(rates) - min(rates)) / 2 / median(rates)


def held_up_by_load(result: Result | None) -> bool:
    """Whether its rate is that of the load generator or the server, because it had time to spare.

    One call at a time is limited by the way there and back, and says nothing of either.
    """
    if result is None or result.scenario.concurrency == 1:
        return False
    busy = value(result, lambda one: one.busy)
    return busy is not None and busy < BUSY


def throughput(result: Result | None, other: Result | None) -> tuple[float | None, bool]:
    """How many times as much `result` got through as `other`, and whether that is by rates.

    It is by CPU time where one of them was held up by its load.
    """
    by_rate = not (held_up_by_load(result) or held_up_by_load(other))
    return ratio(result, other, rate if by_rate else capacity), by_rate


def added(results: Sequence[Result], name: str, scenario: Scenario, figure: Figure) -> float | None:
    """By how much a contestant's figure exceeds that of a direct call: the median over the rounds."""
    one, direct = find(results, name, scenario), find(results, "direct", scenario)
    if one is None or direct is None or one.failure or direct.failure:
        return None
    pairs = [(figure(mine), figure(its)) for mine, its in zip(one.rounds, direct.rounds, strict=True)]
    differences = [mine - its for mine, its in pairs if mine is not None and its is not None]
    return median(differences) if differences else None
