"""The same random traffic through both edges: neither client nor server can tell one from the other.

Where they differ it is for a reason, written down in DIFFERENCES.
"""

import gzip
import itertools
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.wire.protos import get_model_metadata_pb2, get_model_status_pb2
from tests.clients.raw import RawCall, framed
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import PREDICT, predict
from tests.fake_serving import DEFAULT_SIGNATURES
from tests.proxy_process import EDGES, running_proxy
from tests.transparency.scripted import (
    KINDS,
    PATIENCE,
    Answer,
    Script,
    ScriptedServer,
    Seen,
    ask,
    channel_to,
    start,
)

MARK = ("x-of-a-client", "1")
REQUEST_ID = ("x-request-id", "d-1")
"""A client that gives none gets one that no other call has."""
QUESTION = "x-question"
"""Tells calls apart at the server, where one that was refused may arrive when the next has been asked."""
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
UNKNOWN = "/some.other.Service/Method"


class Serving(ScriptedServer):
    """Answers clients by script, and the proxy's own questions as a server that has the model `m`."""

    def service(self, details: Any) -> Any:
        if MARK in details.invocation_metadata:
            return super().service(details)
        own = {METADATA: self._metadata, STATUS: self._status}[details.method]
        return grpc.unary_unary_rpc_method_handler(own)

    def _metadata(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        spec = get_model_metadata_pb2.GetModelMetadataRequest.FromString(message).model_spec
        if spec.name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({spec.name})")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = "m"
        response.model_spec.version.value = 1
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=DEFAULT_SIGNATURES)
        response.metadata["signature_def"].Pack(signatures)
        return response.SerializeToString()

    def _status(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        spec = get_model_status_pb2.GetModelStatusRequest.FromString(message).model_spec
        if spec.name != "m":
            context.abort(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(version=1, state="AVAILABLE")
        return response.SerializeToString()


@dataclass(frozen=True)
class Call:
    """What a client does."""

    kind: str
    method: str
    messages: tuple[bytes, ...]
    metadata: tuple[tuple[str, str | bytes], ...] = ()
    compression: grpc.Compression = grpc.Compression.NoCompression
    timeout: float | None = PATIENCE


class Edges:
    """Both edges in front of one server."""

    def __init__(self, server: Serving, targets: dict[str, str], channels: dict[str, grpc.Channel]) -> None:
        self.server = server
        self.targets = targets
        self.channels = channels
        self._asked = itertools.count()

    def ask(self, call: Call) -> dict[str, tuple[Answer, list[Seen]]]:
        """Per edge: what the client saw, and what the server did."""
        heard = {}
        for name, channel in self.channels.items():
            self.server.seen.clear()
            question = (QUESTION, str(next(self._asked)))
            answer = ask(
                channel,
                call.kind,
                call.method,
                call.messages,
                metadata=(MARK, REQUEST_ID, question, *call.metadata),
                compression=call.compression,
                timeout=call.timeout,
            )
            heard[name] = (
                answer,
                [
                    replace(seen, metadata=tuple(pair for pair in seen.metadata if pair != question))
                    for seen in list(self.server.seen)
                    if question in seen.metadata
                ],
            )
        return heard


@pytest.fixture(scope="module")
def edges() -> Iterator[Edges]:
    server = Serving()
    flags = (
        "--upstream",
        server.target,
        "--model",
        "m",
        "--poll-seconds",
        "3600",
        "--refresh-seconds",
        "3600",
    )
    with running_proxy(*flags, *EDGES["grpcio"]) as grpcio, running_proxy(*flags, *EDGES["native"]) as native:
        targets = {"grpcio": grpcio.target, "native": native.target}
        for proxy in (grpcio, native):
            wait_until_ready(proxy)
        with channel_to(grpcio.target) as first, channel_to(native.target) as second:
            yield Edges(server, targets, {"grpcio": first, "native": second})
    server.stop()


_KEY = st.from_regex(r"x-[a-z0-9_.\-]{0,8}", fullmatch=True).filter(lambda key: not key.endswith("-bin"))
_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.strip)
_PAIRS = st.lists(
    st.one_of(st.tuples(_KEY, _TEXT), st.tuples(_KEY.map(lambda key: f"{key}-bin"), st.binary(max_size=40))),
    max_size=6,
).map(tuple)
_BYTES = st.one_of(st.binary(max_size=60), st.sampled_from([b"", b"x" * 100_000, bytes(1_000_000)]))
_SHAPE = st.one_of(
    st.sampled_from([(2, 3), (1, 3), (0, 3), (100_000, 3), (2, 4), (3,), ()]),
    st.lists(st.integers(0, 9), max_size=4).map(tuple),
)
_PREDICT = st.one_of(
    st.builds(
        predict,
        model=st.sampled_from(["m", "m", "m", "M", "other", ""]),
        shape=_SHAPE,
        alias=st.sampled_from(["x", "x", "x", "X", "y", ""]),
        signature_name=st.sampled_from(["", "serving_default", "other"]),
    ),
    st.tuples(st.builds(predict, shape=_SHAPE), st.integers(0, 60)).map(lambda cut: cut[0][: cut[1]]),
    st.builds(predict).map(lambda message: message + b"\xd2\x3e\x02hi"),
    _BYTES,
)
_MESSAGES = {
    "unary": st.one_of(_BYTES, _PREDICT).map(lambda message: (message,)),
    "stream": st.lists(_BYTES, max_size=3).map(tuple),
}
_COMPRESSION = st.sampled_from([grpc.Compression.NoCompression, grpc.Compression.Gzip])


def _calls() -> st.SearchStrategy[Call]:
    unary = st.sampled_from([METADATA, STATUS, CLASSIFY, RELOAD])
    return st.one_of(
        st.builds(
            Call, st.just("unary_unary"), st.just(PREDICT), _PREDICT.map(lambda m: (m,)), _PAIRS, _COMPRESSION
        ),
        st.builds(Call, st.just("unary_unary"), unary, _MESSAGES["unary"], _PAIRS, _COMPRESSION),
        *(
            st.builds(
                Call, st.just(kind), st.just(UNKNOWN), _MESSAGES[kind.partition("_")[0]], _PAIRS, _COMPRESSION
            )
            for kind in KINDS
        ),
    )


_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=30),
    st.sampled_from(["Servable not found for request: Latest(m)", "Socket closed", "50% more\n", "größer"]),
)
_FAILURES = st.builds(
    Script,
    initial=_PAIRS,
    code=st.sampled_from([code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]),
    details=_TEXTS,
    trailing=_PAIRS,
    hang_up=st.booleans(),
)
_ANSWERS = st.builds(
    Script,
    initial=_PAIRS,
    messages=st.lists(_BYTES, min_size=1, max_size=3).map(tuple),
    trailing=_PAIRS,
    compression=_COMPRESSION,
)


