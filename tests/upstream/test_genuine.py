"""Cache and watch against real SavedModels on the real TensorFlow runtime."""

from collections.abc import AsyncIterator

import pytest

from proxy.core.availability import Absence
from proxy.core.types import ModelKey, TensorSpec
from proxy.upstream.channel import open_channel
from proxy.upstream.control import ChannelControl
from proxy.upstream.models import ModelWatch
from proxy.upstream.signatures import SignatureCache
from proxy.wire.metadata import servable_of_saved_model


@pytest.fixture
async def cache(dev_server) -> AsyncIterator[SignatureCache]:
    async with open_channel(dev_server.target) as channel:
        cache = SignatureCache(ChannelControl(channel))
        yield cache
        await cache.stop()


async def test_the_signature_of_a_detector_is_what_its_export_says(cache):
    servable = await cache.lookup(ModelKey("ssd"), 10)
    assert servable.version == 1
    assert set(servable.signatures) == {"serving_default"}
    signature = servable.signature("")
    assert signature.inputs == {
        "image_tensor": TensorSpec("image_tensor", 4, (-1, -1, -1, 3), "serving_default_image_tensor:0")
    }
    assert set(signature.outputs) == {
        "detection_boxes",
        "detection_classes",
        "detection_scores",
        "num_detections",
    }


@pytest.mark.parametrize("model", ["ssd", "f300", "two", "unk", "twosig", "scalar", "fixed", "echo", "cls"])
async def test_server_and_saved_model_describe_the_same_servable(cache, models_dir, model):
    assert await cache.lookup(ModelKey(model), 10) == servable_of_saved_model(models_dir / model, model)


async def test_unknown_rank_and_scalar_are_two_things(cache):
    unknown = (await cache.lookup(ModelKey("unk"), 10)).signature("").inputs["x"]
    scalar = (await cache.lookup(ModelKey("scalar"), 10)).signature("").inputs["x"]
    assert (unknown.shape, scalar.shape) == (None, ())


async def test_latest_and_a_version_of_a_model_with_two(cache):
    assert (await cache.lookup(ModelKey("multi"), 10)).version == 3
    assert (await cache.lookup(ModelKey("multi", version=1), 10)).version == 1


async def test_absences_are_told_apart_by_what_the_server_says(cache):
    nosuch = await cache.lookup(ModelKey("nosuch"), 10)
    version = await cache.lookup(ModelKey("multi", version=2), 10)
    label = await cache.lookup(ModelKey("ssd", label="stable"), 10)
    corrupt = await cache.lookup(ModelKey("corrupt"), 10)
    assert nosuch == Absence(ModelKey("nosuch"))
    assert [(each.version, each.state) for each in version.versions] == [(3, "AVAILABLE"), (1, "AVAILABLE")]
    assert [(each.version, each.state) for each in label.versions] == [(1, "AVAILABLE")]
    assert [(each.version, each.state) for each in corrupt.versions] == [(1, "END")]
    assert corrupt.versions[0].error_message


async def test_the_watch_knows_which_versions_are_available(dev_server, heard):
    async with open_channel(dev_server.target) as channel:
        cache = SignatureCache(ChannelControl(channel), configured=["multi"], listener=heard)
        watch = ModelWatch(ChannelControl(channel), cache, configured=["multi"], listener=heard)
        await watch.start()
        while not heard.fetches:
            await heard.something()
        assert watch.model("multi").available == (3, 1)
        assert cache.peek(ModelKey("multi")).version == 3
        await watch.stop()
        await cache.stop()
