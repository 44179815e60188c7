"""What is added to an upstream's answer, and what stays."""

from google.rpc import error_details_pb2, status_pb2

from proxy.diagnosis import diagnose
from proxy.wire.diagnosis import annotate
from proxy.wire.status import DETAILS_BUDGET, DOMAIN

UNCLEAR = "tensor parsing error: x"
CLEAR = "output tensor alias not found in signature: nope Outputs expected to be in the set {y}."


def unpack(details):
    status = status_pb2.Status.FromString(details)
    found = []
    for packed in status.details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.Help, error_details_pb2.DebugInfo):
            message = kind()
            if packed.Unpack(message):
                found.append(message)
    return status, found


def test_an_unclear_text_is_kept_and_the_sentence_comes_after_it():
    diagnosis = diagnose(3, UNCLEAR)
    added = annotate(3, UNCLEAR, b"", diagnosis)
    assert added.text.startswith(f"{UNCLEAR} [tfs-proxy: ")
    assert diagnosis.sentence in added.text


def test_a_clear_text_stays_as_it_is_and_only_the_details_speak():
    added = annotate(3, CLEAR, b"", diagnose(3, CLEAR))
    assert added.text == CLEAR
    assert added.sentence.startswith("OUTPUT_UNKNOWN: ")


def test_an_empty_text_gets_the_sentence_as_its_text():
    assert annotate(13, "", b"", diagnose(13, "")).text.startswith("tfs-proxy: INTERNAL with no text")


def test_the_details_carry_code_text_reason_and_facts():
    added = annotate(3, UNCLEAR, b"", diagnose(3, UNCLEAR), {"model": "m", "version": "1"})
    status, (info, link) = unpack(added.details)
    assert status.code == 3
    assert status.message == added.text
    assert info.domain == DOMAIN
    assert info.reason == "PAYLOAD_LENGTH_MISMATCH"
    assert info.metadata["model"] == "m"
    assert info.metadata["failures"] == "F26 F27"
    assert link.links[0].url.startswith("docs/reasons.md#payload_length_mismatch")


def test_details_of_the_upstream_come_first_and_stay():
    theirs = status_pb2.Status(code=3, message=UNCLEAR)
    theirs.details.add().Pack(error_details_pb2.DebugInfo(detail="theirs"))
    added = annotate(3, UNCLEAR, theirs.SerializeToString(), diagnose(3, UNCLEAR))
    status, found = unpack(added.details)
    assert found[0].detail == "theirs"
    assert status.message == added.text


def test_details_that_cannot_be_read_stay_as_they_are():
    assert annotate(3, UNCLEAR, b"\xff\xff\xff", diagnose(3, UNCLEAR)).details == b"\xff\xff\xff"


def test_details_that_would_outgrow_the_budget_stay_as_they_are():
    theirs = status_pb2.Status(code=3, message="m" * DETAILS_BUDGET).SerializeToString()
    assert annotate(3, UNCLEAR, theirs, diagnose(3, UNCLEAR)).details == theirs
