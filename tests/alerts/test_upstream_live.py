"""Alerts about the server, with a real Prometheus and Alertmanager; a minute of the rules is a second here."""

import itertools

import grpc
import numpy as np
import pytest

from proxy.wire.protos import predict_pb2
from tests.alerts.conftest import BAD, BURN, GOOD
from tests.alerts.monitoring import until
from tests.edge.conftest import PREDICT, ask, predict
from tests.odd_servers import Tunnel

pytestmark = pytest.mark.asyncio(loop_scope="module")

RECOVERED = 'instance:tfs_proxy_upstream_up:min3m{namespace="%s"} == 1'


async def test_two_short_outages_fire_nothing_that_is_not_true_any_more(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(serving.target)
    for _ in range(2):
        await serving.stop()
        async with scene.calls(proxy, GOOD, BAD):
            await until(
                lambda: scene.watching.ask(f'tfs_proxy_upstream_up{{namespace="{scene.namespace}"}} == 0')
            )
            await serving.start()
        # All is well, and every range has passed the outage.
        await until(lambda: scene.watching.ask(RECOVERED % scene.namespace))
        await scene.resolves()
    # Where the proxy took a minute of the rules to come back, it was down for a minute.
    await scene.only("TfsProxyUpstreamDown")


async def test_a_long_outage_is_told_of_alone_until_the_server_is_back(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(serving.target)
    async with scene.calls(proxy, GOOD, BAD):
        await serving.stop()
        await scene.fires("TfsProxyUpstreamDown", BURN)

        async def kept_back() -> bool:
            return (await scene.watching.told(scene.namespace))[BURN]["status"]["state"] == "suppressed"

        await until(kept_back, lambda: scene.watching.told(scene.namespace))
        await serving.start()
        # The bad ones are refused again, as they should be.
        await scene.fires("TfsProxyRefusalsHigh")
    await scene.resolves()
    await scene.only("TfsProxyUpstreamDown", *REFUSED)


REFUSED = ("TfsProxyRefusalsHigh", "TfsProxyCrashProneRequests")


async def test_a_server_that_dies_again_and_again_is_told_of_until_it_lives(scene):
    serving = await scene.serving()
    async with Tunnel(serving.target) as tunnel:
        proxy = await scene.proxy(tunnel.target)
        channel = scene.channel(proxy)
        for number in itertools.count(1):
            with serving.hold("Predict") as held:
                lost = channel.unary_unary(PREDICT)(GOOD, timeout=10)
                await held.arrived()
                tunnel.drop()
                assert await lost.code() is grpc.StatusCode.UNAVAILABLE
            # What is lost within a second of it belongs to the same death.
            deaths = (
                f'tfs_proxy_upstream_deaths_total{{namespace="{scene.namespace}"}} offset 1500ms == {number}'
            )
            await until(lambda deaths=deaths: scene.watching.ask(deaths))
            if number == 2:
                break
            assert await scene.watching.firing(scene.namespace) == set()

            async def answered() -> bool:
                return (await ask(channel, PREDICT, GOOD)).code is grpc.StatusCode.OK

            await until(answered)
        await scene.fires("TfsProxyUpstreamDied")
        await scene.resolves()
    await scene.only("TfsProxyUpstreamDied", "TfsProxyUpstreamDown")


async def test_models_that_fail_inside_the_server_and_a_device_that_fails_are_told_of_until_they_work(scene):
    serving = await scene.serving("m", "broken")
    proxy = await scene.proxy(serving.target)
    texts = {
        "broken": "FeedInputs: unable to find feed output ToFloat:0",
        "m": "DNN library is not found.",
    }
    settle = serving._settle

    def fails(method: str, data: bytes) -> bytes:
        if method == "Predict":
            model = predict_pb2.PredictRequest.FromString(data).model_spec.name
            serving.fail("Predict", grpc.StatusCode.INTERNAL, texts[model])
        return settle(method, data)

    async with scene.calls(proxy, GOOD, predict("broken")):
        serving._settle = fails
        await scene.fires("TfsProxyModelBroken", "TfsProxyDeviceFault")
        serving._settle = settle
        serving.mend("Predict")
        await scene.resolves()
    await scene.only("TfsProxyModelBroken", "TfsProxyDeviceFault")


async def test_models_that_are_not_there_or_did_not_load_are_told_of_until_they_are_loaded(scene):
    serving = await scene.serving("m", "other")
    proxy = await scene.proxy(serving.target, "--model", "m", "--model", "other")
    async with scene.calls(proxy, GOOD):
        serving.load("m", 1, state="LOADING")
        serving.load("other", 2, state="END", error=(3, "Read less bytes than requested"))
        await scene.fires("TfsProxyModelNotAvailable", "TfsProxyModelLoadFailed")
        serving.load("m", 1)
        del serving.models["other"][2]
        await scene.resolves()
    await scene.only("TfsProxyModelNotAvailable", "TfsProxyModelLoadFailed")


async def test_suspect_outputs_are_told_of_until_they_are_well(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(serving.target, "--output-sample", "1")
    answer = predict_pb2.PredictResponse()
    answer.model_spec.name, answer.model_spec.version.value = "m", 1
    answer.outputs["y"].dtype = 1
    answer.outputs["y"].tensor_shape.dim.add(size=1)
    answer.outputs["y"].tensor_content = np.array([np.nan], "<f4").tobytes()
    async with scene.calls(proxy, GOOD):
        await scene.sees('tfs_proxy_outputs_checked_total{result="checked"}')
        serving.answer("Predict", answer.SerializeToString())
        await scene.fires("TfsProxyOutputsSuspect")
        serving.mend("Predict")
        await scene.resolves()
    await scene.only("TfsProxyOutputsSuspect")