def facts(answer: Answer, seen: list[Seen]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "messages": answer.messages,
        "code": answer.code,
        "text": answer.details,
        "initial": answer.initial,
        "trailing": answer.trailing,
        "calls at the server": len(seen),
    }
    for each in seen:
        found |= {"method": each.method, "request metadata": each.metadata, "request messages": each.messages}
    return found


@dataclass(frozen=True)
class Difference:
    """Something that the edges are allowed to do differently: `facts` are not compared where it `applies`."""

    facts: frozenset[str]
    applies: Callable[[Call, Script], bool]
    reason: str


DIFFERENCES = (
    Difference(
        frozenset({"initial"}),
        lambda call, script: call.method == UNKNOWN and bool(script.initial) and not script.messages,
        "grpc.aio takes the initial metadata of a stream for empty when it learns of the status first",
    ),
    Difference(
        frozenset({"text", "trailing"}),
        lambda _, script: script.code is grpc.StatusCode.DEADLINE_EXCEEDED,
        "what is said of a deadline tells how long the call took",
    ),
)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(
    max_examples=300,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)
@given(call=_calls(), script=st.one_of(_ANSWERS, _ANSWERS, _FAILURES))
def test_neither_end_can_tell_the_edges_apart(edges: Edges, call: Call, script: Script):
    if call.kind.endswith("unary"):
        script = replace(script, messages=script.messages[:1])
    edges.server.script = script
    heard = {name: facts(*each) for name, each in edges.ask(call).items()}
    for difference in DIFFERENCES:
        if difference.applies(call, script):
            for each in heard.values():
                for name in difference.facts:
                    del each[name]
    assert heard["native"] == heard["grpcio"]


