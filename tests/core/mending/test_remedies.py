"""The closed set of steps: each has a form for machines, and docs/mending.md names them all."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from proxy.core.mending import remedies
from proxy.core.mending.remedies import Mending, Remedy, Reshape, Resize, Squeeze, plan_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "mending.md"
STEPS = [each for each in vars(remedies).values() if getattr(each, "do", None)]

THE = Mending((Remedy("send [1]", (Reshape("x", (1,)),), exact=True),))
ASKED = Mending((Remedy("resize", (Resize("x", 3, 4),)),))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.do)
def test_every_step_is_documented_with_its_parameters(step):
    row = re.search(rf"^\| .*`{step.do}`.*\|$", DOCUMENT.read_text(), re.MULTILINE)
    assert row
    assert all(f"`{name}`" in row[0] for name in (field.name for field in fields(step)))


def test_a_form_is_json():
    assert json.loads(json.dumps(Squeeze("x", 0).form())) == {"do": "squeeze", "input": "x", "axis": 0}


def test_one_problem_that_nobody_can_mend_leaves_the_request_without_a_plan():
    assert plan_of([THE]).certainty == "the"
    assert plan_of([THE, ASKED]) == ("one_of", ())
    assert plan_of([THE, Mending()]) == ("none", ())
    assert plan_of([]) == ("none", ())


def test_two_ways_are_no_certain_mending_however_exact_each_is():
    both = Mending((*THE.remedies, Remedy("send [2]", (Reshape("x", (2,)),), exact=True)))
    assert (both.certainty, both.words) == ("one_of", "send [1], or send [2]")


def test_ways_with_one_cause_name_it_once():
    ways = [Remedy(f"send {each}", cause="channels come first") for each in "ab"]
    assert Mending(tuple(ways)).words == "channels come first: send a, or send b"


def test_a_question_ends_as_one():
    ways = (Remedy("did you mean 'x'?"), Remedy("leave it out"))
    assert Mending(ways).words == "did you mean 'x', or leave it out?"
