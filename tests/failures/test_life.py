"""Failures of models and connections over time: reloads, deaths, doors that stay closed."""

import asyncio
import json
import shutil
import subprocess
import sys
import urllib.request

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from proxy.wire.protos import model_management_pb2, predict_pb2
from tests import odd_servers
from tests.failures.conftest import telling
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def
from tests.judging import predict, tensor
from tests.proxy_process import running_proxy

REQUEST = predict("m", x=tensor("float32", (1, 3)))


@pytest.fixture
async def serving():
    async with FakeServing() as serving:
        serving.load("m")
        yield serving


@pytest.fixture
def through(background):
    """What a client is told by a proxy before `target`, once `event` is in its log."""

    def told(target, event="upstream_out_of_reach", flags=(), env=None, timeout=30):
        with running_proxy("--upstream", target, *flags, env=env) as proxy, telling(proxy) as tell:
            proxy.wait_for(event)
            return tell(REQUEST)

    return told


def test_f62_nobody_listens(through):
    with odd_servers.nobody() as target:
        told = through(target)
    assert told.code == "UNAVAILABLE"
    assert "nothing listens there" in told.words


def test_f45_f48_f50_a_port_that_is_not_open_may_wait_for_a_model(through):
    with odd_servers.nobody() as target:
        words = through(target).words
    assert "the port opens only when every configured model has a loaded version" in words


def test_f49_the_real_runtime_keeps_its_port_closed_until_every_model_has_a_version(
    through, models_dir, tmp_path
):
    (tmp_path / "late").mkdir()
    with odd_servers.nobody() as free:
        target = free
    served = ("--model", f"two={models_dir / 'two'}", "--model", f"late={tmp_path / 'late'}")
    command = [sys.executable, "-m", "proxy.devserver", "--listen", target, *served]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert "late: waiting" in process.stderr.readline()
            words = through(target).words
        finally:
            process.terminate()
            process.stderr.read()
    assert f"nothing listens there ({target} refused)" in words
    assert "the port opens only when every configured model has a loaded version" in words


def test_f60_a_forward_proxy_in_the_way(through, background):
    target = background(odd_servers.talking(odd_servers.nginx))
    told = through(
        target, flags=("--use-http-proxy",), env={"http_proxy": f"http://{target}", "no_proxy": ""}
    )
    assert f"calls go through the forward proxy {target} named by http_proxy" in told.words


def test_f51_f61_the_rest_port(through, background):
    told = through(background(odd_servers.talking(odd_servers.rest)))
    assert "speaks TensorFlow Serving's REST interface, not gRPC" in told.words


def test_f63_a_name_without_an_address(through):
    assert "'nosuch.invalid' has no address" in through("nosuch.invalid:8500").words


def test_f64_every_address_is_told_with_its_result(through):
    with odd_servers.nobody() as one, odd_servers.nobody() as other:
        words = through(f"ipv4:{one},{other}").words
    assert f"({one} refused, {other} refused)" in words


def test_f65_tls_on_one_side(through, background, tmp_path):
    pki = odd_servers.make_pki(tmp_path)
    serving = background(FakeServing(credentials=odd_servers.server_credentials(pki)))
    assert "speaks TLS and is spoken to in plaintext" in through(serving.target).words


def test_f14_the_loaders_private_signature_is_never_offered(background):
    serving = background(FakeServing())
    signature = signature_def({"x": (DT_FLOAT, (-1, 3))})
    serving.load("m", 1, {"a": signature, "__saved_model_init_op": signature})
    with running_proxy("--upstream", serving.target) as proxy, telling(proxy) as tell:
        told = tell(predict("m", "__saved_model_init_op", x=tensor("float32", (1, 3))))
    assert told.code == "FAILED_PRECONDITION"
    assert "the model has 'a'" in told.words or "'a'" in told.words
    assert told.words.count("__saved_model_init_op") == 1


def test_f17_the_components_of_a_ragged_input_are_asked_for(background):
    serving = background(FakeServing())
    parts = {"args_0": (DT_FLOAT, (-1,)), "args_0_1": (DT_FLOAT, (-1,))}
    serving.load("m", 1, {"serving_default": signature_def(parts)})
    with running_proxy("--upstream", serving.target) as proxy, telling(proxy) as tell:
        told = tell(predict("m", args_0=tensor("float32", (3,))))
    assert 'inputs["args_0_1"]' in told.words or "'args_0_1'" in told.words


def test_f16_an_input_that_a_new_version_renames_is_told_before_a_client_fails(background):
    serving = background(FakeServing())
    serving.load("m", 1, {"serving_default": signature_def({"input_1": (DT_FLOAT, (-1, 3))})})
    flags = ("--upstream", serving.target, "--model", "m", "--poll-seconds", "0.05")
    with running_proxy(*flags) as proxy, telling(proxy) as tell:
        request = predict("m", input_1=tensor("float32", (1, 3)))
        assert tell(request).code == "OK"
        serving.swap("m", 2, {"serving_default": signature_def({"input_2": (DT_FLOAT, (-1, 3))})})
        drift = proxy.wait_for("signature_drift")
        told = tell(request)
    assert drift["kind"] == "breaking"
    assert "input_2" in told.words


