"""S8, S9, S11, S12, S14, S15: what one client holds, opens, cancels or leaves undone is its own affair."""

import asyncio
import contextlib
import signal
import urllib.request
from collections import Counter

import grpc
import h2.events
import h2.exceptions
import pytest

from tests.clients.raw import framed
from tests.edge.conftest import PREDICT, ask, predict
from tests.edge.native.conftest import RST, Peer, at_rest, until
from tests.property.wire import length_delimited
from tests.safety.clients import (
    GOOD,
    LONGEST_WAIT,
    RETRYABLE,
    ask_predict,
    by_hand,
    bystanding,
    channel_to,
    forget_peak,
    head,
    peak,
    status_of,
)
from tests.safety.counting import HELD, UNREAD, WAIT

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
MOST_HELD = 400 << 20
ELSEWHERE = "127.0.0.2"
"""Another address of this machine, as another client would have one."""


def only_native(edge: str, why: str) -> None:
    """Skip for the grpcio edge what grpc's core decides by itself."""
    if edge == "grpcio":
        pytest.skip(f"grpc's core has no bound on {why}")


@contextlib.asynccontextmanager
async def hands(proxy, number, source="127.0.0.1"):
    """So many connections made by hand."""
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(by_hand(proxy, source)) for _ in range(number)]


async def cancel_all(peer: Peer, rounds: int, at_once: int, wait: str) -> None:
    """Open so many calls at once and cancel them, again and again."""
    for _ in range(rounds):
        if peer.closed.is_set():
            return
        with contextlib.suppress(h2.exceptions.ProtocolError):
            opened = [peer.request(head(more=((WAIT, wait),)), GOOD) for _ in range(at_once)]
            await asyncio.sleep(0.02)
            for number in opened:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    peer.h2.reset_stream(number, RST.CANCEL)
            peer.flush()
        await asyncio.sleep(0)


def times_lost(proxy):
    """How often the proxy has said that its way to the server is gone."""
    return sum(line["event"] == "upstream_down" for line in proxy.log)


@pytest.mark.parametrize("wait", ["0", "1"], ids=["answers under way", "no answer yet"])
@pytest.mark.parametrize(("clients", "rounds", "at_once"), [(1, 20, 90), (4, 20, 90)])
async def test_cancelled_calls_cost_nobody_else_his_answer(proxy, clients, rounds, at_once, wait):
    lost = times_lost(proxy)
    async with hands(proxy, clients) as peers, bystanding(proxy, 0.005) as bystander:
        await asyncio.gather(*(cancel_all(peer, rounds, at_once, wait) for peer in peers))
    assert bystander.was_served, bystander.answers
    assert times_lost(proxy) == lost


