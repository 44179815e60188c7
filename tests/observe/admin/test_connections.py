"""The admin port against whoever opens connections and does not use them, or asks by another's name."""

import asyncio
import contextlib
import json
import logging
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import structlog

from proxy.core.availability import VersionStatus
from proxy.observe.admin.connections import BOUNDS, Bounds, affordable
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.views import Check, ModelListing, Setting, Sources
from proxy.observe.metrics import Metrics

QUICK = Bounds(head_seconds=0.3, idle_seconds=0.4, answer_seconds=0.5)
LARGE = 8 << 20
"""More than the sockets of both sides hold."""

Start = Callable[..., Awaitable[int]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    servers = []

    async def start(bounds: Bounds | None = None, names: tuple[str, ...] = (), *, large: bool = False) -> int:
        error = "x" * LARGE if large else ""
        sources = Sources(
            lambda: [Check("upstream", ok=False, text="secret.internal:8500 refuses")],
            lambda: [ModelListing("m", (VersionStatus(1, "END", 1, error),))],
            lambda: (),
            lambda: [Setting("upstream", "secret.internal:8500", "flag")],
        )
        server = AdminServer(
            Metrics(("1", "3.11", "interpreted")).registry,
            sources,
            version="1",
            port=0,
            names=names,
            bounds=bounds,
        )
        servers.append(server)
        return await server.start()

    yield start
    for server in servers:
        await server.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Peer:
    """A client that writes octets of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)

    async def answer(self) -> tuple[int, bytes]:
        head = (await self.head()).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), await asyncio.wait_for(self.reader.readexactly(length), 10)

    async def take_nothing(self) -> None:
        """Read no more, until the server has had enough of it."""
        self.writer.transport.pause_reading()
        await until(self._is_refused)
        self.writer.transport.resume_reading()

    def _is_refused(self) -> bool:
        # Who does not read learns of the end by writing.
        self.send(b"\r\n")
        return self.writer.is_closing()

    async def until_closed(self) -> float:
        """Seconds until the server has ended the connection; what it still says is passed over."""
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while await asyncio.wait_for(self.reader.read(65536), 10):
                pass
        return time.monotonic() - began


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[int], Awaitable[Peer]]]:
    writers = []

    async def connect(port: int) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65536)
        writers.append(writer)
        return Peer(reader, writer)

    yield connect
    for writer in writers:
        writer.transport.abort()


def request(path: str = "/livez", host: str = "localhost", more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


# === times ===


@pytest.mark.parametrize(
    "begun",
    [b"", b"G", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: y\r\n", b"\r\n"],
)
async def test_a_request_that_does_not_get_finished_is_cut_off(start, connect, begun):
    peer = await connect(await start(QUICK))
    peer.send(begun)
    assert 0.1 < await peer.until_closed() < 5


async def test_a_request_that_drips_gains_no_time_by_it(start, connect):
    peer = await connect(await start(QUICK))

    async def drip():
        peer.send(b"GET /livez HTTP/1.1\r\n")
        while True:
            peer.send(b"X: y\r\n")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert await peer.until_closed() < 5
    dripping.cancel()


async def test_a_connection_is_kept_for_another_request_and_not_for_ever(start, connect):
    peer = await connect(await start(QUICK))
    for _ in range(3):
        peer.send(request())
        assert await peer.answer() == (200, b"ok\n")
    assert 0.2 < await peer.until_closed() < 5


async def test_the_next_request_on_a_connection_has_no_longer_than_the_first(start, connect):
    peer = await connect(await start(QUICK._replace(idle_seconds=60)))
    peer.send(request() + b"GET /li")
    assert await peer.answer() == (200, b"ok\n")
    peer.send(b"vez")
    assert await peer.until_closed() < 5


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
@pytest.mark.parametrize("times", [1, 50])
async def test_an_answer_that_is_not_taken_is_cut_off(start, connect, more, times):
    port = await start(QUICK, large=True)
    peer = await connect(port)
    peer.send(request("/api/models", more=more) * times)
    await peer.head()
    began = time.monotonic()
    await peer.take_nothing()
    assert time.monotonic() - began < 5


async def test_an_answer_that_is_taken_may_be_large(start, connect):
    peer = await connect(await start(large=True))
    peer.send(request("/api/models"))
    status, body = await peer.answer()
    assert (status, len(json.loads(body)["models"][0]["versions"][0]["error"])) == (200, LARGE)


# === sizes ===


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 8000 + b"\r\n" + b"Y: z" * 20_000,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + b"x" * 100_000,
        b"x" * 100_000,
        b"\x16\x03\x01" + b"\0" * 100_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100_000,
    ],
    ids=["target", "field", "fields", "head", "body", "upgrade", "noise", "tls", "http2"],
)
async def test_what_is_too_long_or_no_http_ends_the_connection_at_once_and_echoes_nothing(
    start, connect, caplog, head
):
    peer = await connect(await start())
    began = time.monotonic()
    peer.send(head)
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := await asyncio.wait_for(peer.reader.read(65536), 10):
            said += piece
    assert time.monotonic() - began < 5
    assert b"xxx" not in said
    assert b"aiohttp" not in said
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_what_is_no_http_is_told_so_in_one_line_with_the_usual_headers(start, connect):
    peer = await connect(await start())
    peer.send(b"GET /<script> evil\r\n\r\n")
    head = await peer.head()
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"nosniff" in head
    assert await peer.reader.read() == b"400 Bad Request\n"


# === the bound ===


async def test_three_hundred_half_open_requests_keep_nobody_from_an_answer(start, connect):
    port = await start()
    with structlog.testing.capture_logs() as told:
        half = [await connect(port) for _ in range(300)]
        for each in half:
            each.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
        for path in ("/livez", "/metrics", "/api/models"):
            peer = await connect(port)
            peer.send(request(path))
            assert (await peer.answer())[0] == 200
    closed = [asyncio.ensure_future(each.until_closed()) for each in half]
    await until(lambda: sum(each.done() for each in closed) >= 300 - BOUNDS.connections)
    for each in closed:
        each.cancel()
    assert [line["event"] for line in told] == ["admin_connections_full"]


@pytest.mark.parametrize("wants", ["nothing", "answers it does not take"])
async def test_at_the_bound_the_connection_that_is_served_stays_and_the_newest_is_served(
    start, connect, wants
):
    port = await start(Bounds(connections=4), large=True)
    reader = await connect(port)
    reader.send(request("/api/models"))
    await reader.head()
    idle = [await connect(port) for _ in range(3)]
    for each in idle:
        if wants != "nothing":
            each.send(request("/api/models"))
            await each.head()
            each.writer.transport.pause_reading()
    for _ in range(20):
        peer = await connect(port)
        peer.send(request())
        assert await peer.answer() == (200, b"ok\n")


async def test_of_many_peers_the_one_with_most_connections_makes_room(start, connect):
    port = await start(Bounds(connections=6))
    few = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    for _ in range(30):
        await connect(port)
    few[1].write(request())
    assert (await asyncio.wait_for(few[0].readuntil(b"ok\n"), 10)).startswith(b"HTTP/1.1 200")
    few[1].transport.abort()


@pytest.mark.parametrize(("files", "connections"), [(20, 4), (64, 4), (256, 16), (1024, 64), (4096, 64)])
def test_where_few_files_may_be_open_the_admin_port_takes_few_of_them(files, connections):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))
    try:
        assert affordable().connections == connections
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# === names ===

PATHS = ("/", "/metrics", "/api/models", "/api/refusals", "/api/suspects", "/api/config", "/readyz?verbose")


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
async def test_a_foreign_name_is_told_which_flag_would_allow_it_and_nothing_else(start, connect, path):
    peer = await connect(await start())
    peer.send(request(path, "attacker.example:8601"))
    status, body = await peer.answer()
    assert status == 421
    assert b"--admin-host" in body
    assert body.count(b"\n") == 1
    assert b"attacker" not in body
    assert b"internal" not in body


@pytest.mark.parametrize("path", PATHS)
async def test_an_allowed_name_is_answered(start, connect, path):
    peer = await connect(await start(names=("proxy",)))
    peer.send(request(path, "proxy:8601"))
    head = await peer.head()
    assert b" 421 " not in head
    assert b" 400 " not in head


async def test_the_health_of_the_proxy_is_told_by_any_name_but_not_what_it_sees(start, connect):
    peer = await connect(await start())
    peer.send(request("/livez", "lb.example"))
    assert await peer.answer() == (200, b"ok\n")
    peer.send(request("/readyz", "lb.example"))
    assert await peer.answer() == (503, b"not ready\n")
    peer.send(request("/readyz"))
    assert b"secret.internal" in (await peer.answer())[1]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /api/config HTTP/1.1\r\n\r\n",
        b"GET /api/config HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /api/config HTTP/1.1\r\nHost: localhost\r\nHost: attacker.example\r\n\r\n",
        b"GET /api/config HTTP/1.1\r\nHost: localhost\r\nhost: localhost\r\n\r\n",
        b"GET /api/config HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: me@localhost\r\n\r\n",
        b"GET http:///api/config HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET api/config HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_a_missing_second_or_odd_host_is_a_bad_request(start, connect, head):
    peer = await connect(await start())
    peer.send(head)
    said = await peer.head()
    assert b" 400 " in said.partition(b"\r\n")[0]
    assert b"internal" not in said + await peer.reader.read(4096)


async def test_a_probe_of_http_1_0_needs_no_host(start, connect):
    peer = await connect(await start())
    peer.send(b"GET /metrics HTTP/1.0\r\n\r\n")
    assert b" 200 " in await peer.head()


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/api/config", "localhost", 200),
        ("http://attacker.example/api/config", "localhost", 421),
        ("http://localhost/api/config", "attacker.example", 421),
        ("//localhost/api/config", "localhost", 404),
        ("//attacker.example/api/config", "localhost", 404),
    ],
)
async def test_a_whole_uri_as_target_must_be_allowed_too(start, connect, target, host, status):
    peer = await connect(await start())
    peer.send(request(target, host))
    assert (await peer.answer())[0] == status


@pytest.mark.parametrize(
    "field",
    [
        "X-Forwarded-Host: localhost",
        "Forwarded: host=localhost",
        "X-Host: localhost",
        "X-Original-Host: localhost",
    ],
)
async def test_no_other_field_vouches_for_a_name(start, connect, field):
    peer = await connect(await start())
    peer.send(request("/api/config", "attacker.example", field + "\r\n"))
    assert (await peer.answer())[0] == 421


async def test_the_name_that_the_port_was_bound_by_is_allowed():
    server = AdminServer(
        Metrics(("1", "3.11", "interpreted")).registry,
        Sources(list, list, list),
        version="1",
        host="localhost",
        port=0,
    )
    port = await server.start()
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write(request("/metrics", f"localhost:{port}"))
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 10)
    writer.close()
    await server.stop()


async def test_stopping_ends_connections_that_are_open(start, connect):
    server = AdminServer(
        Metrics(("1", "3.11", "interpreted")).registry, Sources(list, list, list), version="1", port=0
    )
    port = await server.start()
    silent, kept = await connect(port), await connect(port)
    kept.send(request())
    await kept.answer()
    async with asyncio.timeout(5):
        await server.stop()
        await silent.until_closed()
        await kept.until_closed()
