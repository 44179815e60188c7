"""The gate against a server's live metadata: what it admits, what it refuses, and when it lets the server answer."""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from proxy.core.freshness import Limits
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Reason, Severity
from proxy.core.types import CLASSIFY_METHOD, REGRESS_METHOD
from proxy.gate import (
    JUDGED_METHODS,
    METADATA_PATIENCE,
    PREDICT,
    Admit,
    Gate,
    Glimpse,
    Message,
    Refuse,
    Unjudged,
)
from proxy.upstream.channel import open_channel
from proxy.upstream.control import ChannelControl
from proxy.upstream.signatures import SignatureCache
from proxy.wire.protos import classification_pb2, inference_pb2, regression_pb2
from proxy.wire.request import parse_predict
from proxy.wire.wire_format import UnusualError
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def
from tests.judging import FixedSignatures, predict, servable, signature, tensor

SERVICE = "/tensorflow.serving.PredictionService"
GOOD = predict("m", x=tensor("float32", (2, 3))).SerializeToString()
BAD = predict("m", x=tensor("float32", (2, 4))).SerializeToString()


@pytest.fixture
async def serving() -> AsyncIterator[FakeServing]:
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


@pytest.fixture
async def signatures(serving) -> AsyncIterator[SignatureCache]:
    async with open_channel(serving.target) as channel:
        cache = SignatureCache(ChannelControl(channel))
        yield cache
        await cache.stop()


@pytest.fixture
def gate(signatures) -> Gate:
    return Gate(signatures, Policies())


def reasons(decision):
    return [each.reason.value for each in decision.verdict.violations]


# === admitted ===


async def test_a_good_request_is_admitted_with_what_it_was_judged_by(gate):
    decision = await gate.judge(Message(PREDICT, GOOD))
    assert isinstance(decision, Admit)
    assert not decision.failed
    assert (decision.verdict.model, decision.verdict.version, decision.verdict.signature) == (
        "m",
        1,
        "serving_default",
    )
    assert decision.view.inputs[0].dims == (2, 3)
    assert decision.batch_size == 2
    assert decision.would_refuse == ()


async def test_a_good_request_for_a_known_servable_is_decided_without_waiting_or_asking(gate, serving):
    assert gate.judge_now(Message(PREDICT, GOOD)) is None
    await gate.judge(Message(PREDICT, GOOD))
    asked = serving.calls.total()
    for _ in range(100):
        assert isinstance(gate.judge_now(Message(PREDICT, GOOD)), Admit)
    assert serving.calls.total() == asked


async def test_a_bad_request_is_never_decided_without_asking(gate):
    await gate.judge(Message(PREDICT, GOOD))
    assert gate.judge_now(Message(PREDICT, BAD)) is None


async def test_a_warning_admits(gate):
    empty = predict("m", x=tensor("float32", (0, 3))).SerializeToString()
    decision = await gate.judge(Message(PREDICT, empty))
    assert isinstance(decision, Admit)
    assert [each.reason for each in decision.verdict.warnings] == [Reason.BATCH_EMPTY]
    assert isinstance(gate.judge_now(Message(PREDICT, empty)), Admit)


# === refused ===


async def test_a_bad_request_is_refused_in_words(gate):
    decision = await gate.judge(Message(PREDICT, BAD))
    assert isinstance(decision, Refuse)
    assert reasons(decision) == ["SHAPE_MISMATCH"]
    assert decision.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert decision.status.text.startswith("input 'x': expected [?,3], got [2,4]")
    assert status_pb2.Status.FromString(decision.status.details).message == decision.status.text
    assert decision.view.key.model == "m"


async def test_unreadable_bytes_are_refused(gate):
    for method in sorted(JUDGED_METHODS):
        decision = await gate.judge(Message(method, b'{"instances": [1]}'))
        assert isinstance(decision, Refuse)
        assert (decision.view, reasons(decision)) == (None, ["REQUEST_MALFORMED"])
        assert gate.judge_now(Message(method, b'{"instances": [1]}')) is None


async def test_a_request_that_names_no_model_is_refused_without_asking_the_server(gate, serving):
    assert reasons(await gate.judge(Message(PREDICT, b""))) == ["MODEL_SPEC_MISSING"]
    assert reasons(await gate.judge(Message(PREDICT, predict("").SerializeToString()))) == [
        "MODEL_NAME_MISSING"
    ]
    assert serving.calls.total() == 0