def test_f50_a_model_that_is_loading_is_worth_a_retry(background):
    serving = background(FakeServing())
    serving.load("m", 1, state="LOADING")
    with running_proxy("--upstream", serving.target) as proxy, telling(proxy) as tell:
        told = tell(REQUEST)
    assert told.code == "UNAVAILABLE"
    assert "version 1 still LOADING" in told.words


def test_f53_the_error_that_keeps_a_model_from_loading_reaches_the_client(background):
    serving = background(FakeServing())
    serving.load("m", 1, state="END", error=(5, "Op type not registered 'MyOp' in binary running on host."))
    with running_proxy("--upstream", serving.target) as proxy, telling(proxy) as tell:
        assert "Op type not registered 'MyOp'" in tell(REQUEST).words.replace("\\", "")


@pytest.mark.parametrize(
    ("mode", "code", "reached"),
    [("enforce", "PERMISSION_DENIED", 0), ("observe", "OK", 1), ("off", "OK", 1)],
)
def test_f112_a_reload_is_treated_as_the_mode_says(background, mode, code, reached):
    serving = background(FakeServing())
    reload = model_management_pb2.ReloadConfigRequest()
    reload.config.model_config_list.config.add(name="m", base_path="/models/m")
    with running_proxy("--upstream", serving.target, "--mode", mode) as proxy, telling(proxy) as tell:
        told = tell(reload, "/tensorflow.serving.ModelService/HandleReloadConfigRequest")
    assert (told.code, serving.calls["HandleReloadConfigRequest"]) == (code, reached)


@pytest.mark.parametrize("service", ["PredictionService", "ModelService"])
def test_f115_the_server_s_own_health_names_are_answered(background, service):
    serving = background(FakeServing())
    with running_proxy("--upstream", serving.target) as proxy, telling(proxy) as tell:
        proxy.wait_for("upstream_up")
        told = tell(health_pb2.HealthCheckRequest(service=service), "/grpc.health.v1.Health/Check")
    assert told.code == "OK"


def test_f100_the_proxy_does_not_load_tensorflow():
    code = "import sys, proxy.app; sys.exit('tensorflow.python' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_f74_f104_what_was_in_flight_when_the_server_died_is_named(serving):
    async with odd_servers.Tunnel(serving.target) as tunnel:
        running = running_proxy("--upstream", tunnel.target)
        proxy = await asyncio.to_thread(running.__enter__)
        async with grpc.aio.insecure_channel(proxy.target) as channel:
            with serving.hold("Predict") as hold:
                method = "/tensorflow.serving.PredictionService/Predict"
                call = channel.unary_unary(method)(REQUEST.SerializeToString(), timeout=20)
                await hold.arrived()
                tunnel.cut()
                details = await call.details()
        with await asyncio.to_thread(urllib.request.urlopen, f"http://{proxy.admin}/api/suspects") as answer:
            (death,) = json.load(answer)["deaths"]
        await asyncio.to_thread(running.__exit__, None, None, None)
    assert "the connection was lost with this request in flight" in details
    assert death["suspects"][0]["inputs"] == {"x": "float32[1,3]"}


@pytest.mark.parametrize(
    ("others", "words"), [(0, "executing, as no other call"), (2, "queued behind others")]
)
async def test_f58_f71_f72_f78_a_deadline_says_where_the_time_went(serving, others, words):
    running = running_proxy("--upstream", serving.target, "--default-deadline", "1")
    proxy = await asyncio.to_thread(running.__enter__)
    async with grpc.aio.insecure_channel(proxy.target) as channel:
        with serving.hold("Predict"):
            method = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            calls = [method(REQUEST.SerializeToString()) for _ in range(others + 1)]
            texts = [await call.details() for call in calls]
    await asyncio.to_thread(running.__exit__, None, None, None)
    assert any(words in text for text in texts)


def test_f104_the_real_runtime_dies_of_an_image_without_a_batch_and_the_image_is_the_suspect(
    models_dir, start_dev_server
):
    server = start_dev_server("--model", f"conv={models_dir / 'conv'}")
    flags = ("--upstream", server.target, "--model", "conv", "--mode", "observe")
    with running_proxy(*flags) as proxy, telling(proxy) as tell:
        proxy.wait_for("model_versions_changed")
        told = tell(predict("conv", images=tensor("float32", (300, 300, 3))))
        with urllib.request.urlopen(f"http://{proxy.admin}/api/suspects", timeout=10) as answer:
            (death,) = json.load(answer)["deaths"]
    assert told.code == "UNAVAILABLE"
    assert "the request may be why" in told.words
    assert "TF Serving can abort on such a shape" in told.words
    assert death["suspects"][0]["inputs"] == {"images": "float32[300,300,3]"}


