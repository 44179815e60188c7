"""One NOT_FOUND of the server has many causes; GetModelStatus tells which."""

import pytest

from proxy.core.availability import RETRY_SECONDS, Absence, VersionStatus, judge_absence
from proxy.core.policy import DEFAULT_SEVERITIES
from proxy.core.reasons import Code, Reason, Severity
from proxy.core.types import ModelKey

LATEST = ModelKey("m")


def status(version, state, error=""):
    return VersionStatus(version, state, 11 if error else 0, error)


def refusal(key, *versions, known=()):
    verdict = judge_absence(Absence(key, versions, known))
    (violation,) = verdict.violations
    return verdict, violation


def test_a_name_in_other_case_is_answered_with_the_name_that_is_served():
    verdict, violation = refusal(ModelKey("SSD"), known=("resnet", "ssd"))
    assert violation.reason is Reason.MODEL_NOT_FOUND
    assert violation.hint == "did you mean 'ssd'?"
    assert verdict.status_code is Code.NOT_FOUND


def test_a_name_close_to_a_served_one_is_answered_with_it():
    assert refusal(ModelKey("resnt50"), known=("resnet50", "ssd"))[1].hint == "did you mean 'resnet50'?"


def test_a_name_like_no_other_is_answered_with_those_seen():
    assert refusal(ModelKey("zzz"), known=("ssd", "bert"))[1].hint == "models seen here: 'bert', 'ssd'"


def test_the_name_that_was_asked_for_is_never_suggested():
    assert "detectr" not in refusal(ModelKey("detectr"), known=("detectr",))[1].hint
    assert refusal(ModelKey("detectr"), known=("bert", "detectr"))[1].hint == "models seen here: 'bert'"


def test_without_any_known_name_the_hint_says_where_names_come_from():
    assert "--model_name" in refusal(ModelKey("m"))[1].hint


def test_a_name_that_the_server_does_not_confirm_is_not_the_verdicts_model():
    assert refusal(ModelKey("invented"))[0].model is None
    assert refusal(ModelKey("m", 2), status(1, "AVAILABLE"))[0].model == "m"


def test_a_version_that_is_not_there_is_answered_with_those_that_are():
    verdict, violation = refusal(ModelKey("m", 2), status(3, "AVAILABLE"), status(1, "END"))
    assert violation.reason is Reason.VERSION_NOT_FOUND
    assert violation.expected == "version 3"
    assert "3 AVAILABLE, 1 END" in violation.hint
    assert verdict.status_code is Code.NOT_FOUND


@pytest.mark.parametrize("state", ["START", "LOADING"])
def test_a_loading_model_is_unavailable_for_now_and_says_when_to_retry(state):
    verdict, violation = refusal(LATEST, status(1, state))
    assert violation.reason is Reason.MODEL_LOADING
    assert verdict.status_code is Code.UNAVAILABLE
    assert verdict.retry_seconds == RETRY_SECONDS


def test_a_loading_version_is_told_though_another_is_available():
    assert (
        refusal(ModelKey("m", 2), status(2, "LOADING"), status(1, "AVAILABLE"))[1].reason
        is Reason.MODEL_LOADING
    )


def test_a_failed_model_is_told_in_the_servers_own_words():
    verdict, violation = refusal(LATEST, status(1, "END", "Read less bytes than requested"))
    assert violation.reason is Reason.MODEL_LOAD_FAILED
    assert "'Read less bytes than requested'" in violation.got
    assert verdict.retry_seconds is None


def test_an_unloaded_model_is_not_found_though_its_name_is_known():
    assert refusal(LATEST, status(1, "END"))[1].reason is Reason.MODEL_NOT_FOUND


@pytest.mark.parametrize("label", ["stable", "Stable", ""])
def test_a_label_that_is_not_assigned_is_told_as_such(label):
    verdict, violation = refusal(ModelKey("m", None, label), status(1, "AVAILABLE"))
    assert violation.reason is Reason.VERSION_LABEL_NOT_FOUND
    assert violation.field == "model_spec.version_label"
    assert verdict.status_code is Code.INVALID_ARGUMENT


def test_an_empty_label_is_told_apart_from_none():
    assert "not the same as none" in refusal(ModelKey("m", None, ""), status(1, "AVAILABLE"))[1].got


def test_a_label_of_an_unknown_model_blames_the_model():
    assert refusal(ModelKey("m", None, "stable"))[1].reason is Reason.MODEL_NOT_FOUND


def test_answers_that_contradict_each_other_give_no_verdict():
    assert judge_absence(Absence(LATEST, (status(1, "AVAILABLE"),))) is None
    assert judge_absence(Absence(ModelKey("m", 1), (status(1, "AVAILABLE"),))) is None


@pytest.mark.parametrize(("severity", "warnings"), [(Severity.WARN, 1), (Severity.OFF, 0)])
def test_a_lower_severity_lets_the_server_answer(severity, warnings):
    severities = {**DEFAULT_SEVERITIES, Reason.MODEL_NOT_FOUND: severity}
    verdict = judge_absence(Absence(ModelKey("m")), severities)
    assert verdict.violations == ()
    assert len(verdict.warnings) == warnings


def test_a_long_error_text_with_control_characters_is_cut_and_escaped():
    got = refusal(LATEST, status(1, "END", "a\nb" + "x" * 1000))[1].got
    assert "a\\nb" in got
    assert len(got) < 400
