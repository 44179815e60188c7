"""A short soak with all kinds of calls: every answer is the one that was expected, and nothing is left of any of them."""

import asyncio
import itertools
from collections import Counter
from random import Random
from xml.etree import ElementTree as ET

import pytest

from proxy.build_info import build
from tests.load.crowd import Crowd
from tests.load.pictures import Curve, picture
from tests.load.soak import GROWTH, LONG_ENOUGH, Sample, Soaked, soak, wrong
from tests.load.traffic import KINDS
from tests.proxy_process import EDGES

REST = {
    "tasks": 10.0,
    "descriptors": 27.0,
    "connections": 0.0,
    "calls in flight": 0.0,
    "octets in flight": 0.0,
}


async def test_all_kinds_of_calls_end_as_expected_and_leave_nothing():
    soaks = [soak(edge, build().hot_path, 6.0, 60, 150) for edge in EDGES]
    for soaked in await asyncio.gather(*soaks):  # at a time: the rates are low
        assert wrong(soaked) == []
        crowd = soaked.crowd
        assert crowd.sent.total() == crowd.ended.total() > 500
        assert {kind.name for kind in KINDS if kind.weight > 10} <= set(crowd.sent)
        assert crowd.connected > 60  # they came and went
        assert {sample.tasks > 0 for sample in soaked.samples[2:]} == {True}


def soaked_with(**grows):
    """A long soak in which nothing moves but what is told: by how much in each second."""
    steady = Sample(*(0.0, 100, 10_000_000, 100, 200), *(5.0, 0.01, 0, 0, 0), tasks=20)
    samples = [Sample(**vars(steady)) for _ in range(1000)]
    for number, sample in enumerate(samples):
        noise = Random(number).gauss(0, 100_000)
        sample.anonymous += int(noise)
        for name, step in grows.items():
            setattr(sample, name, getattr(sample, name) + int(step * number))
    return Soaked(
        Crowd("", "native", 1, 1), LONG_ENOUGH, Crowd("", "native", 1, 1), samples, dict(REST), dict(REST)
    )


def test_what_moves_about_but_does_not_grow_is_not_wrong():
    assert wrong(soaked_with()) == []


@pytest.mark.parametrize(
    ("grows", "words"),
    [
        ({"anonymous": 10_000_000 * GROWTH / 500}, "memory grows"),
        ({"tasks": 0.02}, "tasks grow"),
        ({"descriptors": 0.05}, "descriptors grow"),
    ],
)
def test_what_grows_is_found(grows, words):
    (found,) = wrong(soaked_with(**grows))
    assert words in found


def test_what_is_left_when_everybody_has_gone_is_found():
    soaked = soaked_with()
    soaked.after["octets in flight"] = 1.0
    assert wrong(soaked) == ["octets in flight at rest: 0 before, 1 afterwards"]


def test_an_answer_that_is_not_the_expected_one_is_found():
    soaked = soaked_with()
    soaked.crowd.wrong = Counter(good=1)
    assert wrong(soaked) == ["1 of 'good' were not as expected"]


def test_pictures_are_small_and_can_be_read():
    seconds = [float(second) for second in range(1800)]
    text = picture("Memory", "MiB", seconds, [Curve("resident", [90 + second % 7 for second in seconds])])
    root = ET.fromstring(text)
    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Memory", "MiB", "minutes", "resident", "0", "30"} <= set(words)
    assert len(text) < 8000
    assert "prefers-color-scheme:dark" in text


def test_a_peak_of_a_second_is_not_lost_in_a_picture():
    seconds = [float(second) for second in range(1800)]
    spiky = [1.0 if second == 777 else 0.0 for second in seconds]
    (path,) = ET.fromstring(picture("", "", seconds, [Curve("", spiky, max)])).iter(
        "{http://www.w3.org/2000/svg}path"
    )
    heights = [float(point.split()[1]) for point in path.get("d")[1:].split("L")]
    assert sum(low != high for low, high in itertools.pairwise(heights)) == 2
