"""While there is no connection to the server a call waits for a while: --hold-seconds, with either edge."""

import asyncio
import time

import grpc

from tests.edge.conftest import PREDICT, ask, judged, predict
from tests.fake_serving import DT_FLOAT, signature_def

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
WIDER = {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 4))})}
OTHER = "/some.Service/Method"


async def gone(serving, proxy):
    """Stop the server, and wait until the proxy has noticed."""
    await serving.stop()
    await asyncio.to_thread(proxy.wait_for, "upstream_down")


async def test_calls_wait_for_a_server_that_comes_back_and_are_judged_by_what_it_says(
    serving, start_proxy, connect
):
    """…whether they fitted before or not; relayed ones wait too."""
    proxy = await start_proxy("--hold-seconds", "15", "--max-concurrent-calls", "4")
    channel = connect(proxy)
    await judged(proxy, channel)
    await gone(serving, proxy)
    fitted, fits = (
        asyncio.create_task(ask(channel, PREDICT, predict(shape=(2, size)), timeout=15)) for size in (3, 4)
    )
    relayed = asyncio.create_task(ask(channel, STATUS, b"\n\x03\n\x01m", timeout=15))
    late = await ask(channel, PREDICT, predict(), timeout=0.3)
    assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED, "nobody is held beyond his deadline"
    serving.swap("m", 2, WIDER)
    await serving.start()
    assert (await fitted).reason == "SHAPE_MISMATCH"
    assert (await fits).code is grpc.StatusCode.OK
    assert (await relayed).code is grpc.StatusCode.OK
    assert serving.calls["Predict"] == 1, "none was sent that does not fit"


async def test_after_that_they_are_unavailable_in_words_and_their_number_is_bounded(
    serving, start_proxy, connect
):
    proxy = await start_proxy("--hold-seconds", "0.6", "--max-concurrent-calls", "1")
    channel = connect(proxy)
    await judged(proxy, channel)
    await gone(serving, proxy)
    for method, message in ((PREDICT, predict()), (PREDICT, predict(model="never-seen")), (STATUS, b"")):
        began = time.monotonic()
        held = asyncio.create_task(ask(channel, method, message, timeout=15))
        await asyncio.sleep(0)
        refused = await ask(channel, method, message, timeout=15)
        assert time.monotonic() - began < 0.5
        assert refused.reason == "OVERLOADED"
        answer = await held
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert answer.details
        assert 0.5 < time.monotonic() - began < 5


async def test_streams_that_are_relayed_wait_too(serving, start_proxy, connect):
    """…which the server then answers in its own way."""
    proxy = await start_proxy("--hold-seconds", "15")
    channel = connect(proxy)
    await judged(proxy, channel)
    await gone(serving, proxy)
    stream = asyncio.create_task(ask(channel, OTHER, b"", timeout=15))
    assert (await ask(channel, OTHER, b"", timeout=0.3)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    await serving.start()
    assert (await stream).code is grpc.StatusCode.UNIMPLEMENTED
