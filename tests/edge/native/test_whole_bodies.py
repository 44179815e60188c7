"""Many calls of all sizes at once, on several connections: each octet arrives where it belongs, and none is kept."""

import asyncio
import contextlib
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import uvloop

from proxy.edge.admission import Limits
from proxy.edge.native.pool import Pool
from proxy.edge.native.server import NativeEdge
from proxy.edge.native.shell import Exchange
from proxy.edge.native.tls import client_context, server_context
from proxy.gate import Admit
from proxy.upstream.channel import Tls
from proxy.wire.protos import predict_pb2
from tests.edge.native.conftest import PATIENCE, PREDICT, Doorkeeper, Witness, until

RELAYED = "/some.Service/Method"
UNBOUNDED = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
)
CHANNELS = 3
CALLS = 60


class Echo(grpc.GenericRpcHandler):
    """Answers every message with itself."""

    def service(self, details):
        if details.method.endswith("/Stream"):
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
        return grpc.unary_unary_rpc_method_handler(lambda message, _: message)


class Loop:
    """A thread with an event loop of some kind; what is started there is stopped at the end."""

    def __init__(self, factory):
        self.runner = asyncio.Runner(loop_factory=factory)
        self.loop = self.runner.get_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.runner.close()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)


@pytest.fixture
def target():
    server = grpc.server(ThreadPoolExecutor(8), handlers=(Echo(),), options=UNBOUNDED)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(0).wait()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def start(request):
    """Start edges in a loop of each kind: `edge = start(target, …)`."""
    gate = Doorkeeper()
    # Keeps nothing of what it judges.
    gate.judge_now = lambda *_: Admit()
    gate.decide_view = lambda _: Admit()
    with Loop(request.param) as loop, contextlib.ExitStack() as stack:

        async def begin(target, address, options):
            pool = Pool(target, Exchange(), tls=options.pop("upstream_tls", None))
            await pool.start()
            edge = NativeEdge(
                address,
                gate=gate,
                pool=pool,
                observer=Witness(),
                version_seen=lambda *_: None,
                local={},
                limits=Limits(),
                **options,
            )
            await edge.start()
            return pool, edge

        def begun(target, address="127.0.0.1:0", **options):
            pool, edge = loop.run(begin(target, address, options))
            stack.callback(lambda: loop.run(pool.stop()))
            stack.callback(lambda: loop.run(edge.stop(0)))
            return edge

        begun.loop = loop
        yield begun


def message(number):
    """A request of its own: of one octet to 3 MB, most of them small; a tensor of random octets where it is judged."""
    chance = random.Random(number)
    size = min(int(10 ** chance.uniform(0, 6.6)), 3_000_000)
    method = chance.choice((PREDICT, RELAYED))
    if method == RELAYED:
        return method, chance.randbytes(size)
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_content = chance.randbytes(size)
    return method, request.SerializeToString()


def ask(channel, number):
    method, body = message(number)
    if number % 4:
        return channel.unary_unary(method)(body, timeout=PATIENCE) == body
    bodies = [body, *(message(number + 1000 * more)[1] for more in (1, 2))]
    return list(channel.stream_stream("/some.Service/Stream")(iter(bodies), timeout=PATIENCE)) == bodies


def mixed_up(connect):
    """The calls whose answer was not what was asked."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(12) as threads:
        channels = [stack.enter_context(connect()) for _ in range(CHANNELS)]
        answers = [threads.submit(ask, channels[number % CHANNELS], number) for number in range(CALLS)]
        return [number for number, answer in enumerate(answers) if not answer.result()]


async def nobody_looks(edge):
    """Wait until none of the memory that the edge reads into is looked at."""
    memory = edge._plane.exchange.slabs
    # The list, the name and the argument of `getrefcount`; and once more the slab that is next.
    await until(lambda: not memory.in_use)


def test_over_tcp(start, target):
    edge = start(target)
    assert mixed_up(lambda: grpc.insecure_channel(edge.address, UNBOUNDED)) == []
    start.loop.run(nobody_looks(edge))


def test_over_unix_sockets(start, target, tmp_path):
    start(target, f"unix:{tmp_path / 'behind'}")
    edge = start(f"unix:{tmp_path / 'behind'}", f"unix:{tmp_path / 'front'}")
    assert mixed_up(lambda: grpc.insecure_channel(edge.address, UNBOUNDED)) == []
    start.loop.run(nobody_looks(edge))


def test_over_tls(start, target, certificate):
    cert = certificate / "cert.pem"
    context = server_context(cert, certificate / "key.pem")
    behind = start(target, tls=context).address.rpartition(":")[2]
    edge = start(f"localhost:{behind}", tls=context, upstream_tls=client_context(Tls(ca=cert)))
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    front = f"localhost:{edge.address.rpartition(':')[2]}"
    assert mixed_up(lambda: grpc.secure_channel(front, credentials, UNBOUNDED)) == []
    start.loop.run(nobody_looks(edge))
