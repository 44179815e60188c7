"""`python -m tests.load.server [--at-once N --milliseconds T] [--hold]`: a TF Serving without TensorFlow, quick or of a fixed capacity.

Law: every answer can be told from every other: it carries the checksum of the request that it answers. Nothing is
kept of a call that is over.
"""

import argparse
import asyncio
import contextlib
import sys
import zlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from proxy.wire.protos import predict_pb2
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def

ECHO = "/load.Echo/Stream"
MODELS = ("m", "tall", "slow")
"""`tall` answers a megabyte, `slow` takes its time."""
TALL = 1 << 20
SLOW_SECONDS = 0.3


def answer_to(model: str, message: bytes) -> bytes:
    """What the server says to a Predict."""
    response = predict_pb2.PredictResponse()
    response.model_spec.name = model
    response.model_spec.version.value = 1
    response.model_spec.signature_name = "serving_default"
    output = response.outputs["y"]
    output.dtype = DT_FLOAT
    output.tensor_content = zlib.crc32(message).to_bytes(4, "big") + bytes(TALL if model == "tall" else 4)
    output.tensor_shape.dim.add(size=len(output.tensor_content) // 4)
    return response.SerializeToString(deterministic=True)


class Server(FakeServing):
    """`at_once` calls of Predict are worked on, `seconds` each; who comes then waits its turn. 0: any number."""

    def __init__(self, at_once: int = 0, seconds: float = 0.0) -> None:
        super().__init__()
        self.requests = deque(maxlen=0)
        self._turns = asyncio.Semaphore(at_once) if at_once else contextlib.nullcontext()
        self._seconds = seconds
        for model in MODELS:
            self.load(model, 1, {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 3))})})

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method = details.method
        if method == ECHO:
            return grpc.stream_stream_rpc_method_handler(_echo)
        if not method.endswith("/Predict"):
            return super().service(details)
        return grpc.unary_unary_rpc_method_handler(self._predict)

    async def _predict(self, message: bytes, context: Any) -> bytes:
        async with self._turns:
            if self._seconds:
                await asyncio.sleep(self._seconds)
        # The name stands first in what our clients send: 0A <length> 0A <length> name.
        model = message[4 : 4 + message[3]].decode()
        if model == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        hold = self._holds.get("Predict")
        if hold is not None:
            hold.waiting.release()
            await hold.released.wait()
        return answer_to(model, message)


async def _echo(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
    async for message in requests:
        yield message


async def _serve(at_once: int, seconds: float) -> None:
    async with Server(at_once, seconds) as server:
        print(server.target, flush=True)
        # Whoever started it closes its end.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load.server")
    parser.add_argument("--at-once", type=int, default=0)
    parser.add_argument("--milliseconds", type=float, default=0.0)
    told = parser.parse_args()
    asyncio.run(_serve(told.at_once, told.milliseconds / 1000))


if __name__ == "__main__":
    main()