async def test_an_unknown_model_is_refused_with_the_name_that_it_resembles(gate):
    await gate.judge(Message(PREDICT, GOOD))
    decision = await gate.judge(Message(PREDICT, predict("M").SerializeToString()))
    assert reasons(decision) == ["MODEL_NOT_FOUND"]
    assert "did you mean 'm'?" in decision.status.text


async def test_a_loading_model_is_refused_with_the_time_to_retry(gate, serving):
    serving.load("m", 1, state="LOADING")
    decision = await gate.judge(Message(PREDICT, GOOD))
    assert reasons(decision) == ["MODEL_LOADING"]
    assert decision.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    kinds = [each.type_url for each in status_pb2.Status.FromString(decision.status.details).details]
    assert f"type.googleapis.com/{error_details_pb2.RetryInfo.DESCRIPTOR.full_name}" in kinds


async def test_a_failed_model_is_refused_in_the_servers_own_words(gate, serving):
    serving.load("m", 1, state="END", error=(11, "Read less bytes than requested"))
    decision = await gate.judge(Message(PREDICT, GOOD))
    assert reasons(decision) == ["MODEL_LOAD_FAILED"]
    assert "Read less bytes than requested" in decision.status.text


async def test_an_unknown_label_is_refused_as_such(gate):
    request = predict("m")
    request.model_spec.version_label = "stable"
    assert reasons(await gate.judge(Message(PREDICT, request.SerializeToString()))) == [
        "VERSION_LABEL_NOT_FOUND"
    ]


# === never on stale metadata ===


async def test_a_request_for_a_signature_that_has_just_changed_is_admitted(gate, serving):
    await gate.judge(Message(PREDICT, GOOD))
    serving.swap("m", 2, {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 4))})})
    decision = await gate.judge(Message(PREDICT, BAD))
    assert isinstance(decision, Admit)
    assert not decision.failed
    assert decision.verdict.version == 2


NOT_ANSWERED = [
    (grpc.StatusCode.UNAVAILABLE, "gone"),
    (grpc.StatusCode.INTERNAL, ""),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many"),
    (grpc.StatusCode.UNIMPLEMENTED, ""),
]


@pytest.mark.parametrize("failure", NOT_ANSWERED, ids=lambda failure: failure[0].name)
async def test_a_contradiction_that_cannot_be_confirmed_is_told_to_come_again(gate, serving, failure):
    await gate.judge(Message(PREDICT, GOOD))
    serving.fail("GetModelMetadata", *failure)
    for _ in range(3):
        decision = await gate.judge(Message(PREDICT, BAD))
        assert isinstance(decision, Refuse)
        assert reasons(decision) == ["SIGNATURE_UNCONFIRMED"]
        assert decision.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
        assert retry_delay(decision) > 0
        assert "version 1" in decision.status.text


@pytest.mark.parametrize("failure", NOT_ANSWERED, ids=lambda failure: failure[0].name)
async def test_what_fits_the_last_known_signature_flows_while_it_cannot_be_renewed(
    gate, serving, signatures, failure
):
    await gate.judge(Message(PREDICT, GOOD))
    signatures.invalidate()  # as when the server comes back
    serving.fail("GetModelMetadata", *failure)
    for _ in range(3):
        decision = await gate.judge(Message(PREDICT, GOOD))
        assert isinstance(decision, Admit)
        assert not decision.failed
        assert decision.verdict.version == 1


async def test_a_renewal_that_hangs_keeps_nobody_waiting_for_longer_than_the_first(serving):
    async with open_channel(serving.target) as channel:
        cache = SignatureCache(ChannelControl(channel), limits=Limits(patience=0.05))
        gate = Gate(cache, Policies())
        await gate.judge(Message(PREDICT, GOOD))
        cache.invalidate()
        with serving.hold("GetModelMetadata"):
            async with asyncio.timeout(1):
                for _ in range(50):
                    assert not (await gate.judge(Message(PREDICT, GOOD))).failed
        await cache.stop()


