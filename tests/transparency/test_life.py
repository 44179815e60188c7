"""Deadlines, cancellation and the timing of a call are the same through the proxy."""

import queue
import threading
import time

import grpc
import pytest

from tests.proxy_process import ProxyProcess, running_proxy
from tests.transparency.frames import FrameServer
from tests.transparency.scripted import PATIENCE, Script, ScriptedServer, ask, channel_to, finish, start
from tests.transparency.test_calls import PREDICT, UNKNOWN, every_method


@pytest.fixture
def hold(server: ScriptedServer):
    """The server keeps every call until the test is over."""
    event = threading.Event()
    server.script = Script(hold=event)
    server.seen.clear()
    yield event
    event.set()


@every_method
def test_the_server_gets_the_time_that_the_client_has_left(
    server: ScriptedServer, proxied: grpc.Channel, method: str, kind: str
):
    server.seen.clear()
    server.script = Script(messages=(b"x",))
    ask(proxied, kind, method, (b"x",), timeout=5.0)
    assert 4.0 < server.seen[0].time_remaining < 5.1  # rounded up on the wire


@every_method
def test_a_call_without_a_deadline_has_none_at_the_server(
    server: ScriptedServer, proxied: grpc.Channel, method: str, kind: str
):
    server.seen.clear()
    server.script = Script(messages=(b"x",))
    ask(proxied, kind, method, (b"x",), timeout=None)
    assert server.seen[0].time_remaining is None


@every_method
def test_a_deadline_that_passes_ends_the_call_at_both_ends(
    hold, server: ScriptedServer, direct: grpc.Channel, proxied: grpc.Channel, method: str, kind: str
):
    answers = [ask(channel, kind, method, (b"x",), timeout=0.3) for channel in (direct, proxied)]
    assert [answer.code for answer in answers] == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2
    assert answers[0].details == answers[1].details
    assert server.next_seen(1).gone.wait(PATIENCE)


@every_method
def test_cancelling_reaches_the_server(
    hold, server: ScriptedServer, proxied: grpc.Channel, method: str, kind: str
):
    call = start(proxied, kind, method, (b"x",), timeout=60)
    seen = server.next_seen(0)
    assert not seen.gone.is_set()
    call.cancel()
    assert seen.gone.wait(PATIENCE)
    assert call.code() is grpc.StatusCode.CANCELLED


def test_cancelling_an_open_request_stream_is_not_taken_for_its_end():
    with (
        FrameServer() as server,
        running_proxy("--upstream", server.target, "--mode", "off") as proxy,
        channel_to(proxy.target) as channel,
    ):
        for _ in range(20):
            messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
            messages.put(b"x")
            call = start(channel, "stream_stream", UNKNOWN, iter(messages.get, None), timeout=60)
            server.wait_for("data")
            call.cancel()
            server.wait_for("reset")
            messages.put(None)
    # grpc.aio cannot tell for sure (relay.py).
    assert server.events.count("end") <= 2


def test_initial_metadata_comes_before_the_first_message(server: ScriptedServer, proxied: grpc.Channel):
    server.script = Script(initial=(("i", "1"),), echo=True)
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    call = start(proxied, "stream_stream", UNKNOWN, iter(messages.get, None), timeout=PATIENCE)
    assert tuple(map(tuple, call.initial_metadata())) == (("i", "1"),)
    messages.put(None)
    assert finish(call).code is grpc.StatusCode.OK


def test_empty_initial_metadata_comes_before_the_first_message(server: ScriptedServer, proxied: grpc.Channel):
    server.script = Script(initial_first=True, echo=True)
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    call = start(proxied, "stream_stream", UNKNOWN, iter(messages.get, None), timeout=PATIENCE)
    assert call.initial_metadata() == ()
    messages.put(None)
    assert finish(call).code is grpc.StatusCode.OK


def test_a_conversation_goes_back_and_forth(server: ScriptedServer, proxied: grpc.Channel):
    server.script = Script(echo=True)
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    call = start(proxied, "stream_stream", UNKNOWN, iter(messages.get, None), timeout=PATIENCE)
    for number in range(5):
        messages.put(b"%d" % number)
        assert next(call) == b"%d" % number
    messages.put(None)
    assert finish(call).code is grpc.StatusCode.OK


def test_a_server_that_ends_early_ends_an_open_request_stream(proxied: grpc.Channel, server: ScriptedServer):
    server.script = Script(hang_up=True, code=grpc.StatusCode.ABORTED, details="enough")
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    call = start(proxied, "stream_stream", UNKNOWN, iter(messages.get, None), timeout=PATIENCE)
    answer = finish(call)
    messages.put(None)
    assert (answer.code, answer.details) == (grpc.StatusCode.ABORTED, "enough")


@every_method
def test_a_server_that_ends_at_once_keeps_its_word(
    server: ScriptedServer, proxied: grpc.Channel, method: str, kind: str
):
    server.script = Script(hang_up=True, code=grpc.StatusCode.UNIMPLEMENTED, details="never heard of it")
    for _ in range(50):
        answer = ask(proxied, kind, method, (b"x",))
        assert (answer.code, answer.details) == (grpc.StatusCode.UNIMPLEMENTED, "never heard of it")


RETRIES = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.01s",
"maxBackoff": "0.01s", "backoffMultiplier": 1, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""


@every_method
def test_a_client_still_retries_what_the_server_refused(
    server: ScriptedServer, edge: ProxyProcess, method: str, kind: str
):
    server.seen.clear()
    server.script = Script(code=grpc.StatusCode.UNAVAILABLE, details="not yet")
    with channel_to(edge.target, ("grpc.service_config", RETRIES)) as channel:
        answer = ask(channel, kind, method, (b"x",))
    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert len(server.seen) == 3


def test_an_unreachable_server_is_told_at_once():
    with (
        running_proxy("--upstream", "127.0.0.1:1", "--mode", "off") as proxy,
        channel_to(proxy.target) as channel,
    ):
        began = time.monotonic()
        answer = ask(channel, "unary_unary", PREDICT, (b"x",))
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert time.monotonic() - began < 5
