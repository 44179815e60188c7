"""What one client takes, leaves unfinished or leaves unread costs nobody else anything; bounds small by flags."""

import asyncio
import contextlib
import resource
import shutil
import signal
import socket
import time
import urllib.request
from collections import Counter
from pathlib import Path

import grpc
import h2.events
import h2.settings
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from proxy.edge.admission import MOST_LOCAL_CALLS_OF_A_CONNECTION
from tests.e2e.conftest import wait_until_ready
from tests.edge.conftest import PREDICT, ask, predict
from tests.edge.native.conftest import PATIENCE, PREDICT_HEAD, REQUEST, RST, Peer, until
from tests.fake_serving import FakeServing
from tests.proxy_process import EDGES, ProxyProcess

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
WELL = predict(shape=(2, 3))


def head(method, *more):
    return [*((name, method if name == ":path" else value) for name, value in REQUEST), *more]


def beginning(size):
    """The prefix of a message of `size` octets."""
    return bytes(1) + size.to_bytes(4, "big")


@pytest.fixture
async def serving():
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


@pytest.fixture
async def start_proxy(stack, serving):
    async def start(*flags, target=None, **how):
        proxy = await asyncio.to_thread(
            ProxyProcess,
            *("--upstream", target or serving.target, "--model", "m", *EDGES["native"], *flags),
            **how,
        )
        stack.push_async_callback(asyncio.to_thread, proxy.__exit__, None, None, None)
        await asyncio.to_thread(wait_until_ready, proxy)
        return proxy

    return start


@pytest.fixture
def join(stack):
    """An h2 client of the proxy."""

    async def join(proxy):
        host, _, port = proxy.target.rpartition(":")
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(lambda: Peer(client=True), host, int(port))
        stack.callback(peer.transport.abort)
        return peer

    return join


async def number(proxy, name, **labels):
    """A metric of the proxy, summed over the labels that are not given."""
    text = await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://{proxy.admin}/metrics").read().decode()
    )
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith((f"{name} ", f"{name}{{"))
        and all(f'{key}="{value}"' in line for key, value in labels.items())
    )


async def status_of(peer, stream):
    """Status code and text of an answer without a body."""
    event = await peer.next(h2.events.ResponseReceived, stream_id=stream)
    fields = dict(event.headers)
    return int(fields["grpc-status"]), fields.get("grpc-message", "")


# === what is held ===


async def test_requests_that_never_end_leave_room_for_every_other_client(start_proxy, join, connect):
    proxy = await start_proxy("--max-inflight-bytes", "8MiB", "--stall-seconds", "60")
    peers = [await join(proxy) for _ in range(8)]
    for peer in peers:
        for _ in range(3):
            stream = peer.h2.get_next_available_stream_id()
            peer.h2.send_headers(stream, PREDICT_HEAD)
            peer.flush()
            await peer.next(h2.events.RemoteSettingsChanged) if stream == 1 else None
            peer.h2.send_data(stream, beginning(1 << 20) + bytes(10_000))
            for _ in range(30):
                if peer.h2.local_flow_control_window(stream) >= 16_000:
                    peer.h2.send_data(stream, bytes(16_000))
            peer.flush()
    answers = [await ask(connect(proxy), PREDICT, WELL) for _ in range(20)]
    assert {answer.code for answer in answers} == {grpc.StatusCode.OK}
    # After a second it is known which are slow, and they make room for more than what is kept for others.
    await until_async(lambda: large(proxy, connect))
    assert await number(proxy, "tfs_proxy_inflight_bytes") <= 8 << 20
    assert await number(proxy, "tfs_proxy_inflight_bytes_limit") == 8 << 20


async def large(proxy, connect):
    answer = await ask(connect(proxy), PREDICT, predict(shape=(40_000, 3)))
    return answer.code is grpc.StatusCode.OK


async def until_async(condition):
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.1)