async def test_answers_to_thousands_of_cancelled_calls_cost_nobody_else_his_own(proxy, server):
    lost = times_lost(proxy)
    async with hands(proxy, 4) as peers, bystanding(proxy, 0.005) as bystander:
        opened = {peer: [] for peer in peers}
        for peer in peers:
            with contextlib.suppress(h2.exceptions.TooManyStreamsError):
                for _ in range(900):
                    opened[peer].append(peer.request(head(more=((HELD, "1"),)), GOOD))
        assert await at_rest(lambda: server.order("under_way") // 2) > 100  # the bystander's come and go
        # The proxy finds as many answers as cancellations, and the cancellations first.
        proxy.process.send_signal(signal.SIGSTOP)
        try:
            for peer, numbers in opened.items():
                for number in numbers:
                    peer.h2.reset_stream(number, RST.CANCEL)
                peer.flush()
            server.order("release")
            await until(lambda: server.order("under_way") == 0)
        finally:
            proxy.process.send_signal(signal.SIGCONT)
    assert bystander.was_served, bystander.answers
    assert times_lost(proxy) == lost


async def test_deadlines_that_pass_all_at_once_cost_nobody_else_his_answer(proxy):
    lost = times_lost(proxy)
    async with hands(proxy, 4) as peers, bystanding(proxy, 0.005) as bystander:
        for _ in range(20):
            for peer in peers:
                fields = head(more=((WAIT, "1"), ("grpc-timeout", "30m")))
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    for _ in range(90):
                        peer.request(fields, GOOD)
            await asyncio.sleep(0.1)
    assert bystander.was_served, bystander.answers
    assert times_lost(proxy) == lost


async def test_unfinished_health_checks_fill_no_memory(start_proxy, edge):
    only_native(edge, "octets that are no message yet")
    proxy = start_proxy("--max-inflight-bytes", "16MiB")
    forget_peak(proxy)
    held = peak(proxy)
    async with hands(proxy, 4) as peers:
        for peer in peers:
            for _ in range(50):
                _begin(peer, bytes(4 << 20), CHECK)
        await _feed(peers, 4 << 20)
        async with channel_to(proxy.target) as channel:
            async with asyncio.timeout(LONGEST_WAIT):
                assert (await ask(channel, CHECK, b"")).code is grpc.StatusCode.OK
            assert (await ask_predict(channel, GOOD)).code is grpc.StatusCode.OK
    assert peak(proxy) - held < 64 << 20


async def _feed(peers: list[Peer], octets: int) -> None:
    """Send on every open stream as much as the proxy takes, up to so many octets each, and never end it."""
    fed = Counter()
    still = 0
    while still < 10:
        before = fed.total()
        for peer in peers:
            for number in list(peer.h2.streams):
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    window = peer.h2.local_flow_control_window(number)
                    size = min(window, peer.h2.max_outbound_frame_size, octets - fed[peer, number])
                    if size > 0:
                        peer.h2.send_data(number, bytes(size))
                        fed[peer, number] += size
            peer.flush()
        still = 0 if fed.total() > before else still + 1
        await asyncio.sleep(0.02 if still else 0)


def _begin(peer: Peer, message: bytes, path: str = PREDICT) -> None:
    """Send the first octets of a message."""
    with contextlib.suppress(h2.exceptions.ProtocolError):
        number = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(number, head(path))
        peer.h2.send_data(number, framed(message)[: 1 << 10])
    peer.flush()


async def test_many_who_watch_health_keep_nobody_from_asking_for_it(proxy, edge):
    # grpc.aio takes half a millisecond for each of the 8000 calls, also for those that it turns away.
    longest = LONGEST_WAIT if edge == "native" else 8.0
    forget_peak(proxy)
    async with hands(proxy, 8) as peers, channel_to(proxy.target) as channel:
        assert (await ask(channel, CHECK, b"")).code is grpc.StatusCode.OK
        for peer in peers:
            for _ in range(1000):
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    peer.request(head(WATCH))
        for _ in range(10):
            async with asyncio.timeout(longest):
                assert (await ask(channel, CHECK, b"")).code is grpc.StatusCode.OK
            async with asyncio.timeout(longest):
                assert (await ask_predict(channel, GOOD)).code is grpc.StatusCode.OK
    assert peak(proxy) < MOST_HELD


STALL = ("--max-inflight-bytes", "8MiB", "--stall-seconds", "1")


BEGUN = {
    "admitted by its head": predict("m", (90_000, 3)),
    "nothing to judge yet": length_delimited(101, bytes(1 << 20)),
}


@pytest.mark.parametrize("begun", BEGUN)
@pytest.mark.parametrize(("connections", "streams"), [(1, 40), (8, 5)])
async def test_messages_that_are_never_finished_leave_room_for_others(
    start_proxy, connections, streams, begun
):
    proxy = start_proxy(*STALL)
    async with hands(proxy, connections) as peers:
        for peer in peers:
            for _ in range(streams):
                _begin(peer, BEGUN[begun])
        await _feed(peers, 1_000_000)
        async with by_hand(proxy, ELSEWHERE) as elsewhere:
            assert await status_of(elsewhere) == 0
        async with channel_to(proxy.target) as channel, asyncio.timeout(4):
            while (answer := await ask_predict(channel, GOOD)).code is not grpc.StatusCode.OK:
                assert answer.code in RETRYABLE


async def test_a_message_that_came_to_a_halt_is_ended_and_told_why(start_proxy, edge):
    only_native(edge, "the time for a message")
    proxy = start_proxy(*STALL)
    async with by_hand(proxy) as peer:
        _begin(peer, BEGUN["nothing to judge yet"])
        event = await peer.next(h2.events.ResponseReceived)
    assert dict(event.headers)["grpc-status"] == "4" or "REQUEST_STALLED" in str(event.headers)


def _livez(proxy):
    with urllib.request.urlopen(f"http://{proxy.admin}/livez", timeout=5) as answer:
        return answer.status


FEW_FILES = ("prlimit", "--nofile=64:64")

SILENT = {
    "nothing": b"",
    "half a greeting": b"PRI * HTTP/2.0\r\n",
    "a greeting": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)),
    "a head that is cut off": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
    + bytes((0, 0, 50, 1, 0, 0, 0, 0, 1)),
    "HTTP/1": b"GET / HTTP/1.1\r\n",
}