async def test_a_contradiction_is_unconfirmed_while_the_versions_cannot_be_asked_for(gate, serving):
    await gate.judge(Message(PREDICT, GOOD))
    assert reasons(await gate.judge(Message(PREDICT, BAD))) == ["SHAPE_MISMATCH"]
    serving.fail("GetModelStatus", grpc.StatusCode.UNAVAILABLE, "gone")  # within the second of that recheck
    assert reasons(await gate.judge(Message(PREDICT, BAD))) == ["SIGNATURE_UNCONFIRMED"]


def retry_delay(decision) -> float:
    retry = error_details_pb2.RetryInfo()
    for each in status_pb2.Status.FromString(decision.status.details).details:
        each.Unpack(retry)
    return retry.retry_delay.ToTimedelta().total_seconds()


async def test_many_bad_requests_ask_the_server_once(gate, serving):
    await gate.judge(Message(PREDICT, GOOD))
    decisions = await asyncio.gather(*(gate.judge(Message(PREDICT, BAD)) for _ in range(50)))
    assert all(isinstance(each, Refuse) for each in decisions)
    assert serving.calls["GetModelMetadata"] <= 2


# === what was never known ===


@pytest.mark.parametrize(
    "code",
    [grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED],
)
async def test_what_the_server_keeps_unknown_it_answers_itself(gate, serving, code):
    serving.fail("GetModelMetadata", code)
    decision = await gate.judge(Message(PREDICT, BAD))
    assert isinstance(decision, Admit)
    assert decision.unjudged is Unjudged.KEPT_UNKNOWN
    assert decision.failed
    assert decision.view.key.model == "m"


async def test_a_front_that_has_no_way_to_the_server_keeps_nothing_unknown(gate, serving):
    serving.fail("GetModelMetadata", grpc.StatusCode.UNIMPLEMENTED, "Received http2 header with status: 404")
    assert reasons(await gate.judge(Message(PREDICT, BAD))) == ["SIGNATURE_UNAVAILABLE"]


async def test_metadata_that_cannot_be_read_is_kept_unknown(gate, serving):
    serving.answer("GetModelMetadata", b"\xff\xff")
    assert (await gate.judge(Message(PREDICT, BAD))).unjudged is Unjudged.KEPT_UNKNOWN


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.DEADLINE_EXCEEDED]
)
@pytest.mark.parametrize("message", [GOOD, BAD], ids=["good", "bad"])
async def test_without_an_answer_nothing_is_forwarded(gate, serving, code, message):
    serving.fail("GetModelMetadata", code, "not now")
    decision = await gate.judge(Message(PREDICT, message))
    assert isinstance(decision, Refuse)
    assert reasons(decision) == ["SIGNATURE_UNAVAILABLE"]
    assert decision.status.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert retry_delay(decision) > 0


@pytest.mark.parametrize("message", [GOOD, BAD], ids=["good", "bad"])
async def test_metadata_is_waited_for_no_longer_than_the_caller_allows(gate, serving, message):
    with serving.hold("GetModelMetadata"):
        async with asyncio.timeout(METADATA_PATIENCE / 2):
            decision = await gate.judge(Message(PREDICT, message), timeout=0.05)
    assert reasons(decision) == ["SIGNATURE_UNAVAILABLE"]
    assert decision.unasked.why == "no answer of the server in time"


async def test_reading_takes_nothing_from_the_patience(gate, set_constant):
    class Slow:
        def view(self):
            set_constant("proxy.gate.gate.METADATA_PATIENCE", 5.0)
            return parse_predict(GOOD)

    set_constant("proxy.gate.gate.METADATA_PATIENCE", 0.0)
    assert isinstance(await gate.judge(Glimpse(Slow())), Admit)


async def test_a_bad_request_without_time_is_never_admitted(gate):
    await gate.judge(Message(PREDICT, GOOD))
    for seconds in (0.0, -1.0, 1e-9, 1e-5, 2e-4, 1e-3):
        assert isinstance(await gate.judge(Message(PREDICT, BAD), timeout=seconds), Refuse)


async def test_a_model_loaded_between_the_two_questions_is_judged(gate, serving):
    """GetModelMetadata says NOT_FOUND, then GetModelStatus says AVAILABLE."""
    serving.fail("GetModelMetadata", grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)")
    with serving.hold("GetModelStatus") as hold:
        deciding = asyncio.create_task(gate.judge(Message(PREDICT, BAD)))
        await hold.arrived()
        serving.mend("GetModelMetadata")
        hold.release()
        assert reasons(await deciding) == ["SHAPE_MISMATCH"]