async def test_f94_one_answer_to_every_input_is_told_to_the_operator(serving):
    response = predict_pb2.PredictResponse()
    response.outputs["y"].CopyFrom(tensor("float32", (1,), float_val=[0.5]))
    serving.answer("Predict", response.SerializeToString())

    def told():
        with (
            running_proxy("--upstream", serving.target, "--output-sample", "1") as proxy,
            telling(proxy) as tell,
        ):
            for number in range(8):
                assert tell(predict("m", x=tensor("float32", (1, 3), float_val=[number] * 3))).code == "OK"
            return proxy.wait_for("output_suspect")["text"]

    assert "at least 8 different inputs in a row had the very same outputs" in await asyncio.to_thread(told)


def test_f96_the_real_runtime_makes_an_infinity_of_finite_inputs(dev_server):
    values = np.full(4, 60_000, "<f2")  # twice that is no float16
    request = predict("half", x=tensor("float16", (1, 4), tensor_content=values.tobytes()))
    flags = ("--upstream", dev_server.target, "--output-sample", "1")
    with running_proxy(*flags) as proxy, telling(proxy) as tell:
        assert tell(request).code == "OK"
        text = proxy.wait_for("output_suspect")["text"]
    assert "NaN or infinity in output 'y', though the inputs are finite" in text


def test_f114_right_requests_whose_leading_dimensions_differ_are_served_without_a_word(dev_server):
    ragged = predict(
        "ragged",
        tokens=tensor("int64", (9,)),
        tokens_1=tensor("int64", (5,), int64_val=[0, 2, 2, 8, 9]),
    )
    sparse = predict(
        "sparse",
        features=tensor("int64", (7, 2)),
        features_1=tensor("float32", (7,)),
        features_2=tensor("int64", (2,), int64_val=[4, 10]),
    )
    stacked = predict("stacked", state=tensor("float32", (6, 2, 8)), x=tensor("float32", (2, 3, 4)))
    items = predict("retrieval", queries=tensor("float32", (1, 4)), items=tensor("float32", (50, 4)))
    with (
        running_proxy("--upstream", dev_server.target, "--max-batch", "4") as proxy,
        telling(proxy) as tell,
    ):
        for request in (ragged, sparse):
            told = tell(request)
            assert (told.code, told.words) == ("OK", "")
        for request in (stacked, items):
            first, then = tell(request), tell(request)
            assert (first.code, first.words.count("BATCH_MISMATCH")) == ("OK", 1)
            assert (then.code, then.words) == ("OK", "")


def test_f119_an_input_renamed_while_old_clients_call_is_not_explained_by_the_old_version(
    models_dir, tmp_path, start_dev_server
):
    base = tmp_path / "m"
    shutil.copytree(models_dir / "renamed" / "1", base / "1")
    server = start_dev_server("--model", f"m={base}", "--poll-seconds", "0.05")
    old = predict("m", keras_tensor=tensor("float32", (1, 3)))
    # Nobody but the failing clients can notice the swap.
    flags = ("--upstream", server.target, "--poll-seconds", "600", "--refresh-seconds", "3600")
    with running_proxy(*flags) as proxy, telling(proxy) as tell:
        assert tell(old).code == "OK"
        # Beside it first, so that the server never sees half a version.
        shutil.copytree(models_dir / "renamed" / "2", tmp_path / "2")
        (tmp_path / "2").rename(base / "2")
        while (first := tell(old)).code == "OK":
            pass
        drift = proxy.wait_for("signature_drift")
        then = tell(old)
    assert first.code == "INVALID_ARGUMENT"
    assert "input 'keras_tensor_2' is missing" in first.words
    assert "contradicts the signature known so far (version 1)" in first.words
    assert "takes 'keras_tensor'" not in first.words
    assert (drift["kind"], drift["old_version"], drift["new_version"]) == ("breaking", 1, 2)
    assert "version 2 accepts serving_default(keras_tensor_2: float32[?,3])" in then.words


@pytest.mark.parametrize(
    ("model", "signature"),
    [
        *(("ragged", name) for name in ("serving_default", "vectors", "rows")),
        ("nested", "serving_default"),
        *(("sparse", name) for name in ("serving_default", "mixed")),
        *(("rnn", name) for name in ("serving_default", "time_major")),
    ],
)
def test_f123_the_program_that_example_prints_for_inputs_that_belong_together_runs(
    dev_server, tmp_path, model, signature
):
    script = tmp_path / "client.py"
    with running_proxy("--upstream", dev_server.target) as proxy:
        command = ("example", model, "--signature", signature, "--lang", "python-light")
        program = subprocess.run(
            [sys.executable, "-m", "proxy", *command, "--upstream", proxy.target],
            capture_output=True,
            check=True,
        )
        script.write_bytes(program.stdout)
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "y " in done.stdout
