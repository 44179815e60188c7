"""What the gate costs one good request whose signature is known: `python -m tests.bench.gate_cost`.

Medians of single calls, in microseconds: the scan alone, the protobuf parse alone (which the gate does not need), and
the whole gate (parse, look-up in the real SignatureCache, judge): for a request that it has not seen before, and for
one that differs from earlier ones in its payload only.
"""

import asyncio
import statistics
import time
from collections.abc import Callable

import numpy as np

from proxy.core.policy import Policies
from proxy.gate import PREDICT, Admit, Gate, Message
from proxy.upstream.channel import open_channel
from proxy.upstream.control import ChannelControl
from proxy.upstream.signatures import SignatureCache
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict
from tests.fake_serving import DT_FLOAT, DT_UINT8, FakeServing, signature_def
from tests.judging import predict, tensor

ROUNDS = 5000


def median_us(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    clock, times = time.perf_counter_ns, []
    for _ in range(rounds):
        began = clock()
        call()
        times.append(clock() - began)
    return statistics.median(times) / 1000


def small() -> bytes:
    """269 bytes: one image of 4x16 pixels with a named signature."""
    return predict(
        "ssd_mobilenet", "serving_default", image_tensor=tensor("uint8", (1, 4, 16, 3))
    ).SerializeToString()


def image(dtype: str = "float32", **fields: object) -> bytes:
    return predict("cnn", images=tensor(dtype, (1, 300, 300, 3), **fields)).SerializeToString()


def hundred() -> bytes:
    columns = {f"feature_{number:03}": tensor("float32", (8, 1)) for number in range(100)}
    return predict("tabular", **columns).SerializeToString()


async def main() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, 270_000)
    cases = {
        "small": small(),
        "float image in tensor_content": image(),
        "float image in float_val": image(float_val=np.zeros(270_000)),
        "uint8 image in int_val": predict(
            "ssd_mobilenet", image_tensor=tensor("uint8", (1, 300, 300, 3), int_val=pixels)
        ).SerializeToString(),
        "100 inputs": hundred(),
    }
    async with FakeServing() as serving, open_channel(serving.target) as channel:
        serving.load(
            "ssd_mobilenet",
            1,
            {"serving_default": signature_def({"image_tensor": (DT_UINT8, (-1, -1, -1, 3))})},
        )
        serving.load("cnn", 1, {"serving_default": signature_def({"images": (DT_FLOAT, (-1, 300, 300, 3))})})
        columns = {f"feature_{number:03}": (DT_FLOAT, (-1, 1)) for number in range(100)}
        serving.load("tabular", 1, {"serving_default": signature_def(columns)})
        cache = SignatureCache(ChannelControl(channel))
        gate = Gate(cache, Policies())
        print(
            f"{'request':32} {'bytes':>9} {'scan':>8} {'protobuf':>9} {'unseen':>8} {'repeated':>9}   us, medians"
        )
        for name, data in cases.items():
            decision = await gate.judge(Message(PREDICT, data))
            assert isinstance(decision, Admit), decision.status.text
            assert not decision.failed

            def unseen(data: bytes = data) -> None:
                gate._repetition.forget()
                assert isinstance(gate.judge_now(Message(PREDICT, data)), Admit)

            rounds = ROUNDS if len(data) < 100_000 else ROUNDS // 5
            scan = median_us(lambda data=data: parse_predict(data), rounds)
            protobuf = median_us(lambda data=data: predict_pb2.PredictRequest.FromString(data), rounds)
            first = median_us(unseen, rounds)
            again = median_us(lambda data=data: gate.judge_now(Message(PREDICT, data)), rounds)
            print(f"{name:32} {len(data):9} {scan:8.1f} {protobuf:9.1f} {first:8.1f} {again:9.1f}")
        await cache.stop()


if __name__ == "__main__":
    asyncio.run(main())
