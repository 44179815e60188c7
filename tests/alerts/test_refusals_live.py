"""Alerts about requests, with a real Prometheus and Alertmanager; a minute of the rules is a second here."""

import grpc
import pytest

from tests.alerts.conftest import BAD, GOOD
from tests.alerts.monitoring import until
from tests.edge.conftest import predict
from tests.fake_serving import DT_FLOAT, signature_def

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_wrong_client_is_told_of_until_it_stops(scene):
    proxy = await scene.proxy((await scene.serving()).target)
    wrong = ("TfsProxyRefusalsHigh", "TfsProxyRefusalsOfOneClient", "TfsProxyCrashProneRequests")
    async with scene.calls(proxy, GOOD):
        async with scene.calls(proxy, BAD):
            await scene.fires(*wrong)
        await scene.resolves()
    await scene.only(*wrong)


async def test_a_changed_signature_is_told_of_alone_until_the_old_version_is_back(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(serving.target)
    async with scene.calls(proxy, GOOD):
        await scene.sees('tfs_proxy_signature_drift_total{model="m"}')
        serving.swap("m", 2, {"serving_default": signature_def({"renamed": (DT_FLOAT, (-1, 3))})})
        await scene.fires("TfsProxyBreakingDrift", "TfsProxyRefusalsHigh")

        async def kept_back() -> bool:
            told = await scene.watching.told(scene.namespace)
            return told["TfsProxyRefusalsHigh"]["status"]["state"] == "suppressed"

        await until(kept_back, lambda: scene.watching.told(scene.namespace))
        serving.swap("m", 1)
        await scene.resolves()
    # One client is all there is, and it sends nothing of the wrong rank.
    await scene.only("TfsProxyBreakingDrift", "TfsProxyRefusalsHigh")


async def test_a_signature_that_nobody_can_confirm_is_told_of_until_somebody_can(scene):
    serving = await scene.serving()
    proxy = await scene.proxy(serving.target)
    async with scene.calls(proxy, GOOD, predict("m", (2, 2))):
        serving.fail("GetModelMetadata", grpc.StatusCode.UNAVAILABLE, "busy")
        await scene.fires("TfsProxySignatureUnconfirmed", "TfsProxySignatureFetchesFailing")
        serving.mend("GetModelMetadata")
        await scene.fires("TfsProxyRefusalsHigh")
    await scene.resolves()
    await scene.only(
        "TfsProxySignatureUnconfirmed", "TfsProxySignatureFetchesFailing", "TfsProxyRefusalsHigh"
    )


async def test_requests_that_go_unjudged_are_told_of_until_the_server_tells_its_metadata(scene):
    serving = await scene.serving()
    serving.fail("GetModelMetadata", grpc.StatusCode.PERMISSION_DENIED, "not for you")
    proxy = await scene.proxy(serving.target)
    async with scene.calls(proxy, GOOD):
        await scene.fires("TfsProxyJudgeFailures", "TfsProxySignatureFetchesFailing")
        serving.mend("GetModelMetadata")
        await scene.resolves()
    await scene.only("TfsProxyJudgeFailures", "TfsProxySignatureFetchesFailing")
