"""The vocabulary is complete, and what is said of a reason can be shown anywhere."""

import re

import grpc
import pytest

from proxy.core.reasons import REASONS, Code, Reason, Severity


def test_every_reason_has_everything_said_about_it():
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_fits_error_info_and_metric_labels(reason):
    # google/rpc/error_details.proto: [A-Z][A-Z0-9_]+[A-Z0-9], at most 63 characters.
    assert re.fullmatch(r"[A-Z][A-Z0-9_]+[A-Z0-9]", reason)
    assert len(reason) <= 63
    assert reason.value == reason.name


@pytest.mark.parametrize("reason", Reason)
def test_meaning_and_remedy_are_one_printable_sentence(reason):
    for sentence in (reason.about.meaning, reason.about.remedy):
        assert sentence.endswith(".")
        assert sentence.isascii()
        assert sentence.isprintable()


@pytest.mark.parametrize("reason", Reason)
def test_failure_ids_are_those_of_the_catalogue(reason):
    assert all(re.fullmatch(r"F(0[1-9]|[1-9]\d|1[0-2]\d)", each) for each in reason.about.failures)
    assert len(set(reason.about.failures)) == len(reason.about.failures)


def test_codes_are_those_of_grpc():
    numbers = {each.name: each.value[0] for each in grpc.StatusCode}
    assert {code.name: int(code) for code in Code}.items() <= numbers.items()


def test_only_what_is_legal_warns_by_default():
    warn = {reason for reason in Reason if reason.about.severity is Severity.WARN}
    assert warn == {Reason.BATCH_MISMATCH, Reason.BATCH_EMPTY, Reason.PAYLOAD_SINGLE_VALUE}


def test_a_loading_model_is_the_one_departure_from_the_servers_own_code():
    assert Reason.MODEL_LOADING.about.code is Code.UNAVAILABLE
    for reason in (Reason.MODEL_NOT_FOUND, Reason.VERSION_NOT_FOUND, Reason.MODEL_LOAD_FAILED):
        assert reason.about.code is Code.NOT_FOUND
    assert Reason.SIGNATURE_NOT_FOUND.about.code is Code.FAILED_PRECONDITION
    assert Reason.VERSION_LABEL_NOT_FOUND.about.code is Code.INVALID_ARGUMENT