async def test_what_a_server_does_not_read_is_bounded_over_all_connections(
    start_proxy, start_frames, join, serving
):
    stalled = []

    def on_event(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            path = dict(event.headers)[":path"]
            if path == "/some.Service/Method":
                stalled.append(peer)
                peer.transport.pause_reading()
            else:
                peer.paths = {**getattr(peer, "paths", {}), event.stream_id: path}
                peer.bodies = {**getattr(peer, "bodies", {}), event.stream_id: b""}
        elif isinstance(event, h2.events.DataReceived) and event.stream_id in getattr(peer, "bodies", {}):
            peer.bodies[event.stream_id] += event.data
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in getattr(peer, "paths", {}):
            method = peer.paths[event.stream_id].rpartition("/")[2]
            peer.answer(event.stream_id, serving._settle(method, peer.bodies[event.stream_id][5:]))

    _, target = await start_frames(on_event)
    proxy = await start_proxy("--max-inflight-bytes", "4MiB", target=target)
    peers = [await join(proxy) for _ in range(6)]
    told = Counter()
    for peer in peers:
        await peer.next(h2.events.RemoteSettingsChanged)
        for _ in range(4):
            peer.request(body=None)
        for stream in (1, 3, 5, 7):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                peer.h2.send_data(stream, beginning(1 << 20))
                while peer.h2.local_flow_control_window(stream) >= 16_000:
                    peer.h2.send_data(stream, bytes(16_000))
        peer.flush()
    await until(lambda: stalled)

    async def overloaded():
        for peer in peers:
            while not peer.events.empty():
                event = peer.events.get_nowait()
                if isinstance(event, h2.events.ResponseReceived):
                    told[dict(event.headers)["grpc-status"]] += 1
        return told["8"] >= 10

    await until_async(overloaded)
    assert await number(proxy, "tfs_proxy_inflight_bytes") <= 4 << 20
    assert await number(proxy, "tfs_proxy_bound_hits_total", bound="inflight_bytes") >= 10


async def test_answers_that_nobody_reads_are_bounded_and_cut_off_in_time(start_proxy, start_frames, join):
    big = bytes(100_000)

    def on_event(peer, event):
        if isinstance(event, h2.events.StreamEnded):
            with contextlib.suppress(h2.exceptions.ProtocolError):
                peer.h2.send_headers(
                    event.stream_id, [(":status", "200"), ("content-type", "application/grpc")]
                )
                peer.h2.send_data(event.stream_id, beginning(len(big)))
                for start in range(0, 60_000, 10_000):
                    peer.h2.send_data(event.stream_id, big[start : start + 10_000])
                peer.flush()

    _, target = await start_frames(on_event)
    proxy = await asyncio.to_thread(
        ProxyProcess,
        *("--upstream", target, *EDGES["native"], "--stall-seconds", "0.2", "--max-inflight-bytes", "1MiB"),
    )
    try:
        peer = await join(proxy)
        await peer.next(h2.events.RemoteSettingsChanged)
        peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
        peer.flush()
        for _ in range(40):
            peer.request(head(STATUS))
        resets = [await peer.next(h2.events.StreamReset) for _ in range(40)]
        codes = Counter(reset.error_code for reset in resets)
        assert set(codes) <= {RST.ENHANCE_YOUR_CALM, RST.CANCEL}
        assert codes[RST.CANCEL]
        assert await number(proxy, "tfs_proxy_bound_hits_total", bound="unread")
        await until_async(lambda: is_number(proxy, "tfs_proxy_inflight_bytes", 0))
    finally:
        await asyncio.to_thread(proxy.__exit__, None, None, None)


async def is_number(proxy, name, value):
    return await number(proxy, name) == value


async def test_a_connection_that_reads_nothing_is_cut_off(start_proxy, join):
    proxy = await start_proxy("--stall-seconds", "0.2")
    peer = await join(proxy)
    await peer.next(h2.events.RemoteSettingsChanged)
    peer.transport.pause_reading()
    sock = peer.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    peer.h2.increment_flow_control_window(2**30)
    peer.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**30})
    peer.flush()

    async def cut_off():
        with contextlib.suppress(h2.exceptions.ProtocolError, OSError):
            # No more at a time than are answered in full: refusals alone would not fill the socket.
            for _ in range(MOST_LOCAL_CALLS_OF_A_CONNECTION):
                peer.request(head("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), REFLECT)
        return await number(proxy, "tfs_proxy_bound_hits_total", bound="unread") or peer.closed.is_set()

    # Its own budgets may end it first; what matters is that it is gone.
    with contextlib.suppress(TimeoutError):
        await until_async(cut_off)
    peer.transport.resume_reading()
    await asyncio.wait_for(peer.closed.wait(), PATIENCE)


REFLECT = b'"%ctensorflow.serving.PredictionService' % len("tensorflow.serving.PredictionService")


# === the proxy's own services ===


async def test_unfinished_health_checks_are_small_few_and_timed(start_proxy, join, connect):
    proxy = await start_proxy("--stall-seconds", "0.4")
    peer = await join(proxy)
    await peer.next(h2.events.RemoteSettingsChanged)
    huge = peer.request(head(CHECK), None)
    peer.h2.send_data(huge, beginning(4 << 20) + bytes(1000))
    peer.flush()
    code, text = await status_of(peer, huge)
    assert code == 8
    assert "65536 bytes" in text
    cut = []
    for _ in range(MOST_LOCAL_CALLS_OF_A_CONNECTION + 1):
        stream = peer.request(head(CHECK), None)
        peer.h2.send_data(stream, beginning(100) + b"x")
        peer.flush()
        cut.append(stream)
    code, text = await status_of(peer, cut[-1])
    assert code == 8
    assert "own services" in text
    assert await health(connect(proxy)) == health_pb2.HealthCheckResponse.SERVING
    for stream in cut[:-1]:
        assert (await status_of(peer, stream))[0] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def health(channel, **how):
    stub = health_pb2_grpc.HealthStub(channel)
    return (await stub.Check(health_pb2.HealthCheckRequest(), **({"timeout": PATIENCE} | how))).status


async def test_a_check_with_no_body_at_all_is_timed(start_proxy, join):
    proxy = await start_proxy("--stall-seconds", "0.4")
    peer = await join(proxy)
    stream = peer.request(head(CHECK), None)
    assert (await status_of(peer, stream))[0] == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]


async def test_watches_beyond_a_connection_s_number_are_refused_and_checks_are_not_kept_waiting(
    start_proxy, join, connect
):
    proxy = await start_proxy()
    peers = [await join(proxy) for _ in range(8)]
    for peer in peers:
        await peer.next(h2.events.RemoteSettingsChanged)
        for _ in range(500):
            peer.request(head(WATCH))
    channel = connect(proxy)
    await health(channel)
    slowest = 0.0
    for _ in range(50):
        began = time.monotonic()
        await health(channel)
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 0.5
    refused = 0
    async with asyncio.timeout(PATIENCE):
        while refused < 500 - MOST_LOCAL_CALLS_OF_A_CONNECTION:
            event = await peers[-1].next(h2.events.ResponseReceived)
            refused += dict(event.headers).get("grpc-status") == "8"
    assert await number(proxy, "tfs_proxy_bound_hits_total", bound="local_calls") >= refused


async def test_a_compressed_health_check_is_answered_too(start_proxy, connect):
    channel = connect(await start_proxy())
    status = await health(channel, compression=grpc.Compression.Gzip)
    assert status == health_pb2.HealthCheckResponse.SERVING


# === times ===


@pytest.mark.parametrize("method", [PREDICT, STATUS])
@pytest.mark.parametrize("came", [None, beginning(4_000), beginning(4_000) + bytes(1_000)])
async def test_a_request_that_falls_silent_is_told_so(start_proxy, join, method, came):
    proxy = await start_proxy("--stall-seconds", "0.4")
    peer = await join(proxy)
    stream = peer.request(head(method), None)
    if came is not None:
        peer.h2.send_data(stream, came)
        peer.flush()
    code, text = await status_of(peer, stream)
    assert code == grpc.StatusCode.DEADLINE_EXCEEDED.value[0]
    assert "at least 1024 bytes a second" in text
    assert await number(proxy, "tfs_proxy_bound_hits_total", bound="stalled") == 1
    assert await number(proxy, "tfs_proxy_refusals_total", reason="REQUEST_STALLED") == 1


async def test_a_request_that_comes_slowly_but_comes_is_answered(start_proxy, join):
    proxy = await start_proxy("--stall-seconds", "0.4")
    peer = await join(proxy)
    body = predict(shape=(500, 3))
    stream = peer.request(PREDICT_HEAD, None)
    whole = beginning(len(body)) + body
    for start in range(0, len(whole), 200):
        peer.h2.send_data(stream, whole[start : start + 200], end_stream=start + 200 >= len(whole))
        peer.flush()
        await asyncio.sleep(0.05)
    await peer.next(h2.events.DataReceived, stream_id=stream)


async def test_a_method_that_is_only_relayed_may_be_silent(start_proxy, join, start_frames):
    got = asyncio.Event()
    _, target = await start_frames(
        lambda peer, event: (
            got.set()
            if isinstance(event, h2.events.RequestReceived) and dict(event.headers)[":path"] == REQUEST[2][1]
            else None
        )
    )
    proxy = await asyncio.to_thread(
        ProxyProcess, "--upstream", target, *EDGES["native"], "--stall-seconds", "0.2"
    )
    try:
        peer = await join(proxy)
        peer.request(body=None)
        await asyncio.wait_for(got.wait(), PATIENCE)
        await asyncio.sleep(1.0)  # five stall times
        assert await number(proxy, "tfs_proxy_in_flight") == 1
        peer.transport.abort()
    finally:
        await asyncio.to_thread(proxy.__exit__, None, None, None)


async def test_a_header_block_without_end_ends_its_connection(start_proxy, join):
    proxy = await start_proxy("--stall-seconds", "0.4")
    cut_frame, cut_block = await join(proxy), await join(proxy)
    for peer in (cut_frame, cut_block):
        await peer.next(h2.events.SettingsAcknowledged)
    cut_frame.transport.write(b"\x00\x00\x64\x01\x04\x00\x00\x00\x01half")
    cut_block.transport.write(b"\x00\x00\x01\x01\x00\x00\x00\x00\x01\x83")
    for peer in (cut_frame, cut_block):
        ended = await peer.next(h2.events.ConnectionTerminated)
        assert ended.error_code == RST.ENHANCE_YOUR_CALM
        await asyncio.wait_for(peer.closed.wait(), PATIENCE)
    assert await number(proxy, "tfs_proxy_bound_hits_total", bound="unfinished_head") == 2
    assert proxy.wait_for("bound_hit")["bound"] == "unfinished_head"


async def test_a_connection_without_calls_is_asked_to_go_and_a_busy_one_is_not(start_proxy, join, serving):
    proxy = await start_proxy("--idle-seconds", "0.4", "--stall-seconds", "0.4")
    with serving.hold("Predict") as hold:
        silent, finished, busy = [await join(proxy) for _ in range(3)]
        busy.request(PREDICT_HEAD, WELL)
        await hold.arrived()
        finished.request(head(STATUS), b"\n\x03\n\x01m")
        for peer in (silent, finished):
            await peer.next(h2.events.ConnectionTerminated)
            await asyncio.wait_for(peer.closed.wait(), PATIENCE)
        assert not busy.closed.is_set()
        hold.release()
        await busy.next(h2.events.StreamEnded)


# === connections ===


async def test_few_descriptors_leave_the_admin_port_and_the_server_reachable(start_proxy, join, connect):
    if shutil.which("prlimit") is None:
        pytest.skip("prlimit is not installed")
    proxy = await start_proxy(before=("prlimit", "--nofile=64:64"))
    silent = [await join(proxy) for _ in range(200)]
    await until(lambda: sum(peer.closed.is_set() for peer in silent) > 100)
    limit = await number(proxy, "tfs_proxy_connections_limit")
    assert 4 <= limit < 50
    assert await number(proxy, "tfs_proxy_connections") <= limit
    assert await number(proxy, "tfs_proxy_bound_hits_total", bound="connections_of_a_peer")
    assert proxy.wait_for("bound_hit")
    channel = connect(proxy)
    for _ in range(20):
        assert (await ask(channel, PREDICT, WELL)).code is grpc.StatusCode.OK
        await join(proxy)
    await asyncio.to_thread(
        lambda: urllib.request.urlopen(f"http://{proxy.admin}/livez", timeout=PATIENCE).read()
    )
    assert len([line for line in proxy.log if line["event"] == "bound_hit"]) <= 2


async def test_who_gets_the_last_descriptor_keeps_it(start_proxy, join, connect):
    proxy = await start_proxy()
    pid = proxy.process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    opened = {int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: ASYNC240  no disk
    free = sorted(set(range(len(opened) + 2)) - opened)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[0] + 1, hard))
    try:
        last = await join(proxy)
        await last.next(h2.events.RemoteSettingsChanged)
        last.request(PREDICT_HEAD, WELL)
        await last.next(h2.events.StreamEnded)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
    assert not last.closed.is_set()
    assert (await ask(connect(proxy), PREDICT, WELL)).code is grpc.StatusCode.OK