@pytest.mark.parametrize("said", SILENT)
async def test_silent_connections_leave_descriptors_for_the_admin_port_and_the_server(
    start_proxy, edge, said
):
    only_native(edge, "connections")
    proxy = start_proxy("--idle-seconds", "1", "--stall-seconds", "1", before=FEW_FILES)
    writers = []
    host, _, port = proxy.target.rpartition(":")
    try:
        for _ in range(200):
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.5):
                    _, writer = await asyncio.open_connection(host, int(port))
                writers.append(writer)
                writer.write(SILENT[said])
        assert await asyncio.to_thread(_livez, proxy) == 200
        async with asyncio.timeout(10):
            while True:
                async with channel_to(proxy.target) as channel:
                    if (await ask_predict(channel, GOOD, timeout=1)).code is grpc.StatusCode.OK:
                        break
    finally:
        for writer in writers:
            writer.transport.abort()
    assert await asyncio.to_thread(_livez, proxy) == 200


async def test_what_a_server_does_not_read_is_bounded_over_all_connections(start_proxy, edge):
    only_native(edge, "octets that are no message yet")
    proxy = start_proxy("--max-inflight-bytes", "32MiB")
    forget_peak(proxy)
    held = peak(proxy)
    async with hands(proxy, 60) as peers:
        for peer in peers:
            for _ in range(8):
                _begin(peer, bytes(4 << 20), UNREAD)
        await _feed(peers, 2 << 20)
        async with channel_to(proxy.target) as channel:
            assert (await ask_predict(channel, GOOD)).code is grpc.StatusCode.OK
    # The setting, and what sockets and the memory for reading may hold beside it.
    assert peak(proxy) - held < 200 << 20


def _fields(number):
    return tuple((f"x-{each}", "1") for each in range(number))


async def test_a_head_has_a_bounded_number_of_fields(proxy, server, edge):
    only_native(edge, "the fields of a head but their size")
    before = server.order("calls").get("Predict", 0)
    for number in (200, 1400):
        async with by_hand(proxy) as peer:
            assert await status_of(peer, _fields(number)) != 0
    assert server.order("calls").get("Predict", 0) == before
    async with by_hand(proxy) as peer:
        assert await status_of(peer, _fields(60)) == 0


def _heads(numbers: range, fields: int) -> bytes:
    """Calls made of plain frames: a head of so many fields of an octet each, no two names the same."""
    named = b"".join(b"\x00\x07x-%05d\x011" % number for number in range(fields))
    # :method POST, :scheme http, :path and :authority as literals, of the static table (RFC 7541, appendix A).
    block = b"\x83\x86\x04" + bytes((len(PREDICT),)) + PREDICT.encode() + b"\x01\x01h" + named
    return b"".join(
        len(block).to_bytes(3, "big") + b"\x01\x05" + number.to_bytes(4, "big") + block for number in numbers
    )


async def test_heads_of_many_fields_keep_nobody_waiting(proxy):
    greeting = SILENT["a greeting"]
    host, _, port = proxy.target.rpartition(":")
    async with bystanding(proxy) as bystander:
        for _ in range(10):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(greeting + _heads(range(1, 181, 2), 1400))
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(0.2):
                    await writer.drain()
                    while await reader.read(1 << 16):
                        pass
            writer.transport.abort()
    assert bystander.was_served, bystander.answers
    assert bystander.longest < LONGEST_WAIT