GZIPPED = framed(gzip.compress(predict()), flag=1)
MARKED = (MARK,)
GZIP = (MARK, ("grpc-encoding", "gzip"))

RAW: dict[str, tuple[bytes, tuple[tuple[str, str], ...]]] = {
    "nothing": (b"", MARKED),
    "part of a prefix": (b"\x00\x00", MARKED),
    "a prefix alone": (b"\x00\x00\x00\x00\x09", MARKED),
    "part of a message": (framed(predict())[:-1], MARKED),
    "an empty message": (framed(b""), MARKED),
    "a message": (framed(predict()), MARKED),
    "a message that does not fit": (framed(predict(shape=(3,))), MARKED),
    "two messages": (2 * framed(predict()), MARKED),
    "a message and part of another": (framed(predict()) + b"\x00\x00", MARKED),
    "an unknown flag": (framed(predict(), flag=2), MARKED),
    "gzip": (GZIPPED, GZIP),
    "gzip that does not fit": (framed(gzip.compress(predict(shape=(3,))), flag=1), GZIP),
    "gzip that is none": (framed(b"not gzip", flag=1), GZIP),
    "gzip cut short": (framed(gzip.compress(predict())[:-9], flag=1), GZIP),
    "compressed without a word how": (GZIPPED, MARKED),
    "an encoding that nobody knows": (framed(b"abc", flag=1), (MARK, ("grpc-encoding", "snappy"))),
    "gzip with something behind it": (framed(gzip.compress(predict()) + b"x", flag=1), GZIP),
    "gzip twice over": (framed(2 * gzip.compress(predict()), flag=1), GZIP),
    "gzip in capitals": (GZIPPED, (MARK, ("grpc-encoding", "GZIP"))),
    "two encodings in one": (GZIPPED, (MARK, ("grpc-encoding", "identity, gzip"))),
    "two encodings": (GZIPPED, (MARK, ("grpc-encoding", "identity"), ("grpc-encoding", "gzip"))),
    "two encodings, the other last": (GZIPPED, (*GZIP, ("grpc-encoding", "identity"))),
    "two encodings of what does not fit": (
        framed(gzip.compress(predict(shape=(3,))), flag=1),
        (MARK, ("grpc-encoding", "identity"), ("grpc-encoding", "gzip")),
    ),
    "not compressed though it could be": (framed(predict()), GZIP),
    "a deadline that is no number": (framed(predict()), (MARK, ("grpc-timeout", "soon"))),
    "a deadline that has passed": (framed(predict()), (MARK, ("grpc-timeout", "0n"))),
    "a deadline of years": (framed(predict()), (MARK, ("grpc-timeout", "99999999H"))),
    "a binary value that is not base64": (framed(predict()), (MARK, ("x-bin", "!"))),
    "a binary value with padding": (framed(predict()), (MARK, ("x-bin", "AA=="))),
    "two binary values in one": (framed(predict()), (MARK, ("x-bin", "AAE,AgM"))),
}