async def test_at_the_bound_a_silent_connection_makes_room_and_a_busy_one_does_not(
    start_proxy, join, connect, serving
):
    proxy = await start_proxy("--max-connections", "8")
    with serving.hold("Predict") as hold:
        busy = await join(proxy)
        busy.request(PREDICT_HEAD, WELL)
        await hold.arrived()
        silent = [await join(proxy) for _ in range(20)]
        await until(lambda: sum(peer.closed.is_set() for peer in silent) >= 15)
        hold.release()
        await busy.next(h2.events.StreamEnded)
    assert not silent[-1].closed.is_set()
    assert (await ask(connect(proxy), PREDICT, WELL)).code is grpc.StatusCode.OK


async def test_of_connections_that_come_all_at_once_the_last_ones_stay(start_proxy, join, connect):
    proxy = await start_proxy("--max-connections", "8")
    proxy.process.send_signal(signal.SIGSTOP)
    silent = [await join(proxy) for _ in range(40)]
    proxy.process.send_signal(signal.SIGCONT)
    await until(lambda: sum(peer.closed.is_set() for peer in silent) >= 34)
    assert [peer.closed.is_set() for peer in silent[-4:]] == [False] * 4
    assert (await ask(connect(proxy), PREDICT, WELL)).code is grpc.StatusCode.OK


