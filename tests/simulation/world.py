"""One world: clients, the data plane with its gate and signatures, a server, and what goes wrong between them.

Law: everything is decided by the seed. What must hold is checked while it happens, or at the end when the world has
come to rest; a `Broken` says what did not.
"""

# The loop first: it brings the clock.
from tests.simulation.loop import CLOCK, SimulatedLoop  # isort: skip

import asyncio
import random as global_random
from collections import Counter
from random import Random
from typing import Any

from proxy.config import Settings
from proxy.core import freshness
from proxy.edge.admission import Limits as Admission
from proxy.edge.native.asking import PoolWay
from proxy.edge.native.clients import Clients
from proxy.edge.native.http2.limits import Limits
from proxy.edge.native.patience import Patience
from proxy.edge.native.plane import Plane
from proxy.edge.native.pool import Pool
from proxy.edge.native.shell import Exchange
from proxy.gate import Gate
from proxy.observe.fanout import Fanout
from proxy.upstream.models import ModelWatch
from proxy.upstream.signatures import SignatureCache
from tests.simulation.messages import MODEL, Mark, metadata, read_predict, status
from tests.simulation.network import Network
from tests.simulation.peers import PREDICT, PREFIX, Broken, Call, Client, Peer, ServerEnd

METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
POLL = 2.0
_MOST_BYTES = 4 << 20
_PATIENCE = 400.0
"""Simulated seconds in which a world must come to rest once nothing goes wrong any more."""


