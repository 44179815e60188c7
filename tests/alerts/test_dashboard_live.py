"""The dashboard, asked as Grafana asks: after mixed traffic a real Prometheus has an answer to every query."""

from pathlib import Path

import grpc
import numpy as np
import pytest

from proxy.wire.protos import predict_pb2
from tests.alerts.conftest import BAD, GOOD, PAUSE
from tests.alerts.monitoring import until
from tests.deploy.dashboard import TARGETS, filled
from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import DT_FLOAT, signature_def
from tests.odd_servers import Tunnel, self_signed

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = """
models:
  watched:
    mode: observe
    severities: { VALUE_NOT_FINITE: warn }
"""
NAN = np.array([[np.nan, 0, 0]] * 2, "<f4").tobytes()
INTERVAL = "10s"


def not_a_number() -> bytes:
    request = predict_pb2.PredictRequest.FromString(predict("watched"))
    request.inputs["x"].tensor_content = NAN
    return request.SerializeToString()


def answer() -> bytes:
    response = predict_pb2.PredictResponse()
    response.model_spec.name, response.model_spec.version.value = "m", 1
    response.outputs["y"].dtype = 1
    response.outputs["y"].tensor_shape.dim.add(size=1)
    response.outputs["y"].tensor_content = NAN[:4]
    return response.SerializeToString()


async def test_every_query_of_the_dashboard_has_an_answer_after_mixed_traffic(scene, tmp_path: Path):
    settings = tmp_path / "proxy.yaml"
    settings.write_text(POLICY)
    cert = self_signed(tmp_path, "listen", 90)
    serving = await scene.serving("m", "watched")
    async with Tunnel(serving.target) as tunnel:
        proxy = await scene.start(
            *("--config", str(settings), "--upstream", tunnel.target, "--workers", "2"),
            *("--capture", str(tmp_path / "captured"), "--capture-sample", "1", "--output-sample", "1"),
            *("--max-message-bytes", "1KiB", "--max-concurrent-calls", "2", "--adaptive"),
        )
        tls = await scene.start(
            *("--upstream", serving.target, "--listen-cert", str(cert)),
            *("--listen-key", str(cert.with_suffix(".key"))),
        )
        scene.watching.watch(scene.namespace, proxy.admin, tls.admin)
        serving.answer("Predict", answer())
        channel = scene.channel(proxy)
        silent: dict[str, str] = {}

        async def happens() -> bool:
            """A round of everything, then what has no answer yet."""
            for message in (GOOD, BAD, not_a_number(), predict("watched", (3,)), predict("unknown")):
                await ask(channel, PREDICT, message)
            serving.fail("Predict", grpc.StatusCode.INTERNAL, "DNN library is not found.")
            await ask(channel, PREDICT, predict("watched"))
            serving.mend("Predict")
            with serving.hold("Predict") as held:
                waiting = [
                    channel.unary_unary(PREDICT)(predict("watched"), timeout=PAUSE * 10) for _ in range(4)
                ]
                await held.arrived()
                for call in waiting:
                    await call.code()
            serving.answer("Predict", answer())
            version = max(serving.models["m"]) + 1
            name = "x" if version % 2 else "renamed"
            serving.swap("m", version, {"serving_default": signature_def({name: (DT_FLOAT, (-1, 3))})})
            silent.clear()
            for panel, target in TARGETS:
                query = filled(target["expr"], INTERVAL)
                found = await scene.watching.ask(
                    query.replace('namespace=~".*"', f'namespace="{scene.namespace}"')
                )
                if not [each for each in found if each["value"][1] != "NaN"]:
                    silent[f"{panel['title']} {target['refId']}"] = query
            return not silent

        async def left() -> dict[str, str]:
            return silent

        await until(happens, left)
