"""How much of a bare grpc.aio pass-through's throughput the grpcio edge keeps, judging and counting.

    python tests/bench/grpcio_edge.py [--rounds 5] [--seconds 3]

Rounds are interleaved (bare, edge, bare, edge, …) within one run, each contestant alone on one core, server and
load (h2load of nghttp2) on another. Printed is the ratio of each round and its median; CPU time per call is beside
it, because it is what a neighbour on the machine disturbs least.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SIZES = {"269 B": 269, "270 KB": 270_000, "1.08 MB": 1_080_000}
TICKS = os.sysconf("SC_CLK_TCK")

BARE = """
import grpc, sys, uvloop
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        return self.handler

async def main(listen, upstream, method):
    forward = grpc.aio.insecure_channel(upstream, options=OPTIONS).unary_unary(method)
    async def relay(request, context):
        return await forward(request, timeout=context.time_remaining())
    handler = Handler()
    handler.handler = grpc.unary_unary_rpc_method_handler(relay)
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers([handler])
    server.add_insecure_port(listen)
    await server.start()
    await server.wait_for_termination()

uvloop.run(main(*sys.argv[1:]))
"""

SERVER = """
import asyncio, sys
sys.path.insert(0, ".")
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def

async def main(listen):
    serving = FakeServing(listen)
    serving.load("m", 1, {"serving_default": signature_def({"x": (DT_FLOAT, (-1, -1))})})
    await serving.start()
    whole = serving._settle
    def settle(method, data):  # do not parse and keep every request
        return response if method == "Predict" else whole(method, data)
    request = open(sys.argv[2], "rb").read()[5:]
    response = whole("Predict", request)
    serving._settle = settle
    await asyncio.Event().wait()

import uvloop
uvloop.run(main(sys.argv[1]))
"""


def request(size: int) -> bytes:
    """A correct PredictRequest of about `size` bytes, with the 5 bytes of gRPC's message prefix."""
    from proxy.wire.protos import predict_pb2

    message = predict_pb2.PredictRequest()
    message.model_spec.name = "m"
    tensor = message.inputs["x"]
    tensor.dtype = 1
    count = max(1, (size - 48) // 4)
    for dim in (1, count):
        tensor.tensor_shape.dim.add(size=dim)
    tensor.tensor_content = bytes(4 * count)
    data = message.SerializeToString()
    return b"\0" + len(data).to_bytes(4, "big") + data


@contextmanager
def process(core: int, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(
        ["taskset", "-c", str(core), sys.executable, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(10)


def cpu_seconds(running: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def load(port: int, body: Path, seconds: float, running: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Calls per second, and CPU microseconds of the contestant per call."""
    before = cpu_seconds(running)
    done = subprocess.run(
        [
            *("taskset", "-c", "1", "h2load", "-c", "4", "-m", "4", "--warm-up-time", "1s"),
            *("-D", str(seconds), "-H", "content-type: application/grpc", "-H", "te: trailers"),
            *("-d", str(body), f"http://127.0.0.1:{port}{PREDICT}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    used = cpu_seconds(running) - before
    rate = float(re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)[1])
    assert int(re.search(r"status codes: (\d+) 2xx", done.stdout)[1]) > 0, done.stdout
    return rate, used / (rate * (seconds + 1)) * 1e6


def wait_for(port: int, body: Path) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        channel.unary_unary(PREDICT)(body.read_bytes()[5:], wait_for_ready=True, timeout=20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bodies = {name: Path(folder) / str(size) for name, size in SIZES.items()}
        for name, path in bodies.items():
            path.write_bytes(request(SIZES[name]))
        up, bare, edge = 17001, 17002, 17003
        flags = f"-m proxy serve --edge grpcio --upstream 127.0.0.1:{up} --listen 127.0.0.1:{edge}"
        with (
            process(1, "-c", SERVER, f"127.0.0.1:{up}", str(bodies["269 B"])),
            process(0, "-c", BARE, f"127.0.0.1:{bare}", f"127.0.0.1:{up}", PREDICT) as bare_process,
            process(
                0, *flags.split(), "--admin-listen", "127.0.0.1:0", "--drain-seconds", "0"
            ) as edge_process,
        ):
            for port in (bare, edge):
                wait_for(port, bodies["269 B"])
            time.sleep(0.5)
            for name, body in bodies.items():
                ratios, cpu = [], []
                for _ in range(options.rounds):
                    (plain, plain_cpu), (judged, judged_cpu) = (
                        load(port, body, options.seconds, running)
                        for port, running in ((bare, bare_process), (edge, edge_process))
                    )
                    ratios.append(judged / plain)
                    cpu.append((plain_cpu, judged_cpu))
                    print(
                        f"{name:>8}: bare {plain:7.0f}/s {plain_cpu:6.0f} us, edge {judged:7.0f}/s"
                        f" {judged_cpu:6.0f} us, ratio {judged / plain:.3f}",
                        flush=True,
                    )
                print(
                    f"{name:>8}: median ratio {statistics.median(ratios):.3f}, of CPU time"
                    f" {statistics.median(one / two for one, two in cpu):.3f}"
                )


if __name__ == "__main__":
    main()
