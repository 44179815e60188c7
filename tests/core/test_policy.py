"""Policies: the mode per model and the severity per reason."""

from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity


def test_the_default_policy_enforces_with_the_severities_of_the_vocabulary():
    policy = Policies().of("any model")
    assert policy.mode is Mode.ENFORCE
    assert policy.max_batch is None
    assert all(policy.severities[reason] is reason.about.severity for reason in Reason)


def test_a_policy_departs_from_the_defaults_only_where_told():
    policy = Policy.of(Mode.OBSERVE, {Reason.INPUT_MISSING: Severity.WARN}, max_batch=8)
    assert (policy.mode, policy.max_batch) == (Mode.OBSERVE, 8)
    changed = {reason for reason in Reason if policy.severities[reason] is not reason.about.severity}
    assert changed == {Reason.INPUT_MISSING}


def test_a_model_with_its_own_policy_does_not_follow_the_default():
    own = Policy(Mode.OFF)
    policies = Policies(Policy(Mode.OBSERVE), {"m": own})
    assert policies.of("m") is own
    assert policies.of("M").mode is Mode.OBSERVE