async def test_answers_of_the_server_that_always_contradict_each_other_let_it_answer(gate, serving):
    serving.fail("GetModelMetadata", grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)")
    assert (await gate.judge(Message(PREDICT, GOOD))).unjudged is Unjudged.KEPT_UNKNOWN


async def test_invented_names_do_not_keep_a_known_model_from_being_judged(serving, signatures):
    gate = Gate(signatures, Policies())
    await gate.judge(Message(PREDICT, GOOD))
    with serving.hold("GetModelMetadata") as hold:
        names = [
            asyncio.create_task(
                gate.judge(Message(PREDICT, predict(f"invented-{n}").SerializeToString()), client=(n % 3,))
            )
            for n in range(1200)
        ]
        bad = [asyncio.create_task(gate.judge(Message(PREDICT, BAD))) for _ in range(20)]
        await hold.arrived(5)  # four invented ones, and the known one beside them
        hold.release()
        assert [reasons(each) for each in await asyncio.gather(*bad)] == [["SHAPE_MISMATCH"]] * 20
        told = {reasons(each)[0] for each in await asyncio.gather(*names)}
    assert told == {"MODEL_NOT_FOUND", "SIGNATURE_UNAVAILABLE"}


async def test_names_that_one_client_invents_leave_room_for_those_of_others(serving, signatures):
    gate = Gate(signatures, Policies())
    serving.load("new")
    with serving.hold("GetModelMetadata") as hold:
        flood = [
            asyncio.create_task(
                gate.judge(Message(PREDICT, predict(f"invented-{n}").SerializeToString()), client=("one",))
            )
            for n in range(2000)
        ]
        await hold.arrived(4)
        other = asyncio.create_task(
            gate.judge(
                Message(PREDICT, predict("new", x=tensor("float32", (2, 3))).SerializeToString()),
                client=("other",),
            )
        )
        await asyncio.sleep(0)
        hold.release()
        assert isinstance(await other, Admit)
        await asyncio.gather(*flood)


# === a fault of our own ===


class Faulty(FixedSignatures):
    def peek(self, key):
        raise ZeroDivisionError


async def test_a_fault_of_our_own_lets_the_server_answer():
    gate = Gate(Faulty(), Policies())
    assert gate.judge_now(Message(PREDICT, GOOD)) == Admit(unjudged=Unjudged.FAULT)
    assert await gate.judge(Message(PREDICT, BAD)) == Admit(unjudged=Unjudged.FAULT)


# === modes ===


async def test_observe_admits_and_says_what_it_would_have_refused(signatures):
    gate = Gate(signatures, Policies(Policy(Mode.OBSERVE)))
    decision = await gate.judge(Message(PREDICT, BAD))
    assert isinstance(decision, Admit)
    assert [each.reason for each in decision.would_refuse] == [Reason.SHAPE_MISMATCH]
    malformed = await gate.judge(Message(PREDICT, b"\xff"))
    assert [each.reason for each in malformed.would_refuse] == [Reason.REQUEST_MALFORMED]
    assert (await gate.judge(Message(PREDICT, GOOD))).would_refuse == ()


@pytest.mark.parametrize("default", [Mode.OBSERVE, Mode.OFF])
async def test_what_nobody_can_read_may_be_for_the_model_that_is_guarded(signatures, default):
    policies = Policies(Policy(default), {"m": Policy()})
    decision = await Gate(signatures, policies).judge(Message(PREDICT, b"\xff"))
    assert isinstance(decision, Refuse)
    policies = Policies(Policy(default), {"m": Policy(Mode.OFF)})
    assert isinstance(await Gate(signatures, policies).judge(Message(PREDICT, b"\xff")), Admit)


async def test_observe_forwards_what_cannot_be_confirmed_and_counts_it(signatures, serving):
    gate = Gate(signatures, Policies(Policy(Mode.OBSERVE)))
    await gate.judge(Message(PREDICT, GOOD))
    serving.fail("GetModelMetadata", grpc.StatusCode.UNAVAILABLE, "gone")
    decision = await gate.judge(Message(PREDICT, BAD))
    assert [each.reason for each in decision.would_refuse] == [Reason.SIGNATURE_UNCONFIRMED]
    unknown = await gate.judge(Message(PREDICT, predict("other").SerializeToString()))
    assert [each.reason for each in unknown.would_refuse] == [Reason.SIGNATURE_UNAVAILABLE]