async def test_busy_connections_at_the_bound_turn_new_ones_away(start_proxy, join, serving):
    proxy = await start_proxy("--max-connections", "4")
    with serving.hold("Predict") as hold:
        for _ in range(3):
            peer = await join(proxy)
            peer.request(PREDICT_HEAD, WELL)
            await hold.arrived()
        late = await join(proxy)
        await asyncio.wait_for(late.closed.wait(), PATIENCE)
        hold.release()


async def test_handshakes_count_and_make_room(start_proxy, certificate, stack):
    key, cert = certificate / "key.pem", certificate / "cert.pem"
    proxy = await start_proxy("--max-connections", "8", "--listen-cert", str(cert), "--listen-key", str(key))
    host, _, port = proxy.target.rpartition(":")
    for _ in range(30):
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, int(port))
        stack.callback(transport.abort)
    assert await number(proxy, "tfs_proxy_connections") <= 8
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    channel = grpc.aio.secure_channel(f"localhost:{port}", credentials)
    stack.push_async_callback(channel.close)
    assert (await ask(channel, PREDICT, WELL)).code is grpc.StatusCode.OK


# === heads ===


async def test_a_head_with_too_many_fields_is_refused_in_words_and_counted(start_proxy, join):
    proxy = await start_proxy()
    peer = await join(proxy)
    stream = peer.request([*PREDICT_HEAD, *((f"x{number}", "y") for number in range(200))], WELL)
    code, text = await status_of(peer, stream)
    assert code == 8
    assert "128 fields" in text
    assert await number(proxy, "tfs_proxy_refusals_total", reason="REQUEST_TOO_COMPLEX") == 1
    assert await number(proxy, "tfs_proxy_bound_hits_total", bound="metadata") == 1


