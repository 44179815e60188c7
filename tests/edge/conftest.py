"""A fake server with one model, a proxy in front of it, and a client that keeps everything it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from proxy.wire.protos import predict_pb2
from tests.fake_serving import FakeServing
from tests.proxy_process import EDGES, ProxyProcess, running_proxy

PREDICT = "/tensorflow.serving.PredictionService/Predict"

StartProxy = Callable[..., ProxyProcess]


def predict(model: str = "m", shape: tuple[int, ...] = (2, 3), alias: str = "x", **spec: Any) -> bytes:
    """A PredictRequest with one float tensor of zeros."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    for name, value in spec.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    tensor = request.inputs[alias]
    tensor.dtype = 1
    count = 4
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
        count *= size
    tensor.tensor_content = bytes(count)
    return request.SerializeToString()


class Answered:
    """One unary call that is over."""

    def __init__(self, response: bytes | None, call: Any, code: Any, details: str, trailing: Any) -> None:
        self.response = response
        self.code = code
        self.details = details
        self.trailing = tuple((key, value) for key, value in trailing or ())
        self.call = call

    @property
    def reason(self) -> str:
        """The reason in the ErrorInfo of the status details; "" when there are none."""
        for key, value in self.trailing:
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                assert status.message == self.details
                for detail in status.details:
                    info = error_details_pb2.ErrorInfo()
                    if detail.Unpack(info):
                        return info.reason
        return ""

    @property
    def retry_seconds(self) -> float | None:
        """The wait in the RetryInfo of the status details; None when there is none."""
        for key, value in self.trailing:
            if key == "grpc-status-details-bin":
                for detail in status_pb2.Status.FromString(value).details:
                    retry = error_details_pb2.RetryInfo()
                    if detail.Unpack(retry):
                        return retry.retry_delay.ToNanoseconds() / 1e9
        return None


async def ask(channel: grpc.aio.Channel, method: str, message: bytes, **how: Any) -> Answered:
    """One unary call, however it ends."""
    call = channel.unary_unary(method)(message, **({"timeout": 10} | how))
    response = None
    with suppress(grpc.aio.AioRpcError):
        response = await call
    return Answered(response, call, await call.code(), await call.details(), await call.trailing_metadata())


async def judged(proxy: ProxyProcess, channel: grpc.aio.Channel) -> None:
    """Wait until the proxy has connected and judges by the signature of `m`: before, it lets requests pass."""
    await asyncio.to_thread(proxy.wait_for, "upstream_up")
    async with asyncio.timeout(20):
        while (await ask(channel, PREDICT, predict(shape=(3,)))).reason != "RANK_MISMATCH":
            pass


@pytest.fixture
async def serving() -> AsyncIterator[FakeServing]:
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


@pytest.fixture(params=EDGES)
async def start_proxy(
    request: pytest.FixtureRequest, serving: FakeServing
) -> AsyncIterator[Callable[..., Any]]:
    """Start a proxy in front of `serving` with more flags, stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(*flags: str) -> ProxyProcess:
            running = running_proxy("--upstream", serving.target, *EDGES[request.param], *flags)
            proxy = await asyncio.to_thread(running.__enter__)
            stack.push_async_callback(asyncio.to_thread, running.__exit__, None, None, None)
            return proxy

        yield start


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[ProxyProcess], grpc.aio.Channel]]:
    """A channel of its own to a proxy."""
    async with AsyncExitStack() as stack:

        def connect(proxy: ProxyProcess) -> grpc.aio.Channel:
            channel = grpc.aio.insecure_channel(
                proxy.target,
                options=(("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)),
            )
            stack.push_async_callback(channel.close)
            return channel

        yield connect
