"""What was in flight when the server died is remembered: names, dtypes, shapes; bounded."""

import pytest

from proxy.core.reasons import Reason
from proxy.core.types import ModelKey, RequestView, TensorView
from proxy.observe.suspects import Suspects
from tests.observe.ended import ended

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def suspects(clock):
    return Suspects(entries=3, clock=clock)


def lost(alias="x", dims=(2, 3), reason=Reason.UPSTREAM_RESET):
    view = RequestView(ModelKey("m"), inputs=(TensorView(alias, 1, dims, head=b"secret"),))
    return ended(PREDICT, code=14, peer="ipv4:127.0.0.1:5", diagnosis=reason, request=view, text="lost")


def test_calls_lost_within_a_second_died_with_one_server(suspects, clock):
    suspects.call_ended(lost())
    clock.now += 0.9
    suspects.call_ended(lost(dims=(5, 3)))
    clock.now += 1.1
    suspects.call_ended(lost())
    assert suspects.deaths == 2
    newest, oldest = suspects
    assert (newest.calls, oldest.calls) == (1, 2)
    assert [suspect.inputs for suspect in oldest.suspects] == [{"x": "float32[2,3]"}, {"x": "float32[5,3]"}]


def test_other_endings_are_no_death(suspects):
    suspects.call_ended(lost(reason=Reason.UPSTREAM_EXPORT_FAULT))
    suspects.call_ended(lost(reason=None))
    assert (list(suspects), suspects.deaths) == ([], 0)


def test_a_call_of_which_nothing_was_read_counts_too(suspects):
    suspects.call_ended(ended("/some.Service/Call", diagnosis=Reason.UPSTREAM_RESET))
    (death,) = suspects
    assert (death.calls, death.suspects[0].inputs) == (1, {})


def test_deaths_and_suspects_are_bounded(suspects, clock):
    for _ in range(10):
        clock.now += 2
        for _ in range(100):
            suspects.call_ended(lost(alias="x" * 10_000))
    assert suspects.deaths == 10
    assert len(list(suspects)) == 3
    for death in suspects:
        assert death.calls == 100
        assert len(death.suspects) == 32
        assert len(str(death.as_json())) < 32 * 1000


def test_no_value_is_remembered(suspects):
    suspects.call_ended(lost())
    (death,) = suspects
    assert "secret" not in str(death.as_json())
