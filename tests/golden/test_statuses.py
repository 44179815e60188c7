"""What clients see for every reason, word for word; `make words` accepts a change."""

from proxy.core.reasons import Reason
from tests.golden.cases import cases
from tests.golden.write import golden


def test_every_reason_has_a_case():
    assert set(cases()) == set(Reason)


def test_every_case_is_about_its_reason():
    for reason, found in golden().items():
        for title, status in found.items():
            assert status["ErrorInfo"]["reason"] == reason, title


def test_the_code_of_a_refusal_is_that_of_its_reason():
    for reason, found in cases().items():
        if reason.about.family != "upstream":
            assert {case.status.code for case in found.values()} == {reason.about.code}


def test_a_client_is_told_when_to_retry_only_where_that_helps():
    retried = {
        reason for reason, found in golden().items() if any("RetryInfo" in each for each in found.values())
    }
    assert retried == {"MODEL_LOADING", "OVERLOADED", "SIGNATURE_UNCONFIRMED", "SIGNATURE_UNAVAILABLE"}