_WAITS = "grpc.aio waits for the one message of a unary call as long as the client does"
_FIRST = "grpc.aio reads one message of a unary call and looks at its first flag bit only"
_CORE = "grpc's core answers what it cannot read by itself; the native edge leaves it to the server"
_CLOCK = "grpc's core counts a deadline that has passed by itself and in its own words"

UNREADABLE = {
    "nothing": ({PREDICT}, set(), _WAITS),
    "part of a prefix": ({PREDICT}, set(), _WAITS),
    "a prefix alone": ({PREDICT}, set(), _WAITS),
    "part of a message": ({PREDICT}, set(), _WAITS),
    "two messages": ({PREDICT}, set(), _FIRST),
    "an unknown flag": ({PREDICT}, set(), _FIRST),
    "gzip that is none": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "gzip cut short": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "compressed without a word how": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "an encoding that nobody knows": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "a deadline that is no number": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "a binary value that is not base64": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "two binary values in one": ({PREDICT, UNKNOWN}, {"code", "text"}, _CORE),
    "a deadline that has passed": ({PREDICT, UNKNOWN}, {"code"}, _CLOCK),
}
"""Where the grpcio edge differs: for which methods, what is the same nevertheless, and why."""

ODDLY_COMPRESSED = {
    "an unknown flag",
    "gzip that is none",
    "gzip cut short",
    "compressed without a word how",
    "an encoding that nobody knows",
    "gzip with something behind it",
    "gzip twice over",
    "gzip in capitals",
    "two encodings in one",
    "two encodings",
    "two encodings, the other last",
    "two encodings of what does not fit",
}
"""What could be read in two ways, or not at all: where it judges, the native edge refuses it."""

REFUSED = {"a message that does not fit", "gzip that does not fit", "an empty message", *ODDLY_COMPRESSED}
"""What the proxy does not leave to the server, where it judges."""


def by_hand(edges: Edges, target: str, name: str, path: str) -> dict[str, Any]:
    return sent_by_hand(edges, target, path, *RAW[name])


def sent_by_hand(
    edges: Edges, target: str, path: str, body: bytes, metadata: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    edges.server.script = Script(messages=(b"answer",))
    edges.server.seen.clear()
    call = RawCall(target, path, body, *metadata)
    seen = list(edges.server.seen)
    if call.code != 0:
        # Whether a handler has begun before the call failed is a matter of luck; a message it never got.
        seen = [each for each in seen if each.messages]
    for each in seen:
        assert each.gone.wait(PATIENCE)
    return {
        "code": call.code,
        "text": call.text,
        "reset": call.reset,
        "body": call.body,
        "server": [(each.method, each.metadata, each.messages) for each in seen],
    }


@pytest.mark.parametrize("path", [PREDICT, UNKNOWN])
@pytest.mark.parametrize("name", RAW)
def test_clients_that_frame_by_hand_get_the_same_answer(edges: Edges, name: str, path: str):
    methods, same, _ = UNREADABLE.get(name, (set(), set(), ""))
    native = by_hand(edges, edges.targets["native"], name, path)
    if path == PREDICT and name in ODDLY_COMPRESSED:
        assert native["code"] == grpc.StatusCode.UNIMPLEMENTED.value[0]
        assert not native["server"]
        # Read or not, it is judged there too.
        assert not by_hand(edges, edges.targets["grpcio"], name, path)["server"] or "not fit" not in name
    elif path not in methods:
        assert native == by_hand(edges, edges.targets["grpcio"], name, path)
    elif same:
        other = by_hand(edges, edges.targets["grpcio"], name, path)
        assert {fact: native[fact] for fact in same} == {fact: other[fact] for fact in same}


_PACKING: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "gzip in gzip": lambda message: gzip.compress(gzip.compress(message)),
    "cut short": lambda message: gzip.compress(message)[:-9],
    "two members": lambda message: gzip.compress(message[:5]) + gzip.compress(message[5:]),
}
_ENCODINGS = st.lists(
    st.sampled_from(["identity", "gzip", "deflate", "identity", "gzip", "snappy", ""]), max_size=3
)
_ODD_FIELDS = st.lists(
    st.sampled_from(
        [
            *(("te", "trailers"), ("x-twice", "1"), ("x-twice", "2"), ("content-encoding", "gzip")),
            *(("grpc-accept-encoding", "gzip"), ("grpc-accept-encoding", "identity,deflate")),
            *(("grpc-timeout", "5S"), ("grpc-timeout", "1M"), ("grpc-encoding-bin", "Z3ppcA==")),
            *(("grpc-internal-encoding-request", "gzip"), ("x-bin", "AAE"), ("x-bin", "")),
        ]
    ),
    max_size=4,
)
_FLAGS = st.sampled_from([0, 1, 0, 1, 2, 3, 0x80, 0x81, 0xFF])


