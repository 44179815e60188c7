"""Facts of a probe in, one sentence and a remedy out."""

from dataclasses import replace

import pytest

from proxy.core.reasons import Reason
from proxy.diagnosis.answer import SENTENCE_BUDGET, Diagnosis
from proxy.diagnosis.reach import Attempt, Connect, ForwardProxy, Reach, Speaks, Spoken
from proxy.diagnosis.transport import Spent, diagnose_deadline, diagnose_reach

PLACE = "10.0.0.1:8500"
NAMED = Reach("tfs:8500", host="tfs", addresses=(PLACE,))
OPEN = replace(NAMED, attempts=(Attempt(PLACE, Connect.OPEN),))


def closed(*results, **more):
    attempts = tuple(Attempt(f"10.0.0.{number}:8500", result) for number, result in enumerate(results, 1))
    return replace(NAMED, attempts=attempts, **more)


def speaking(speaks, **more):
    return replace(OPEN, spoken=Spoken(PLACE, speaks, **more))


def test_nothing_in_the_way_is_no_diagnosis():
    assert diagnose_reach(speaking(Speaks.HTTP2)) is None
    assert diagnose_reach(NAMED) is None


CASES = [
    (replace(NAMED, addresses=(), name_error="unknown"), Reason.UPSTREAM_NAME_UNRESOLVED, "F63", "'tfs' has no address: unknown"),
    (closed(Connect.REFUSED), Reason.UPSTREAM_UNREACHABLE, "F49", "nothing listens there (10.0.0.1:8500 refused)"),
    (Reach("", was_up=True), Reason.UPSTREAM_UNREACHABLE, "F74", "was there and is gone: it stopped"),
    (closed(Connect.REFUSED, was_up=True), Reason.UPSTREAM_UNREACHABLE, "F74", "was there and is gone"),
    (closed(Connect.TIMED_OUT), Reason.UPSTREAM_UNREACHABLE, "F62", "packets are dropped"),
    (closed(Connect.UNREACHABLE), Reason.UPSTREAM_UNREACHABLE, "F64", "no way to the server"),
    (closed(Connect.REFUSED, Connect.TIMED_OUT), Reason.UPSTREAM_UNREACHABLE, "F64", "10.0.0.1:8500 refused, 10.0.0.2:8500 timed out"),
    (speaking(Speaks.HTTP1, rest=True), Reason.UPSTREAM_NOT_GRPC, "F61", "TensorFlow Serving's REST interface"),
    (speaking(Speaks.HTTP1, text="HTTP/1.1 400"), Reason.UPSTREAM_NOT_GRPC, "F61", "speaks HTTP/1, not gRPC (HTTP/1.1 400)"),
    (speaking(Speaks.TLS), Reason.UPSTREAM_TLS_MISMATCH, "F65", "speaks TLS and is spoken to in plaintext"),
    (speaking(Speaks.PLAINTEXT), Reason.UPSTREAM_TLS_MISMATCH, "F65", "speaks plaintext and is spoken to in TLS"),
    (speaking(Speaks.CERTIFICATE, text="expired"), Reason.UPSTREAM_TLS_MISMATCH, "F65", "(expired)"),
    (speaking(Speaks.NO_ALPN), Reason.UPSTREAM_TLS_MISMATCH, "F65", "ALPN"),
    (speaking(Speaks.SILENT), Reason.UPSTREAM_NOT_GRPC, "F71", "says nothing"),
    (speaking(Speaks.CLOSES), Reason.UPSTREAM_UNREACHABLE, "F62", "closes it at once"),
    (speaking(Speaks.OTHER), Reason.UPSTREAM_NOT_GRPC, "F61", "another service"),
]  # fmt: skip


@pytest.mark.parametrize(("reach", "reason", "failure", "words"), CASES, ids=[case[3] for case in CASES])
def test_each_obstacle_has_its_own_sentence(reach, reason, failure, words):
    diagnosis = diagnose_reach(reach)
    assert diagnosis.reason is reason
    assert failure in diagnosis.failures
    assert words in diagnosis.sentence
    assert diagnosis.remedy.endswith(".")
    assert diagnosis.append


def test_no_two_obstacles_have_the_same_sentence():
    sentences = [diagnose_reach(reach).sentence for reach, *_ in CASES]
    assert len(set(sentences)) == len(sentences)


def test_a_forward_proxy_that_is_obeyed_is_blamed_first():
    proxy = ForwardProxy("http_proxy", "p:3128")
    reach = replace(speaking(Speaks.HTTP2), forward_proxy=proxy, obeys_proxy=True)
    diagnosis = diagnose_reach(reach)
    assert "p:3128 named by http_proxy; directly the server can be reached" in diagnosis.sentence
    assert diagnosis.failures == ("F60",)
    down = replace(closed(Connect.REFUSED), forward_proxy=proxy, obeys_proxy=True)
    assert "cannot be reached directly either" in diagnose_reach(down).sentence


@pytest.mark.parametrize(
    "change", [{"obeys_proxy": False}, {"forward_proxy": ForwardProxy("http_proxy", "p", "no_proxy")}]
)
def test_a_forward_proxy_that_is_left_aside_is_not_blamed(change):
    reach = replace(speaking(Speaks.HTTP2), forward_proxy=ForwardProxy("http_proxy", "p"), obeys_proxy=True)
    assert diagnose_reach(replace(reach, **change)) is None


def test_two_resolvers_that_disagree_are_named():
    diagnosis = diagnose_reach(OPEN, "DNS resolution failed for tfs:8500: C-ares status is not ARES_SUCCESS")
    assert (
        "gRPC's own resolver finds no address for 'tfs', the system's finds 10.0.0.1:8500"
        in diagnosis.sentence
    )
    assert "GRPC_DNS_RESOLVER=native" in diagnosis.remedy


def test_a_crowd_of_addresses_stays_within_the_budget():
    attempts = tuple(Attempt("[2001:db8::1]:8500", Connect.FAILED, text="x" * 100) for _ in range(50))
    assert len(diagnose_reach(replace(NAMED, attempts=attempts)).sentence) <= SENTENCE_BUDGET


def test_a_deadline_without_a_connection_says_why_there_is_none():
    diagnosis = diagnose_deadline(Spent(0, 1), False, "tfs:8500", None, closed(Connect.TIMED_OUT))
    assert diagnosis.sentence.startswith("never connected: no connection to tfs:8500 stood")
    assert "packets are dropped" in diagnosis.sentence
    assert set(diagnosis.failures) == {"F62", "F71"}


@pytest.mark.parametrize(
    ("spent", "words"),
    [
        (Spent(0.5, None), "the deadline passed after 0.5 s in the proxy"),
        (
            Spent(0.1, 0.9),
            "had the request for 0.9 of 1 s over a connection that stands, and gave no answer: executing",
        ),
        (Spent(0.1, 0.9, others=7), "queued behind others or executing: 7 more calls"),
    ],
)
def test_a_deadline_over_a_connection_says_where_the_time_went(spent, words):
    diagnosis = diagnose_deadline(spent, True, "tfs:8500", None)
    assert diagnosis.reason is Reason.UPSTREAM_DEADLINE_EXCEEDED
    assert words in diagnosis.sentence


def test_what_the_request_itself_explains_is_worth_more():
    known = Diagnosis(Reason.BATCH_EMPTY, "the batch is empty", "Send one.", ())
    assert diagnose_deadline(Spent(0, 1), True, "tfs:8500", known) is known
