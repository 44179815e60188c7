"""What one request costs everybody else: `python -m tests.bench.bystander [--edge grpcio] [MEMBER ...]`.

For each member of a kind of large or odd request: a fresh proxy in front of a server that counts; a bystander sends
a small good call every 20 ms while the member is sent once. Printed are the bystander's longest wait, the most memory
that the proxy ever had (VmHWM), how the member was answered and whether it reached the server.
"""

import argparse
import asyncio
import gzip
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import grpc

from tests.clients.raw import RawCall, framed
from tests.fake_serving import FakeServing, signature_def
from tests.judging import predict, tensor
from tests.property.wire import length_delimited as field
from tests.property.wire import varint_field
from tests.proxy_process import EDGES, ProxyProcess

PREDICT = "/tensorflow.serving.PredictionService/Predict"
CLASSIFY = "/tensorflow.serving.PredictionService/Classify"
MULTI = "/tensorflow.serving.PredictionService/MultiInference"
MB = 1 << 20
SPEC = field(1, field(1, b"m"))
GZIP = (("grpc-encoding", "gzip"),)


def entry(*tensor_fields: bytes, alias: bytes = b"x") -> bytes:
    return field(2, field(1, alias) + field(2, b"".join(tensor_fields)))


def dims(*sizes: int) -> bytes:
    return field(2, b"".join(field(2, varint_field(1, size)) for size in sizes))


def plain(message: bytes, method: str = PREDICT) -> tuple[str, bytes, tuple[tuple[str, str], ...]]:
    return method, framed(message), ()


def zipped(message: bytes) -> tuple[str, bytes, tuple[tuple[str, str], ...]]:
    return PREDICT, framed(message, 1), GZIP


