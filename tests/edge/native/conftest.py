"""The native edge in this process, between real peers: grpc.aio, or frames of the independent h2 library."""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import pytest
import uvloop

from proxy.core.reasons import Reason
from proxy.core.verdict import Verdict, Violation
from proxy.edge.admission import Limits
from proxy.edge.native.pool import Pool
from proxy.edge.native.pool_options import PoolOptions
from proxy.edge.native.server import NativeEdge
from proxy.edge.native.shell import Exchange
from proxy.gate import Admit, Glimpse, Known, Refuse
from proxy.wire.status import status_of

PREDICT = "/tensorflow.serving.PredictionService/Predict"
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/some.Service/Method"),
    (":authority", "here"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]
PREDICT_HEAD = [(":path", PREDICT) if name == ":path" else (name, value) for name, value in REQUEST]
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
RST = h2.errors.ErrorCodes
PATIENCE = 10


def pytest_asyncio_loop_factories():
    """`serve` runs on uvloop, which reads into memory of the edge; what else asyncio's own does is for `test_whole_bodies`."""
    return {"uvloop": uvloop.new_event_loop}


def refusal() -> Refuse:
    violation = Violation(
        Reason.RANK_MISMATCH, "inputs", "input 'x'", "rank 4", "rank 3", "add a batch dimension"
    )
    verdict = Verdict(violations=(violation,), model="m", version=1)
    return Refuse(None, verdict, status_of(verdict))