@pytest.mark.parametrize("severity", [Severity.WARN, Severity.OFF])
async def test_an_operator_may_choose_to_forward_what_cannot_be_confirmed(signatures, serving, severity):
    asked = dict.fromkeys((Reason.SIGNATURE_UNCONFIRMED, Reason.SIGNATURE_UNAVAILABLE), severity)
    gate = Gate(signatures, Policies(Policy.of(severities=asked)))
    await gate.judge(Message(PREDICT, GOOD))
    serving.fail("GetModelMetadata", grpc.StatusCode.UNAVAILABLE, "gone")
    for message, reason in (
        (BAD, Reason.SIGNATURE_UNCONFIRMED),
        (predict("other").SerializeToString(), Reason.SIGNATURE_UNAVAILABLE),
    ):
        decision = await gate.judge(Message(PREDICT, message))
        assert decision.unjudged is Unjudged.BY_POLICY
        warned = [each.reason for each in decision.verdict.warnings]
        assert warned == ([reason] if severity is Severity.WARN else [])


async def test_off_judges_nothing_and_asks_nothing(signatures, serving):
    gate = Gate(signatures, Policies(Policy(Mode.OFF)))
    off = Admit(unjudged=Unjudged.BY_POLICY)
    for message in (GOOD, BAD, b"", b"\xff"):
        assert await gate.judge(Message(PREDICT, message)) == off
    assert gate.judge_now(Message(PREDICT, BAD)) == off
    assert serving.calls.total() == 0


async def test_a_model_may_have_a_mode_of_its_own(signatures, serving):
    serving.load("other")
    gate = Gate(signatures, Policies(models={"m": Policy(Mode.OFF)}))
    assert (await gate.judge(Message(PREDICT, BAD))).unjudged is Unjudged.BY_POLICY
    assert isinstance(await gate.judge(Message(PREDICT, predict("other").SerializeToString())), Refuse)


@pytest.mark.parametrize(
    ("severity", "warned"), [(Severity.WARN, [Reason.REQUEST_MALFORMED]), (Severity.OFF, [])]
)
async def test_unreadable_bytes_follow_the_severity_of_the_default_policy(signatures, severity, warned):
    gate = Gate(signatures, Policies(Policy.of(severities={Reason.REQUEST_MALFORMED: severity})))
    decision = await gate.judge(Message(PREDICT, b"\xff"))
    assert isinstance(decision, Admit)
    assert [each.reason for each in decision.verdict.warnings] == warned


# === Classify, Regress, MultiInference ===

CLASSIFIER = servable(
    signature({"inputs": ("string", (-1,))}, {"scores": ("float32", (-1, 2))}),
    signature({"inputs": ("string", (-1,))}, {"outputs": ("float32", (-1, 1))}, name="regress"),
    signature({"x": ("float32", (-1,))}, name="predict"),
)


def task(kind, name="m", signature_name=""):
    request = kind()
    request.model_spec.name = name
    request.model_spec.signature_name = signature_name
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("method", "kind", "signature_name", "refused"),
    [
        ("Classify", classification_pb2.ClassificationRequest, "", []),
        ("Classify", classification_pb2.ClassificationRequest, "regress", ["METHOD_MISMATCH"]),
        ("Classify", classification_pb2.ClassificationRequest, "nope", ["SIGNATURE_NOT_FOUND"]),
        ("Regress", regression_pb2.RegressionRequest, "regress", []),
        ("Regress", regression_pb2.RegressionRequest, "", ["METHOD_MISMATCH"]),
    ],
)
async def test_classify_and_regress_are_judged_as_far_as_the_signature_speaks(
    method, kind, signature_name, refused
):
    gate = Gate(FixedSignatures(CLASSIFIER), Policies())
    decision = await gate.judge(Message(f"{SERVICE}/{method}", task(kind, signature_name=signature_name)))
    assert reasons(decision) == refused
    if isinstance(decision, Refuse):
        assert decision.status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


