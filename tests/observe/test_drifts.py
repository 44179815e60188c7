from datetime import UTC, datetime, timedelta

from proxy.core.drift import drift_of
from proxy.core.reasons import Reason
from proxy.core.types import Servable, Signature, TensorSpec
from proxy.observe.drifts import MOST_DRIFTS, Drifts, history_of
from proxy.observe.problems import Problems
from tests.observe.mistaken import call, violation

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def servable(version: int, model: str = "m", **signatures: tuple[int, ...]) -> Servable:
    return Servable(
        model,
        version,
        {
            name: Signature(name, "tensorflow/serving/predict", {"x": TensorSpec("x", 1, shape)}, {})
            for name, shape in signatures.items()
        },
    )


class Watched:
    def __init__(self) -> None:
        self.now = NOON
        self.drifts = Drifts(clock=lambda: self.now)
        self.problems = Problems(clock=lambda: self.now)

    def step(self, old: Servable, new: Servable) -> None:
        self.now += timedelta(minutes=1)
        self.drifts.signature_drifted(drift_of(old, new))

    def refused(self, **fields) -> None:
        self.now += timedelta(seconds=1)
        fields = {"signature": "a", **fields}
        self.problems.call_ended(call(fields.pop("violation", violation()), **fields))

    def told(self, model: str = "m") -> list[dict]:
        return history_of(model, self.drifts, self.problems.select())


def test_a_change_is_told_by_signature_with_what_changed():
    watched = Watched()
    watched.step(servable(1, a=(-1, 3), b=(-1,)), servable(2, a=(-1, 4), b=(-1,), c=(1,)))
    assert watched.told() == [
        {
            "time": "2026-01-02T12:01:00.000+00:00",
            "signature": "c",
            "from_version": 1,
            "to_version": 2,
            "breaking": False,
            "changes": ("c: signature added",),
            "affected": [],
        },
        {
            "time": "2026-01-02T12:01:00.000+00:00",
            "signature": "a",
            "from_version": 1,
            "to_version": 2,
            "breaking": True,
            "changes": ("a input 'x': shape changed [?,3] -> [?,4]",),
            "affected": [],
        },
    ]
    assert watched.told("other") == []


def test_affected_is_who_begins_to_send_what_does_not_fit_after_the_change():
    watched = Watched()
    watched.refused(peer="ipv4:192.0.2.1:1", user_agent="was wrong before")
    watched.step(servable(1, a=(-1, 3)), servable(2, a=(-1, 4)))
    watched.refused(peer="ipv4:192.0.2.1:1", user_agent="was wrong before")
    for _ in range(3):
        watched.refused(peer="ipv4:192.0.2.2:1", user_agent="new", identity="team-a")
    watched.refused(peer="ipv4:192.0.2.3:1", violation=violation('inputs["y"]', Reason.INPUT_UNKNOWN))
    watched.refused(peer="ipv4:192.0.2.4:1", signature="another")
    watched.refused(peer="ipv4:192.0.2.5:1", violation=violation(reason=Reason.OVERLOADED))
    watched.refused(peer="ipv4:192.0.2.6:1", model="n")
    (told,) = watched.told()
    assert told["affected"] == [
        {"peer": "ipv4:192.0.2.2", "identity": "team-a", "user_agent": "new", "count": 3},
        {"peer": "ipv4:192.0.2.3", "identity": "", "user_agent": "", "count": 1},
    ]


def test_who_is_affected_by_the_next_change_is_not_affected_by_this_one():
    watched = Watched()
    watched.step(servable(1, a=(-1, 3)), servable(2, a=(-1, 4)))
    watched.refused(peer="ipv4:192.0.2.1:1")
    watched.step(servable(2, a=(-1, 4)), servable(3, a=(-1, 5)))
    watched.refused(peer="ipv4:192.0.2.2:1", violation=violation('inputs["z"]'))
    newest, oldest = watched.told()
    assert (newest["to_version"], [each["peer"] for each in newest["affected"]]) == (3, ["ipv4:192.0.2.2"])
    assert (oldest["to_version"], [each["peer"] for each in oldest["affected"]]) == (2, ["ipv4:192.0.2.1"])


def test_nobody_is_affected_by_what_breaks_nothing():
    watched = Watched()
    watched.step(servable(1, a=(-1, 3)), servable(2, a=(-1, -1)))
    watched.refused()
    assert [(each["breaking"], each["affected"]) for each in watched.told()] == [(False, [])]


def test_models_and_changes_of_each_are_bounded():
    watched = Watched()
    watched.drifts = Drifts(models=3, clock=lambda: watched.now)
    for version in range(1, 30):
        watched.step(servable(version, a=(version,)), servable(version + 1, a=(version + 1,)))
    assert [each["to_version"] for each in watched.told()] == list(range(30, 30 - MOST_DRIFTS, -1))
    for number in range(5):
        watched.step(servable(1, f"n{number}", a=(1,)), servable(2, f"n{number}", a=(2,)))
    assert {each.model for each in watched.drifts} == {"n2", "n3", "n4"}