async def test_heads_of_fourteen_hundred_fields_end_their_connection(start_proxy, join):
    proxy = await start_proxy()
    peer = await join(proxy)
    peer.request([*PREDICT_HEAD, *(("x", "y") for _ in range(1400))], WELL)
    assert (await peer.next(h2.events.ConnectionTerminated)).error_code == RST.ENHANCE_YOUR_CALM


async def test_large_heads_again_and_again_use_up_a_budget(start_proxy, join):
    proxy = await start_proxy()
    peer = await join(proxy)
    with contextlib.suppress(h2.exceptions.ProtocolError):
        for round_ in range(600):
            peer.request([*PREDICT_HEAD, *((f"x{number}-{round_}", "y") for number in range(300))], WELL)
            await asyncio.sleep(0)
    await asyncio.wait_for(peer.closed.wait(), PATIENCE)


async def test_ever_changing_metadata_of_calls_that_are_answered_is_no_flood(start_proxy, connect):
    channel = connect(await start_proxy())
    for round_ in range(1500):
        metadata = tuple((f"x{number}", f"{round_}-{number}") for number in range(20))
        answer = await ask(channel, PREDICT, WELL, metadata=metadata)
        assert answer.code is grpc.StatusCode.OK


async def test_a_timeout_that_is_none_goes_on_as_it_is_and_brings_no_fields_along(join, start_frames):
    seen = []

    def on_event(peer, event):
        if isinstance(event, h2.events.RequestReceived):
            seen.append(event.headers)
        if isinstance(event, h2.events.StreamEnded):
            peer.answer(event.stream_id)

    _, target = await start_frames(on_event)
    proxy = await asyncio.to_thread(ProxyProcess, "--upstream", target, *EDGES["native"])
    try:
        peer = await join(proxy)
        for length in (126, 127, 130, 255, 400):
            timeout = "1" * length
            seen.clear()
            stream = peer.request([*REQUEST, ("grpc-timeout", timeout)])
            await peer.next(h2.events.StreamEnded, stream_id=stream)
            (fields,) = (fields for fields in seen if dict(fields)[":path"] == REQUEST[2][1])
            assert dict(fields)["grpc-timeout"] == timeout
            assert {name for name, _ in fields} == {name for name, _ in REQUEST} | {"grpc-timeout"}
    finally:
        await asyncio.to_thread(proxy.__exit__, None, None, None)
