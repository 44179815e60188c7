"""--allow-method: nothing else passes, in whatever mode, with either edge."""

import grpc
import pytest

from proxy.config import SettingsError
from proxy.config.reading import method
from proxy.edge.methods import AllowedMethods
from tests.edge.conftest import PREDICT, ask, predict

STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"


def test_a_method_is_compared_octet_by_octet_and_a_service_with_all_its_methods():
    allowed = AllowedMethods(("/a.B/C", "/d.E/*"))
    for name in ("/a.B/C", "/d.E/F", "/d.E/"):
        assert allowed.has(name)
    for name in (
        "/a.B/c",
        "/a.B/C/",
        "//a.B/C",
        "/a.B/D",
        "/d.E",
        "/d.E/F/G",
        "/x/d.E/F",
        "/d.e/F",
        "",
        "/*",
    ):
        assert not allowed.has(name)


@pytest.mark.parametrize(
    "written", ["Predict", "a.B/C", "/a.B", "/a.B/", "/*/*", "/a.B/C*", "/a..B/C", "/a.B/C d"]
)
def test_what_is_no_method_is_no_setting(written):
    with pytest.raises(SettingsError, match="is not a method"):
        method(written)


async def test_what_is_not_named_is_refused_before_it_reaches_the_server(serving, start_proxy, connect):
    proxy = await start_proxy(
        *(
            "--allow-method",
            PREDICT,
            "--allow-method",
            "/tensorflow.serving.ModelService/*",
            "--mode",
            "observe",
        )
    )
    channel = connect(proxy)
    assert (await ask(channel, "/grpc.health.v1.Health/Check", b"")).code is grpc.StatusCode.OK
    assert (await ask(channel, PREDICT, predict())).code is grpc.StatusCode.OK
    assert (await ask(channel, STATUS, b"\n\x03\n\x01m")).code is grpc.StatusCode.OK
    before = serving.calls["GetModelMetadata"]
    for name in (METADATA, "/some.Service/Method", "/tensorflow.ProfilerService/Profile", PREDICT.lower()):
        refused = await ask(channel, name, b"\n\x03\n\x01m")
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "METHOD_FORBIDDEN")
        assert "--allow-method" in refused.details
    assert serving.calls["GetModelMetadata"] == before
    assert not serving.calls["Profile"]


async def test_what_only_an_operator_needs_is_not_allowed_by_it(start_proxy, connect):
    proxy = await start_proxy("--allow-method", "/tensorflow.serving.ModelService/*")
    channel = connect(proxy)
    assert (await ask(channel, RELOAD, b"")).reason == "METHOD_FORBIDDEN"
    assert (await ask(channel, PREDICT, predict())).reason == "METHOD_FORBIDDEN"