def zeros(size: int) -> bytes:
    """The gzip form of so many zeros."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(MB)
    return b"".join(squeeze.compress(block) for _ in range(size // MB)) + squeeze.flush()


def good(size: int) -> bytes:
    return predict("m", x=tensor("float32", (size // 12, 3))).SerializeToString()


MEMBERS: dict[str, Callable[[], tuple[str, bytes, tuple[tuple[str, str], ...]]]] = {
    "good 20 MB": lambda: plain(good(20 * MB)),
    "good 20 MB int_val": lambda: plain(
        SPEC + entry(b"\x08\x04", dims(7 * MB, 2), field(7, b"\x05\xff\x01" * (7 * MB)))
    ),
    "20 MB of empty entries": lambda: plain(SPEC + b"\x12\x00" * (10 * MB)),
    "a million inputs": lambda: plain(
        SPEC + b"".join(entry(b"\x08\x01", alias=b"%07d" % number) for number in range(1_000_000))
    ),
    "16384 inputs": lambda: plain(
        SPEC + b"".join(entry(b"\x08\x01", dims(2, 2), alias=b"%07d" % number) for number in range(16_384))
    ),
    "10 M strings": lambda: plain(SPEC + entry(b"\x08\x07", b"\x42\x00" * (10 * MB))),
    "200000 strings": lambda: plain(
        SPEC + entry(b"\x08\x07", dims(200_000), (b"\x42\x90\x01" + bytes(144)) * 200_000)
    ),
    "10 M two-octet lengths": lambda: plain(
        SPEC + entry(b"\x08\x07", dims(10 * MB), field(4, b"\x80\x00" * (10 * MB)))
    ),
    "5 M dims": lambda: plain(SPEC + entry(b"\x08\x01", field(2, b"\x12\x02\x08\x01" * (5 * MB)))),
    "500000 tasks": lambda: plain(field(1, SPEC) * 500_000, MULTI),
    "gzip bomb of 1 GB": lambda: zipped(zeros(1024 * MB)),
    "gzip of 100 MB": lambda: zipped(zeros(100 * MB)),
    "gzip in gzip": lambda: zipped(gzip.compress(zeros(64 * MB * 16))),
    "gzip of 64 MB": lambda: zipped(zeros(64 * MB)),
    "20 MB Classify": lambda: plain(SPEC + field(2, field(1, b"\x0a\x00" * (10 * MB))), CLASSIFY),
    "20 MB unknown fields": lambda: plain(SPEC + b"\x20\x01" * (10 * MB)),
    "60 MB int_val with negatives": lambda: plain(
        SPEC + entry(b"\x08\x06", field(7, (b"\x05" + b"\xff" * 9 + b"\x01") * (5 * MB)))
    ),
    "20 MB unpacked int_val": lambda: plain(SPEC + entry(b"\x08\x04", b"\x38\x01" * (10 * MB))),
    "60 MB padded int_val": lambda: plain(
        SPEC + entry(b"\x08\x04", field(7, b"\x81\x80\x00\x01" * (15 * MB)))
    ),
    "deep groups": lambda: plain(SPEC + b"\x23" * (20 * MB)),
    "20 MB alias": lambda: plain(SPEC + entry(b"\x08\x01", alias=b"x" * (20 * MB))),
    "20 MB alias of emoji": lambda: plain(SPEC + entry(b"\x08\x01", alias="\U0001f600".encode() * (5 * MB))),
    "a map key twice": lambda: plain(SPEC + entry(b"\x08\x07", b"\x42\x00\x18\x00" * (2 * MB)) + good(MB)),
    "resource handles": lambda: plain(SPEC + entry(b"\x08\x14", b"\x72\x00" * (10 * MB))),
}


class Bystander(threading.Thread):
    """Sends a small good call every 20 ms and remembers the longest wait."""

    def __init__(self, target: str) -> None:
        super().__init__(daemon=True)
        self._target = target
        self.longest, self.calls, self.failed = 0.0, 0, 0
        self._over = threading.Event()

    def run(self) -> None:
        message = predict("m", x=tensor("float32", (1, 3))).SerializeToString()
        with grpc.insecure_channel(self._target) as channel:
            call = channel.unary_unary(PREDICT)
            while not self._over.is_set():
                began = time.perf_counter()
                try:
                    call(message, timeout=60)
                except grpc.RpcError:
                    self.failed += 1
                took = time.perf_counter() - began
                self.calls += 1
                self.longest = max(self.longest, took)
                time.sleep(max(0.0, 0.02 - took))

    def stop(self) -> None:
        self._over.set()
        self.join()


def peak_mib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) >> 10
    raise LookupError("VmHWM")


def attack(target: str, member: str) -> None:
    """Send one member; a process of its own, so that the bystander does not wait for it."""
    method, body, metadata = MEMBERS[member]()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        call = RawCall(target, method, body, *metadata)
        print(call.code, call.text[:70] if call.code else "OK")
    except Exception as error:  # noqa: BLE001
        print(type(error).__name__, error)


async def serve() -> None:
    async with FakeServing() as serving:
        serving.load("m", 1, {"serving_default": signature_def({"x": (1, (-1, 3))})})
        print(serving.target, flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            # Of the bystander's small calls only the size tells.
            print(
                sum(len(data) > 1000 for method, data in serving.requests if method == "Predict"), flush=True
            )


def child(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.bench.bystander", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def measure(edge: str, member: str) -> str:
    server = child("--serve")
    attacker = None
    try:
        target = server.stdout.readline().strip()
        with ProxyProcess("--upstream", target, "--model", "m", *EDGES[edge]) as proxy:
            attacker = child("--attack", proxy.target, member)
            attacker.stdout.readline()
            bystander = Bystander(proxy.target)
            bystander.start()
            time.sleep(1)
            quiet, bystander.longest = bystander.longest, 0.0
            base = peak_mib(proxy.process.pid)
            began = time.perf_counter()
            answer, _ = attacker.communicate("\n", timeout=120)
            took = time.perf_counter() - began
            time.sleep(0.3)
            bystander.stop()
            peak = peak_mib(proxy.process.pid)
            server.stdin.write("\n")
            server.stdin.flush()
            reached = server.stdout.readline().strip()
        del quiet
        return (
            f"{member:30} {bystander.longest * 1000:7.0f} ms {peak:5} MiB ({base}) {took:6.1f} s"
            f"  {bystander.failed} failed, reached {reached}  {answer.strip()}"
        )
    finally:
        for process in (server, attacker):
            if process is not None:
                process.kill()
                process.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--edge", default="native", choices=EDGES)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--attack", nargs=2)
    parser.add_argument("member", nargs="*")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
    elif options.attack:
        attack(*options.attack)
    else:
        for member in options.member or MEMBERS:
            print(measure(options.edge, member), flush=True)


if __name__ == "__main__":
    main()