def tasks(*wanted):
    request = inference_pb2.MultiInferenceRequest()
    for signature_name, method, *model in wanted:
        each = request.tasks.add(method_name=method)
        each.model_spec.name = model[0] if model else "m"
        each.model_spec.signature_name = signature_name
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (tasks(("", CLASSIFY_METHOD), ("regress", REGRESS_METHOD)), False),
        (tasks(("", CLASSIFY_METHOD), ("predict", REGRESS_METHOD)), True),
        # What the server says clearly itself: twice a signature, another model, another method.
        (tasks(("", CLASSIFY_METHOD), ("", REGRESS_METHOD)), False),
        (tasks(("", CLASSIFY_METHOD), ("nope", REGRESS_METHOD, "other")), False),
        (tasks(("predict", "tensorflow/serving/predict"), ("nope", REGRESS_METHOD)), False),
        (tasks(("predict", CLASSIFY_METHOD), ("regress", REGRESS_METHOD)), True),
        (tasks(("predict", "tensorflow/serving/predict")), False),
        (tasks(), False),
    ],
)
async def test_multi_inference_is_refused_by_its_first_bad_task(message, refused):
    decision = await Gate(FixedSignatures(CLASSIFIER), Policies()).judge(
        Message(f"{SERVICE}/MultiInference", message)
    )
    assert isinstance(decision, Refuse) is refused


@pytest.mark.parametrize(
    ("message", "words", "field"),
    [
        (
            tasks(("", CLASSIFY_METHOD), ("regres", REGRESS_METHOD), ("", REGRESS_METHOD, "other")),
            "tasks[1] (model 'm'), signature: expected ",
            "tasks[1].model_spec.signature_name",
        ),
        (
            tasks(("regress", CLASSIFY_METHOD)),
            "tasks[0] (model 'm'), signature 'regress': expected ",
            "tasks[0].model_spec.signature_name",
        ),
        (tasks(("", CLASSIFY_METHOD, "")), "tasks[0], model_spec.name: ", "tasks[0].model_spec.name"),
    ],
)
async def test_a_problem_of_a_task_names_the_task_and_its_model(message, words, field):
    decision = await Gate(FixedSignatures(CLASSIFIER), Policies()).judge(
        Message(f"{SERVICE}/MultiInference", message)
    )
    assert isinstance(decision, Refuse)
    assert decision.status.text.startswith(words)
    assert decision.verdict.violations[0].field == field


async def test_the_warnings_of_all_tasks_are_told():
    policy = Policy.of(severities={Reason.METHOD_MISMATCH: Severity.WARN})
    message = tasks(("predict", CLASSIFY_METHOD), ("regress", REGRESS_METHOD), ("", REGRESS_METHOD))
    decision = await Gate(FixedSignatures(CLASSIFIER), Policies(policy)).judge(
        Message(f"{SERVICE}/MultiInference", message)
    )
    assert isinstance(decision, Admit)
    assert [each.field[:8] for each in decision.verdict.warnings] == ["tasks[0]", "tasks[2]"]


async def test_what_one_task_would_be_refused_for_is_not_lost_by_a_good_one_after_it():
    gate = Gate(FixedSignatures(CLASSIFIER), Policies(Policy(Mode.OBSERVE)))
    message = tasks(("predict", CLASSIFY_METHOD), ("regress", REGRESS_METHOD))
    decision = await gate.judge(Message(f"{SERVICE}/MultiInference", message))
    assert [each.reason for each in decision.would_refuse] == [Reason.METHOD_MISMATCH]


async def test_only_methods_that_carry_a_model_spec_and_inputs_are_judged():
    names = {method.rpartition("/")[2] for method in JUDGED_METHODS}
    assert names == {"Predict", "Classify", "Regress", "MultiInference"}
    assert all(method.startswith(f"{SERVICE}/") for method in JUDGED_METHODS)


async def test_while_long_messages_are_read_no_error_is_being_handled_and_none_stays(gate):
    message = Message(PREDICT, GOOD + b"\xf8\x7f\x00" * 30_000)
    with pytest.raises(UnusualError):
        message.parts_at_once()
    gc.collect()
    before = sum(type(each) is UnusualError for each in gc.get_objects())
    for _ in range(5):
        judging = [asyncio.create_task(gate.judge(message, 5, (number,))) for number in range(4)]
        for _ in range(3):
            await asyncio.sleep(0)
            assert sys.exc_info() == (None, None, None)
        judging[1].cancel()
        await asyncio.gather(*judging, return_exceptions=True)
    gc.collect()
    assert sum(type(each) is UnusualError for each in gc.get_objects()) <= before
