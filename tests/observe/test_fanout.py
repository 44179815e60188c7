from proxy.core.availability import VersionStatus
from proxy.core.drift import Drift
from proxy.core.types import ModelKey
from proxy.observe.fanout import Fanout
from proxy.observe.outcome import Outcome


class Recorder:
    """Hears everything."""

    def __init__(self) -> None:
        self.heard = []

    def call_started(self, method, grpc_type):
        self.heard.append(("call_started", method, grpc_type))

    def call_ended(self, outcome):
        self.heard.append(("call_ended", outcome))

    def signature_fetched(self, key, result, seconds):
        self.heard.append(("signature_fetched", key, result, seconds))

    def signature_drifted(self, drift):
        self.heard.append(("signature_drifted", drift))

    def versions_changed(self, model, versions):
        self.heard.append(("versions_changed", model, versions))

    def upstream_changed(self, up):
        self.heard.append(("upstream_changed", up))


class Broken:
    """Raises whatever it is told."""

    def __getattr__(self, name):
        def fail(*args):
            raise RuntimeError(name)

        return fail


def tell_everything(fanout: Fanout) -> list[tuple]:
    outcome = Outcome("/a.B/C")
    fanout.call_started("/a.B/C", "unary")
    fanout.call_ended(outcome)
    fanout.signature_fetched(ModelKey("m"), "ok", 0.1)
    fanout.signature_drifted(Drift("m", 1, 2, ()))
    fanout.versions_changed("m", (VersionStatus(1, "AVAILABLE"),))
    fanout.upstream_changed(True)
    return [
        ("call_started", "/a.B/C", "unary"),
        ("call_ended", outcome),
        ("signature_fetched", ModelKey("m"), "ok", 0.1),
        ("signature_drifted", Drift("m", 1, 2, ())),
        ("versions_changed", "m", (VersionStatus(1, "AVAILABLE"),)),
        ("upstream_changed", True),
    ]


def test_everyone_hears_everything_in_order():
    first, second = Recorder(), Recorder()
    told = tell_everything(Fanout((first, second), (), (first, second), failed=lambda *_: None))
    assert first.heard == told
    assert second.heard == told


def test_those_who_hear_of_ends_only_are_told_of_those_only():
    ends = Recorder()
    told = tell_everything(Fanout((Recorder(),), (ends,), (), failed=lambda *_: None))
    assert ends.heard == [event for event in told if event[0] == "call_ended"]


def test_a_broken_observer_is_told_of_and_the_next_one_hears_all_the_same():
    broken, recorder, failures = Broken(), Recorder(), []
    told = tell_everything(
        Fanout((broken, recorder), (), (broken, recorder), failed=lambda *failure: failures.append(failure))
    )
    assert recorder.heard == told
    assert [(observer is broken, str(error)) for observer, error in failures] == [
        (True, event[0]) for event in told
    ]


def test_a_failure_to_tell_of_a_failure_is_dropped():
    def failed(observer, error):
        raise RuntimeError("too")

    recorder = Recorder()
    told = tell_everything(Fanout((Broken(), recorder), (), (Broken(), recorder), failed))
    assert recorder.heard == told
