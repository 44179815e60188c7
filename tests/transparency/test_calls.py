"""The same call directly and through the proxy looks the same to client and server."""

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.core.bounds import MAX_QUESTION
from tests.transparency.scripted import KINDS, Answer, Script, ScriptedServer, Seen, ask

PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
UNKNOWN = "/some.other.Service/Method"

METHODS = [
    *((method, "unary_unary") for method in (PREDICT, STATUS)),
    *((UNKNOWN, kind) for kind in KINDS),
]
every_method = pytest.mark.parametrize(("method", "kind"), METHODS)
ERRORS = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


class Both:
    """Makes the same call on both ways."""

    def __init__(self, server: ScriptedServer, direct: grpc.Channel, proxied: grpc.Channel) -> None:
        self.server = server
        self._channels = direct, proxied

    def ask(self, kind: str, method: str, *messages: bytes, **how) -> tuple[Answer, Answer]:
        first, second = (ask(channel, kind, method, messages, **how) for channel in self._channels)
        return first, second

    def same(self, kind: str, method: str, *messages: bytes, **how) -> tuple[Answer, Seen]:
        """Make the call both ways, hold one against the other, return the direct one."""
        self.server.seen.clear()
        direct, proxied = self.ask(kind, method, *messages, **how)
        assert proxied == direct
        there, here = self.server.seen
        assert (here.method, here.metadata, here.messages) == (there.method, there.metadata, there.messages)
        return direct, there


@pytest.fixture(scope="session")
def both(server: ScriptedServer, direct: grpc.Channel, proxied: grpc.Channel) -> Both:
    return Both(server, direct, proxied)


@every_method
def test_messages_pass_in_both_directions(both: Both, method: str, kind: str):
    requests = (b"one", b"", b"three") if kind.startswith("stream") else (b"one",)
    both.server.script = Script(messages=(b"un", b"", b"trois") if kind.endswith("stream") else (b"un",))
    answer, seen = both.same(kind, method, *requests)
    assert answer.messages == list(both.server.script.messages)
    assert seen.messages == list(requests)


@every_method
def test_an_empty_message_is_a_message(both: Both, method: str, kind: str):
    both.server.script = Script(messages=(b"",))
    answer, seen = both.same(kind, method, b"")
    assert (answer.messages, seen.messages) == ([b""], [b""])


@pytest.mark.parametrize("kind", ["stream_unary", "stream_stream"])
def test_a_stream_without_messages_passes(both: Both, kind: str):
    both.server.script = Script(messages=(b"none",))
    answer, seen = both.same(kind, UNKNOWN)
    assert (answer.messages, seen.messages) == ([b"none"], [])


def test_a_response_stream_without_messages_passes(both: Both):
    answer, _ = both.same("stream_stream", UNKNOWN, b"x")
    assert (answer.messages, answer.code) == ([], grpc.StatusCode.OK)


@every_method
def test_messages_of_20_megabytes_pass(both: Both, method: str, kind: str):
    large = bytes(range(256)) * (20 * 4096)
    both.server.script = Script(messages=(large,))
    # A question about a model is bounded: it holds a name.
    both.same(kind, method, large[:MAX_QUESTION] if method == STATUS else large)


@every_method
@pytest.mark.parametrize("code", ERRORS, ids=lambda code: code.name)
def test_every_status_code_passes(both: Both, method: str, kind: str, code: grpc.StatusCode):
    both.server.script = Script(code=code, details=f"because of {code.name}")
    answer, _ = both.same(kind, method, b"x")
    assert (answer.code, answer.details) == (code, f"because of {code.name}")


@every_method
@pytest.mark.parametrize("details", ["", "50% more", "zwei\nZeilen", "größer ≠ 大", "x" * 1024])
def test_status_texts_pass(both: Both, method: str, kind: str, details: str):
    both.server.script = Script(code=grpc.StatusCode.INVALID_ARGUMENT, details=details)
    answer, _ = both.same(kind, method, b"x")
    assert answer.details == details


@every_method
def test_status_details_pass_as_bytes(both: Both, method: str, kind: str):
    trailing = (("grpc-status-details-bin", bytes(range(256))), ("b", "2"), ("a", "1"), ("b", "3"))
    both.server.script = Script(code=grpc.StatusCode.NOT_FOUND, details="no", trailing=trailing)
    answer, _ = both.same(kind, method, b"x")
    assert answer.trailing == trailing


@pytest.mark.parametrize("kind", ["unary_stream", "stream_stream"])
def test_an_error_after_messages_keeps_the_messages(both: Both, kind: str):
    both.server.script = Script(
        initial=(("i", "1"),), messages=(b"1", b"2"), code=grpc.StatusCode.DATA_LOSS, details="lost"
    )
    answer, _ = both.same(kind, UNKNOWN, b"x")
    assert (answer.messages, answer.code) == ([b"1", b"2"], grpc.StatusCode.DATA_LOSS)


@every_method
def test_metadata_keeps_order_duplicates_and_bytes(both: Both, method: str, kind: str):
    pairs = (("a", "1"), ("b", "2"), ("a", "3"), ("x-bin", b"\x00\xff"), ("x-bin", b""), ("b", "4"))
    both.server.script = Script(initial=pairs, messages=(b"x",), trailing=pairs[::-1])
    answer, seen = both.same(kind, method, b"x", metadata=pairs)
    assert (answer.initial, answer.trailing, seen.metadata) == (pairs, pairs[::-1], pairs)


@every_method
@pytest.mark.parametrize("request_id", ["1", "no id at all"])
def test_tracing_metadata_passes(both: Both, method: str, kind: str, request_id: str):
    both.server.script = Script(messages=(b"x",))
    pairs = (
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("tracestate", "other=1"),
        ("x-request-id", request_id),
        ("authorization", "Bearer t"),
    )
    _, seen = both.same(kind, method, b"x", metadata=pairs)
    assert seen.metadata == pairs


@every_method
def test_a_request_without_trace_or_id_gets_none_on_its_way(both: Both, method: str, kind: str):
    both.server.script = Script(messages=(b"x",))
    _, seen = both.same(kind, method, b"x")
    assert seen.metadata == ()


_KEY = st.from_regex(r"x-[a-z0-9_.\-]{0,8}", fullmatch=True).filter(lambda key: not key.endswith("-bin"))
_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.strip)
_PAIRS = st.lists(
    st.one_of(st.tuples(_KEY, _TEXT), st.tuples(_KEY.map(lambda key: key + "-bin"), st.binary(max_size=40))),
    max_size=8,
).map(tuple)


@every_method
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=_PAIRS, initial=_PAIRS, trailing=_PAIRS, code=st.sampled_from(list(grpc.StatusCode)))
def test_any_metadata_passes(both: Both, method: str, kind: str, request, initial, trailing, code):
    both.server.script = Script(initial=initial, messages=(b"x",), trailing=trailing, code=code)
    if code is not grpc.StatusCode.OK:
        both.server.script.messages = ()
    _, seen = both.same(kind, method, b"x", metadata=request)
    assert seen.metadata == request


@every_method
def test_a_compressed_request_and_response_have_the_same_content(both: Both, method: str, kind: str):
    both.server.script = Script(messages=(b"y" * 100_000,), compression=grpc.Compression.Gzip)
    sent = b"x" * (MAX_QUESTION if method == STATUS else 100_000)
    answer, seen = both.same(kind, method, sent, compression=grpc.Compression.Gzip)
    assert (answer.messages, seen.messages) == ([b"y" * 100_000], [sent])