@settings(max_examples=200, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(
    fits=st.booleans(),
    packing=st.sampled_from(list(_PACKING)),
    encodings=_ENCODINGS,
    fields=_ODD_FIELDS,
    flag=_FLAGS,
)
def test_odd_headers_encodings_and_flags_carry_the_same_through_both_edges(
    edges: Edges, fits: bool, packing: str, encodings: list[str], fields: list[tuple[str, str]], flag: int
):
    """What does not fit gets through neither; what fits is served by both, or by neither.

    grpc.aio hides the order and number of headers and all but the first bit of a flag: where a client says two things
    at once (two encodings, flags without a meaning), the native edge may refuse what the other one reads in its way.
    """
    message = predict() if fits else predict(shape=(3,))
    body = framed(_PACKING[packing](message), flag)
    metadata = (MARK, *fields, *(("grpc-encoding", name) for name in encodings))
    served = {}
    for edge, target in edges.targets.items():
        heard = sent_by_hand(edges, target, PREDICT, body, metadata)
        messages = [each for _, _, received in heard["server"] for each in received]
        if fits:
            assert set(messages) <= {message}
        else:
            assert messages == []
        served[edge] = heard["code"] == 0
    if len(encodings) > 1 or flag > 1:
        assert served["native"] <= served["grpcio"]
    else:
        assert served["native"] == served["grpcio"]


@pytest.mark.parametrize("path", [PREDICT, UNKNOWN])
@pytest.mark.parametrize("name", [each for each in RAW if each != "a deadline that has passed"])
def test_what_the_native_edge_does_not_refuse_is_answered_as_by_the_server(
    edges: Edges, name: str, path: str
):
    if path == PREDICT and name in REFUSED:
        return
    direct = by_hand(edges, edges.server.target, name, path)
    assert by_hand(edges, edges.targets["native"], name, path) == direct


@pytest.mark.parametrize(("method", "kind"), [(PREDICT, "unary_unary"), *((UNKNOWN, kind) for kind in KINDS)])
@pytest.mark.parametrize("ended_by", ["cancellation", "deadline"])
def test_calls_that_the_client_gives_up_end_the_same_way(edges: Edges, method: str, kind: str, ended_by: str):
    heard = {}
    for name, channel in edges.channels.items():
        edges.server.seen.clear()
        edges.server.script = Script(hold=threading.Event())
        try:
            timeout = 0.5 if ended_by == "deadline" else PATIENCE
            call = start(channel, kind, method, (predict(),), timeout=timeout, metadata=(MARK,))
            seen = edges.server.next_seen(0)
            if ended_by == "cancellation":
                call.cancel()
            # Whose word of a deadline comes first, the client's own or the proxy's, is chance.
            how = call.code(), call.details() if ended_by == "cancellation" else ""
            assert seen.gone.wait(PATIENCE)
        finally:
            edges.server.script.hold.set()
        heard[name] = how, seen.method, seen.metadata
    assert heard["native"] == heard["grpcio"]
