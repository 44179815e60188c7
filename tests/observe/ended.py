"""Calls that are over, as tests tell them to observers."""

from proxy.observe.outcome import Outcome


def ended(method, grpc_type="unary", **what):
    """The outcome of a call, with `what` happened in it."""
    outcome = Outcome(method, grpc_type)
    for name, value in what.items():
        assert hasattr(outcome, name), f"no outcome has {name}"
        setattr(outcome, name, value)
    return outcome