class World:
    """Runs one seed; `play` raises Broken, or returns what happened."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        global_random.seed(seed)
        self.loop = SimulatedLoop(self.random)
        self.network = Network(self.loop, self.random)
        self.counts: Counter[str] = Counter()
        self.rough = True
        self.serving = True
        self.generation = 0
        self.servers: list[ServerEnd] = []
        self.clients: list[Client] = []
        # Which signature was in force from when on; when the proxy asked, and when it learnt one that it had asked for.
        self.in_force: list[tuple[float, int]] = [(CLOCK.now, self.random.randint(1, 6))]
        self.told: list[float] = [CLOCK.now]
        self.known: list[tuple[float, float]] = [(CLOCK.now, CLOCK.now)]
        self.began: dict[int, float] = {}
        self.seen: Counter[int] = Counter()
        self.served: set[int] = set()
        self.started = self.ended = 0
        self.uncaught: list[str] = []

    # === the server ===

    def widths(self) -> list[int]:
        return [width for _, width in self.in_force[-2:]]

    def widths_since(self, when: float) -> set[int]:
        """The widths that were in force at `when`, or became so later."""
        before = [width for since, width in self.in_force if since <= when]
        return {width for since, width in self.in_force if since > when} | set(before[-1:])

    def swap(self) -> None:
        self.in_force.append((CLOCK.now, self.random.randint(1, 6)))
        self.counts["swaps"] += 1

    def answer_to(self, method: str, data: bytes) -> tuple[int, bytes | None]:
        version, width = len(self.in_force), self.in_force[-1][1]
        message = data[PREFIX:]
        if method in {METADATA, STATUS}:
            self.told.append(CLOCK.now)
            if self.rough and self.random.random() < 0.05:
                return self.random.choice((14, 8, 4)), None
            return 0, metadata(version, width) if method == METADATA else status(version)
        if len(data) != PREFIX + int.from_bytes(data[1:PREFIX], "big"):
            self.counts["cut short"] += 1
            return 13, None
        if method == PREDICT:
            mark, got = read_predict(message)
            if got not in self.widths_since(self.known_since(self.began[mark.number])):
                raise Broken(f"{mark} of width {got} was sent on; in force is {width}")
        else:
            mark = Mark.read(message)
        self.seen[mark.number] += 1
        if self.random.random() < 0.1:
            return self.random.choice((2, 8, 13, 14)), None
        self.served.add(mark.number)
        return 0, mark.fill(self.random.choice((4, 400, 100_000, 600_000)))

    def known_since(self, when: float) -> float:
        """
        What was in force before this the proxy must not go by, for a call that began then.

        It had been told of the state twice since, and knew a signature that it asked for later: where none can be had,
        the last known one holds (see `Gate`).
        """
        told = [at for at in self.told if at <= when]
        known = [asked_at for fetched_at, asked_at in self.known if fetched_at <= when]
        return min(told[-2:][0], known[-1])

    def dialled(self, factory: Any, _host: str, _port: int) -> Any:
        if not self.serving:
            return None
        server = ServerEnd(self)
        self.servers.append(server)
        protocol = factory()
        self.network.connect(protocol, server)
        return protocol

    # === what must hold ===

    def check_answer(self, call: Call) -> None:
        message = bytes(call.received)
        if len(message) != PREFIX + int.from_bytes(message[1:PREFIX], "big"):
            raise Broken(f"the answer of {call.mark} is cut, with status OK")
        if Mark.read(message[PREFIX:]) != call.mark:
            raise Broken(f"{call.mark} got the answer of {Mark.read(message[PREFIX:])}")
        if call.mark.number not in self.served:
            raise Broken(f"{call.mark} has an answer that the server did not give")

    def check_refusal(self, call: Call) -> None:
        if self.widths_since(call.began) == {call.width}:
            raise Broken(f"{call.mark} was refused although {call.width} was in force all the time")

    def call_started(self, method: str, grpc_type: str) -> None:
        self.started += 1

    def call_ended(self, outcome: Any) -> None:
        self.ended += 1

    def signature_fetched(self, key: Any, result: str, seconds: float) -> None:
        if result == "ok":
            self.known.append((CLOCK.now, CLOCK.now - seconds))

    def signature_drifted(self, drift: Any) -> None:
        pass

    def versions_changed(self, model: str, versions: Any) -> None:
        pass

    # === what happens ===

    def mishap(self) -> None:
        """Something that nobody wished for."""
        random, network = self.random, self.network
        kind = random.choice(
            (
                "swap",
                "cut",
                "cut",
                "away",
                "restart",
                "deaf",
                "cancel",
                "cancel",
                "cancel",
                "leave",
                "go away",
            )
        )
        self.counts[kind] += 1
        if kind == "swap":
            self.swap()
        elif kind == "cut" and network.open:
            end = random.choice(sorted(network.open, key=lambda end: end.number))
            network.soon(end.lose, ConnectionResetError(104, "Connection reset by peer"))
        elif kind == "away":
            self.serving = False
            for server in self.servers:
                self._cut(server)
            network.loop.call_later(random.uniform(0, 5), self._back)
        elif kind == "restart":
            self.swap()
            for server in self.servers:
                self._cut(server)
        elif kind == "deaf" and network.open:
            end = random.choice(sorted(network.open, key=lambda end: end.number))
            if isinstance(end.protocol, Peer):
                end.pause_reading()
                network.loop.call_later(random.uniform(0, 8), end.resume_reading)
        elif kind == "cancel":
            calls = [call for client in self.clients for call in client.calls if not call.over]
            if calls:
                random.choice(calls).cancel()
        elif kind == "leave" and self.clients:
            random.choice(self.clients).close()
        elif kind == "go away" and self.servers:
            server = random.choice(self.servers)
            if not server.gone:
                server.connection.drain() if random.random() < 0.5 else server.connection.stop_accepting()
                server.flush()

    def _cut(self, server: ServerEnd) -> None:
        if server.transport is not None:
            server.transport.lose(ConnectionResetError(104, "Connection reset by peer"))

    def _back(self) -> None:
        self.serving = True

    # === the whole ===

    def play(self, calls: int) -> Counter[str]:
        asyncio.set_event_loop(self.loop)
        self.loop.dial = self.dialled
        self.loop.set_exception_handler(self._unhandled)
        try:
            self.loop.run_until_complete(self._play(calls))
        finally:
            self.loop.close()
            asyncio.set_event_loop(None)
            if self.uncaught:
                # What came of it would hide what it was.
                raise Broken(self.uncaught[0])
        self.counts["steps"] = self.loop.steps + self.network.steps
        return self.counts

    def _unhandled(self, _loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, Broken):
            self.uncaught.append(str(error))
        else:
            import traceback

            shown = "".join(traceback.format_exception(error)) if error else context["message"]
            self.uncaught.append(f"nobody caught: {shown}")

    async def _play(self, calls: int) -> None:
        random = self.random
        exchange = Exchange()
        pool = Pool("10.0.0.1:8500", exchange, on_change=self._changed)
        way = PoolWay(pool)
        observer = Fanout((self,), (), (self,), lambda _, error: self.uncaught.append(repr(error)))
        limits = freshness.Limits(refresh_after=30.0)
        self.signatures = SignatureCache(way, configured=(MODEL,), listener=observer, limits=limits)
        self.models = ModelWatch(way, self.signatures, configured=(MODEL,), listener=observer, interval=POLL)
        admission = Admission(
            default_deadline=None,
            max_message_bytes=-1,
            max_inflight_bytes=random.choice((_MOST_BYTES, 1 << 30)),
            max_concurrent_calls=random.choice((-1, 20)),
            max_connections=10,
            idle_seconds=300.0,
            stall_seconds=10.0,
            max_connection_age=random.choice((None, 5.0)),
            client_rate=random.choice((None, None, 50.0)),
            client_burst=20,
            adaptive=random.random() < 0.3,
            max_model_calls=random.choice((-1, -1, 8)),
        )
        plane = Plane(
            exchange,
            gate=Gate(self.signatures, Settings().policies),
            observer=observer,
            limits=admission,
            version_seen=self.signatures.observe_version,
            pool=pool,
            local_pool=None,
            local_methods=(),
            explainer=None,
            answers={},
            bound_hit=lambda _: None,
            tells_all=random.random() < 0.5,
            tracer=None,
        )
        clients = Clients(plane, Limits(), 10)
        patience = Patience(clients, admission)
        plane.load.make_room = patience.make_room
        await way.start()
        await self.models.start()
        patience.start()
        await self._traffic(calls, clients)
        await self._rest(plane, pool, clients)
        await clients.drain(5.0)
        await self.models.stop()
        await self.signatures.stop()
        await way.stop()
        patience.stop()
        plane.deadlines.stop()
        plane.tell_ended()
        await asyncio.sleep(3.0)
        self._check_end(plane, pool, clients)

    def _changed(self, up: bool) -> None:
        if up:
            self.signatures.invalidate()
            self.models.wake()

    async def _traffic(self, calls: int, clients: Clients) -> None:
        random = self.random
        pace = random.choice((0.0, 0.002, 0.05, 0.5))
        trouble = random.choice((0.0, 0.02, 0.1, 0.3))
        self.rough = trouble > 0
        for number in range(1, calls + 1):
            await asyncio.sleep(random.uniform(0, pace))
            here = [client for client in self.clients if not client.gone]
            if not here or (len(here) < 6 and random.random() < 0.2):
                shell = clients.admitted(random.choice(("10.0.0.2", "10.0.0.3")))
                if shell is None:
                    continue
                client = Client(self)
                self.clients.append(client)
                self.network.connect(client, shell)
                here.append(client)
            self.began[number] = CLOCK.now
            random.choice(here).call(number)
            self.counts["calls"] += 1
            if random.random() < trouble:
                self.mishap()
            elif not trouble and random.random() < 0.01:
                self.swap()

    async def _rest(self, plane: Plane, pool: Pool, clients: Clients) -> None:
        """Nothing goes wrong any more: every call ends, and nothing is held."""
        self.serving = True
        until = CLOCK.now + _PATIENCE
        while CLOCK.now < until:
            await asyncio.sleep(1.0)
            waiting = [call for client in self.clients for call in client.calls if not call.over]
            if not waiting:
                break
        else:
            raise Broken(f"{len(waiting)} calls never ended, the first {waiting[0].mark}")
        await asyncio.sleep(35.0)
        plane.tell_ended()
        if plane.load.bytes or plane.load.calls:
            raise Broken(f"{plane.load.bytes} octets and {plane.load.calls} calls are still held")
        if self.started != self.ended:
            raise Broken(f"{self.started} calls began and {self.ended} ended")
        for shell in clients.shells:
            flow = shell.connection.flow
            if shell.connection.streams:
                raise Broken(f"streams of a client are left: {shell.connection}")
            if flow.recv_window + flow.owed != shell.connection.limits.connection_window:
                raise Broken("octets of a client's window are lost")
        for server in self.servers:
            left = () if server.gone else server.connection.streams.values()
            # The proxy goes on asking for the state of the model.
            if any(stream.sink.method not in {METADATA, STATUS} for stream in left):
                raise Broken(f"streams at the server are left: {server.connection}")

    def _check_end(self, plane: Plane, pool: Pool, clients: Clients) -> None:
        if clients.shells or plane.load.connections:
            raise Broken("connections of clients are left")
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if left:
            raise Broken(f"tasks are left: {left}")
        for call in (call for client in self.clients for call in client.calls):
            if not call.over:
                raise Broken(f"{call.mark} never ended")
            self.counts[f"status {call.status}" if not call.cancelled else "cancelled"] += 1
        twice = [number for number, count in self.seen.items() if count > 3]
        if twice:
            raise Broken(f"call {twice[0]} came to the server {self.seen[twice[0]]} times")