class Doorkeeper:
    """A gate that admits everything at once, or decides as told: `decide(message)`, awaited when `slow`."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.decide: Callable[[bytes], Any] = lambda _: Admit()
        self.slow: asyncio.Event | None = None
        self.decide_view: Callable[[Any], Any] | None = None
        self.late: Callable[[Any], Any] = lambda _: Admit()
        self.lets_pass = False

    def judge_now(self, known: Known) -> Any:
        """Of a glimpse nothing is decided but what `decide_view` says."""
        if isinstance(known, Glimpse):
            return None if self.decide_view is None else self.decide_view(known.view_at_once())
        self.messages.append(known.octets)
        return None if self.slow is not None else self.decide(known.octets)

    def unread(self, verdict: Any) -> Any:
        return Admit() if self.lets_pass else Refuse(None, verdict, status_of(verdict))

    def of_no_model(self, verdict: Any) -> Any:
        return self.unread(verdict)

    def still_holds(self, decision: Any) -> bool:
        return False

    def learn(self, decision: Any) -> None:
        """Nothing is learnt."""

    async def judge(self, known: Known, timeout: float | None = None, client: Any = None) -> Any:
        if isinstance(known, Glimpse):
            return self.late(known.view_at_once())
        await self.slow.wait()
        return self.decide(known.octets)


class Witness:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.started = 0
        self.outcomes: list[Any] = []

    def call_started(self, method: str, grpc_type: str) -> None:
        self.started += 1

    def call_ended(self, outcome: Any) -> None:
        self.outcomes.append(outcome)


class Peer(asyncio.Protocol):
    """An h2 connection that answers nothing by itself; `events` arrive in a queue."""

    def __init__(self, *, client: bool, on_event: Callable[["Peer", Any], None] | None = None) -> None:
        config = h2.config.H2Configuration(client_side=client, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.on_event = on_event
        self.received = 0
        self.closed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.h2.initiate_connection()
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            happened = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError as error:
            happened = [error]
        for event in happened:
            if isinstance(event, h2.events.DataReceived):
                self.received += len(event.data)
                if event.flow_controlled_length:
                    with contextlib.suppress(h2.exceptions.ProtocolError):
                        self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if self.on_event is not None:
                self.on_event(self, event)
            self.events.put_nowait(event)
        self.flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed.set()

    def flush(self) -> None:
        octets = self.h2.data_to_send()
        if octets and not self.transport.is_closing():
            self.transport.write(octets)

    async def next(self, kind: type, **having: Any) -> Any:
        """The next event of a kind; others before it are dropped."""
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await self.events.get()
                if isinstance(event, kind) and all(getattr(event, k) == v for k, v in having.items()):
                    return event

    def request(self, fields: Any = REQUEST, body: bytes | None = b"", *, end: bool = True) -> int:
        """Open a stream with one message (None: nothing yet)."""
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, fields)
        if body is not None:
            self.h2.send_data(number, len(body).to_bytes(5, "big") + body, end_stream=end)
        self.flush()
        return number

    def answer(self, number: int, body: bytes | None = b"") -> None:
        """A whole answer with one message."""
        self.h2.send_headers(number, HEAD)
        if body is not None:
            self.h2.send_data(number, len(body).to_bytes(5, "big") + body)
        self.h2.send_headers(number, OK, end_stream=True)
        self.flush()


class Frames:
    """A server made of h2 connections; `on_event(peer, event)` says what it does."""

    def __init__(self, on_event: Callable[[Peer, Any], None]) -> None:
        self.on_event = on_event
        self.peers: list[Peer] = []
        self.arrived = asyncio.Semaphore(0)
        # What every connection says first, beside h2's own defaults.
        self.settings: dict[int, int] = {}

    def __call__(self) -> Peer:
        peer = Peer(client=False, on_event=self._happened)
        for code, value in self.settings.items():
            peer.h2.local_settings[code] = value
        peer.h2.local_settings.acknowledge()
        self.peers.append(peer)
        self.arrived.release()
        return peer

    def _happened(self, peer: Peer, event: Any) -> None:
        self.on_event(peer, event)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so; fail when it never is."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is awaited has no event of its own
            await asyncio.sleep(0.01)


async def at_rest(count: Callable[[], int]) -> int:
    """The value of a count once it no longer moves."""
    seen = -1
    async with asyncio.timeout(PATIENCE):
        while seen != count():
            seen = count()
            await asyncio.sleep(0.2)
    return seen


def echo(peer: Peer, event: Any) -> None:
    """Answer each request with an empty message once it has ended."""
    if isinstance(event, h2.events.StreamEnded):
        peer.answer(event.stream_id)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem and cert.pem for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
            ),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


class Caller:
    """Wants a stream; remembers what it got."""

    def __init__(self):
        self.told = asyncio.get_running_loop().create_future()

    def connected(self, connection):
        self.told.set_result(connection)

    def unreachable(self, reason):
        self.told.set_result(reason)


async def outcome(pool: Pool) -> Any:
    """The connection that a call gets of the pool, or the reason why there is none."""
    connection = pool.pick()
    if connection is not None:
        return connection
    caller = Caller()
    pool.wait(caller)
    return await asyncio.wait_for(caller.told, PATIENCE)


@pytest.fixture
def doorkeeper() -> Doorkeeper:
    return Doorkeeper()


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def start_frames(stack: AsyncExitStack) -> Callable[..., Any]:
    """Start a server of frames: `server, target = await start_frames(on_event)`."""

    async def start(on_event: Callable[[Peer, Any], None] = echo, port: int = 0) -> tuple[Frames, str]:
        frames = Frames(on_event)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(frames, "127.0.0.1", port)

        def stop() -> None:
            server.close()
            for peer in frames.peers:
                peer.transport.abort()

        async def leave() -> None:
            server.close()
            # Connections that were being accepted arrive first.
            for _ in range(10):
                await asyncio.sleep(0)
            stop()
            await asyncio.sleep(0)

        stack.push_async_callback(leave)
        frames.stop = stop
        return frames, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    return start


@pytest.fixture
def start_edge(stack: AsyncExitStack, doorkeeper: Doorkeeper, witness: Witness) -> Callable[..., Any]:
    """Start the edge before `target`; options go to NativeEdge, or to its pool."""

    async def start(target: str, address: str = "127.0.0.1:0", **options: Any) -> NativeEdge:
        options.setdefault("limits", Limits())
        pool = Pool(
            target,
            Exchange(),
            options=options.pop("pool_options", PoolOptions(first_backoff=0.05, longest_backoff=0.1)),
            tls=options.pop("upstream_tls", None),
            server_name=options.pop("server_name", None),
            http_proxy=options.pop("http_proxy", False),
        )
        await pool.start()
        stack.push_async_callback(pool.stop)
        edge = NativeEdge(
            address,
            gate=doorkeeper,
            pool=pool,
            observer=witness,
            version_seen=options.pop("version_seen", lambda *_: None),
            local=options.pop("local", {}),
            **options,
        )
        await edge.start()
        stack.push_async_callback(edge.stop, 0)
        # What comes before the connection is judged twice.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while pool.up is None:  # noqa: ASYNC110 - what is awaited has no event of its own
                    await asyncio.sleep(0.001)
        return edge

    return start


@pytest.fixture
def start_client(stack: AsyncExitStack) -> Callable[..., Any]:
    """Connect an h2 client to an edge."""

    async def start(edge: NativeEdge) -> Peer:
        host, _, port = edge.address.rpartition(":")
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(lambda: Peer(client=True), host, int(port))
        stack.callback(peer.transport.abort)
        return peer

    return start


@pytest.fixture
def channel_to(stack: AsyncExitStack) -> Callable[..., Any]:
    """A grpc.aio channel to an edge."""

    def connect(edge: NativeEdge) -> grpc.aio.Channel:
        options = (
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        )
        channel = grpc.aio.insecure_channel(edge.address, options)
        stack.push_async_callback(channel.close)
        return channel

    return connect


@pytest.fixture
async def start_pool(stack: AsyncExitStack) -> Callable[..., Any]:
    """Start a pool of connections to `target`."""

    async def start(target, **options):
        pool = Pool(
            target,
            Exchange(),
            options=options.pop(
                "options", PoolOptions(first_backoff=0.02, longest_backoff=0.05, connect_timeout=0.5)
            ),
            **options,
        )
        await pool.start()
        stack.push_async_callback(pool.stop)
        return pool

    return start
