"""What the browser looks at: a server with three models, a proxy before it, and clients, some of them wrong.

Law: enough happens for every part of the page to have something to show; the same for tests and for pictures.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import grpc
import grpc.aio

from proxy.wire.protos import predict_pb2
from tests.fake_serving import FakeServing, signature_def
from tests.proxy_process import ProxyProcess

PREDICT = "/tensorflow.serving.PredictionService/Predict"
FLOAT, INT32, STRING, INT64 = 1, 3, 7, 9

CLASSIFIER = {
    "serving_default": signature_def(
        {"images": (FLOAT, (-1, 300, 300, 3))},
        {"probabilities": (FLOAT, (-1, 1000)), "classes": (INT64, (-1, 5))},
    ),
    "embed": signature_def({"images": (FLOAT, (-1, 300, 300, 3))}, {"vector": (FLOAT, (-1, 512))}),
}
DETECTOR = {
    "serving_default": signature_def(
        {"image": (4, (-1, -1, -1, 3)), "threshold": (FLOAT, ())}, {"boxes": (FLOAT, (-1, 100, 4))}
    )
}
TEXT = {"serving_default": signature_def({"ids": (INT32, (-1, 128)), "mask": (INT32, (-1, 128))})}


def request(
    model: str, signature: str = "", **inputs: tuple[int, tuple[int, ...], int]
) -> predict_pb2.PredictRequest:
    """A request with inputs given as dtype, shape and how many octets of content."""
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    for alias, (dtype, shape, size) in inputs.items():
        tensor = message.inputs[alias]
        tensor.dtype = dtype
        for dim in shape:
            tensor.tensor_shape.dim.add(size=dim)
        tensor.tensor_content = bytes(size)
    return message


PICTURE = 300 * 300 * 3 * 4
GOOD = request("classifier", images=(FLOAT, (1, 300, 300, 3), PICTURE))
NO_BATCH = request("classifier", images=(FLOAT, (300, 300, 3), PICTURE))
HALF = request("classifier", images=(FLOAT, (2, 150, 300, 3), PICTURE))
WRONG_NAME = request("classifier", image=(FLOAT, (1, 300, 300, 3), PICTURE))
WRONG_DTYPE = request("text", ids=(INT64, (1, 128), 1024), mask=(INT32, (1, 128), 512))
GOOD_TEXT = request("text", ids=(INT32, (4, 128), 2048), mask=(INT32, (4, 128), 2048))
NO_MODEL = request("clasifier", images=(FLOAT, (1, 300, 300, 3), PICTURE))


class Clients:
    """Clients of the proxy, each with a name that it says of itself."""

    def __init__(self, target: str) -> None:
        self._channels = [
            grpc.aio.insecure_channel(
                target,
                options=[
                    ("grpc.primary_user_agent", name),
                    ("grpc.max_receive_message_length", -1),
                    ("grpc.use_local_subchannel_pool", 1),
                ],
            )
            for name in ("shop-frontend/2.4", "notebook", "batch-job/7")
        ]
        self._calls = [
            channel.unary_unary(PREDICT, request_serializer=predict_pb2.PredictRequest.SerializeToString)
            for channel in self._channels
        ]

    async def send(self, message: predict_pb2.PredictRequest, times: int = 1, client: int = 0) -> None:
        for _ in range(times):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await self._calls[client](message, timeout=20)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()


async def everything(clients: Clients) -> None:
    """One round of what the clients do."""
    await clients.send(GOOD, 12)
    await clients.send(GOOD_TEXT, 8, client=2)
    await clients.send(WRONG_DTYPE, 2, client=2)
    await clients.send(HALF, 1, client=1)
    await clients.send(NO_MODEL, 1, client=1)
    await clients.send(WRONG_NAME, 1, client=1)
    await clients.send(NO_BATCH, 3, client=1)


@contextlib.asynccontextmanager
async def scene(*flags: str) -> AsyncIterator[tuple[ProxyProcess, Clients, FakeServing]]:
    """The server, the proxy and the clients."""
    async with FakeServing() as serving:
        serving.load("classifier", 1, CLASSIFIER)
        serving.load("detector", 3, DETECTOR)
        serving.load("text", 7, TEXT)
        models = ("--model", "classifier", "--model", "detector", "--model", "text")
        with await asyncio.to_thread(ProxyProcess, "--upstream", serving.target, *models, *flags) as proxy:
            clients = Clients(proxy.target)
            try:
                yield proxy, clients, serving
            finally:
                await clients.close()
                # Its end is waited for here, while the server still answers.
                await asyncio.to_thread(proxy.stop)
