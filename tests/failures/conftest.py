"""Real proxies before the real dev server and before a scripted one, and what their clients are told."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from tests.fake_serving import FakeServing
from tests.proxy_process import ProxyProcess, running_proxy
from tests.transparency.scripted import Answer, Metadata, ask, channel_to

PREDICT = "/tensorflow.serving.PredictionService/Predict"

MODELS = (
    "ssd",
    "f300",
    "two",
    "twosig",
    "twosig_def",
    "fixed",
    "scalar",
    "enc",
    "cls",
    "multi",
    "corrupt",
    "embed",
    "pair",
)


@dataclass
class Told:
    """What a client sees of a failed call: code, text, and the sentence of the diagnosis or the warning."""

    answer: Answer

    @property
    def code(self) -> str:
        return self.answer.code.name

    @property
    def words(self) -> str:
        extra = [value for key, value in self.answer.trailing if key.startswith("tfs-proxy-")]
        return " | ".join([self.answer.details, *extra])


Tell = Callable[..., Told]


@contextlib.contextmanager
def telling(proxy: ProxyProcess) -> Iterator[Tell]:
    with channel_to(proxy.target) as channel:

        def tell(message: Any, method: str = PREDICT, metadata: Metadata = ()) -> Told:
            data = message if isinstance(message, bytes) else message.SerializeToString()
            return Told(ask(channel, "unary_unary", method, (data,), metadata=metadata, timeout=30))

        yield tell


def _proxied(target: str, *flags: str) -> Iterator[Tell]:
    named = [flag for model in MODELS for flag in ("--model", model)]
    with running_proxy("--upstream", target, *named, *flags) as proxy, telling(proxy) as tell:
        # Names are known once the server has been asked for every model.
        proxy.wait_for("model_versions_changed")
        yield tell


@pytest.fixture(scope="session")
def enforcing(dev_server) -> Iterator[Tell]:
    """Ask the genuine runtime through a proxy that looks at values too."""
    severities = ("VALUE_NOT_FINITE", "STRING_LOOKS_BASE64")
    flags = [flag for name in severities for flag in ("--severity", f"{name}=refuse")]
    yield from _proxied(dev_server.target, "--max-batch", "8", *flags)


@pytest.fixture(scope="session")
def observing(dev_server) -> Iterator[Tell]:
    """The same, with nothing refused: the server's own errors come back, explained."""
    yield from _proxied(dev_server.target, "--mode", "observe")


@pytest.fixture(scope="session")
def background() -> Iterator[Callable[[Any], Any]]:
    """Keep async context managers open on a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = contextlib.AsyncExitStack()

    def enter(manager: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(stack.enter_async_context(manager), loop).result(20)

    yield enter
    asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def scripted(background) -> FakeServing:
    """A server that fails as a test says, with the model `m`: x float32[?,3]."""
    serving = background(FakeServing())
    serving.load("m")
    return serving


@pytest.fixture(scope="session")
def answering(scripted) -> Iterator[Callable[[str, str], Told]]:
    """Have the server answer a good request with a code and a text; what the client is told."""
    from tests.judging import predict, tensor

    with (
        running_proxy("--upstream", scripted.target, "--model", "m") as proxy,
        telling(proxy) as tell,
    ):
        proxy.wait_for("model_versions_changed")

        def answered(code: str, text: str) -> Told:
            scripted.fail("Predict", grpc.StatusCode[code], text)
            try:
                return tell(predict("m", x=tensor("float32", (4, 3))))
            finally:
                scripted.mend("Predict")

        yield answered
