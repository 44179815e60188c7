"""`tfs-proxy doctor` names the cause, tried as a new user would: real sockets, a real server, real files."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests import odd_servers
from tests.fake_serving import DT_FLOAT, FakeServing, signature_def
from tests.proxy_process import EDGES, running_proxy

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def doctor(run):
    """Run the doctor; its lines as data, faults first, after the text form has been printed without complaint."""

    def invoke(*arguments, exit_code):
        plain = run("doctor", *arguments)
        assert plain.exit_code == exit_code, plain.output
        assert plain.output.isascii() or "'" in plain.output
        result = run("doctor", "--json", *arguments)
        assert result.exit_code == exit_code
        told = json.loads(result.output)
        assert told["ok"] is (exit_code == 0)
        return told["lines"]

    return invoke


def faults(lines):
    return [line for line in lines if line["mark"] == "fault"]


def first_fault(lines):
    (fault, *_) = faults(lines)
    assert fault["todo"].endswith(".")
    return fault


@pytest.fixture
def background():
    """Keep an async context manager open on a loop of its own, so that the command can run its own here."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    stack = contextlib.AsyncExitStack()

    def enter(manager):
        return asyncio.run_coroutine_threadsafe(stack.enter_async_context(manager), loop).result(20)

    yield enter
    asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_server_that_is_down(doctor, nobody):
    fault = first_fault(doctor("--upstream", nobody, exit_code=1))
    assert fault["topic"] == "connection"
    assert f"nothing listens there ({nobody} refused)" in fault["seen"]
    assert "F62" in fault["failures"]


def test_a_wrong_host(doctor):
    fault = first_fault(doctor("--upstream", "nosuch.invalid:8500", exit_code=1))
    assert fault["topic"] == "name"
    assert "'nosuch.invalid' has no address" in fault["seen"]


def test_the_rest_port(doctor, background):
    target = background(odd_servers.talking(odd_servers.rest))
    fault = first_fault(doctor("--upstream", target, exit_code=1))
    assert "speaks TensorFlow Serving's REST interface, not gRPC" in fault["seen"]
    assert "8500" in fault["todo"]


def test_a_server_that_wants_tls(doctor, background, tmp_path):
    pki = odd_servers.make_pki(tmp_path)
    serving = background(FakeServing(credentials=odd_servers.server_credentials(pki)))
    fault = first_fault(doctor("--upstream", serving.target, exit_code=1))
    assert "speaks TLS and is spoken to in plaintext" in fault["seen"]
    assert "--upstream-tls" in fault["todo"]


def test_a_server_that_does_not_know_tls(doctor, background):
    serving = background(FakeServing())
    fault = first_fault(doctor("--upstream", serving.target, "--upstream-tls", exit_code=1))
    assert "speaks plaintext and is spoken to in TLS" in fault["seen"]


def test_a_misspelt_model(doctor, dev_server, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(
        'model_config_list { config { name: "two" base_path: "/models/two" model_platform: "tensorflow" } }'
    )
    lines = doctor("--upstream", dev_server.target, "--model", "tow", "--config", config, exit_code=1)
    fault = next(line for line in faults(lines) if line["topic"] == "model tow")
    assert "did you mean 'two'?" in fault["seen"]
    assert any(line["topic"] == "signature two/serving_default" for line in lines)


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(
    ("asked", "hint"),
    [("detectr", "did you mean 'detector'?"), ("zzz", "models seen here: 'bert', 'detector'")],
)
def test_through_a_proxy_a_misspelt_model_is_compared_with_those_that_are_served(
    doctor, background, edge, asked, hint
):
    serving = background(FakeServing())
    serving.load("detector")
    serving.load("bert")
    flags = [flag for name in ("detector", "bert", asked) for flag in ("--model", name)]
    with running_proxy("--upstream", serving.target, *flags, *EDGES[edge]) as proxy:
        wait_until_served(proxy, "bert", "detector")
        fault = first_fault(doctor("--upstream", proxy.target, "--model", asked, exit_code=1))
        assert hint in fault["seen"]
        (line,) = [
            line for line in doctor("--upstream", proxy.target, exit_code=0) if line["topic"] == "models"
        ]
    assert "seen here: 'bert', 'detector'" in line["seen"]


def wait_until_served(proxy, *models):
    """Until the proxy's own health says so of each."""
    with grpc.insecure_channel(proxy.target) as channel:
        for model in models:
            request = health_pb2.HealthCheckRequest(service=f"model/{model}")
            for answer in health_pb2_grpc.HealthStub(channel).Watch(request, timeout=20):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    break


def test_a_misspelt_model_is_not_offered_as_its_own_mending(doctor, background):
    serving = background(FakeServing())
    serving.load("detector")
    fault = first_fault(
        doctor("--upstream", serving.target, "--model", "detectr", "--model", "zzz", exit_code=1)
    )
    assert fault["seen"].count("detectr") == 1
    assert "zzz" not in fault["seen"]


def test_a_missing_version(doctor, dev_server):
    fault = first_fault(
        doctor("--upstream", dev_server.target, "--model", "multi", "--version", 2, exit_code=1)
    )
    assert "the server has 3 AVAILABLE, 1 AVAILABLE" in fault["seen"]
    assert "F43" in fault["failures"]


def test_a_model_that_is_loading(doctor, background):
    serving = background(FakeServing())
    serving.load("m", 1, state="LOADING")
    fault = first_fault(doctor("--upstream", serving.target, "--model", "m", exit_code=1))
    assert "version 1 is LOADING: it is still loading" in fault["seen"]


def test_a_corrupt_saved_model(doctor, dev_server, models_dir):
    lines = doctor(
        *("--upstream", dev_server.target, "--model", "corrupt", "--path", models_dir / "corrupt"),
        exit_code=1,
    )
    by_server, on_disk, *_ = faults(lines)
    assert "failed to load, the server says: 'Read less bytes than requested'" in by_server["seen"]
    assert "saved_model.pb cannot be parsed" in by_server["seen"]
    assert on_disk["topic"] == "files"
    assert "[saved-model-unreadable]" in on_disk["seen"]


def test_a_base_path_that_is_not_there(doctor, nobody, tmp_path):
    config = tmp_path / "models.config"
    config.write_text(
        'model_config_list { config { name: "m" base_path: "/modles/m" model_platform: "tensorflow" } }'
    )
    lines = doctor("--upstream", nobody, "--config", config, "--root", tmp_path, exit_code=1)
    fault = next(line for line in faults(lines) if line["topic"] == "config")
    assert "[base-path-not-found]" in fault["seen"]
    assert "F45" in fault["failures"]


def test_a_base_path_that_points_at_a_version(doctor, nobody, models_dir):
    lines = doctor("--upstream", nobody, "--path", models_dir / "two" / "1" / "variables", exit_code=1)
    assert any(line["topic"] == "files" for line in faults(lines))


def test_a_forward_proxy_in_the_way(background, dev_server, nobody):
    """In a process of its own: gRPC reads the environment once."""

    def lines_with(**environment):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "proxy",
                "doctor",
                "--upstream",
                dev_server.target,
                "--model",
                "two",
                "--json",
            ],
            cwd=ROOT,
            env=os.environ | {"no_proxy": "", "no_grpc_proxy": ""} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return [line for line in json.loads(done.stdout)["lines"] if line["topic"] == "forward proxy"]

    (fault,) = lines_with(http_proxy=f"http://{nobody}")
    assert fault["mark"] == "fault"
    assert f"http_proxy names {nobody}" in fault["seen"]
    assert "directly the server does answer" in fault["seen"]
    assert fault["failures"] == ["F60"]
    (exempt,) = lines_with(http_proxy=f"http://{nobody}", no_grpc_proxy="127.0.0.1")
    assert exempt["mark"] == "ok"


def test_answers_beyond_the_4_mib_that_clients_take(doctor, background):
    serving = background(FakeServing())
    large = {"mask": (DT_FLOAT, (-1, 1200, 1200))}
    serving.load("m", 1, {"serving_default": signature_def({"x": (DT_FLOAT, (-1, 3))}, large)})
    fault = first_fault(doctor("--upstream", serving.target, "--model", "m", exit_code=1))
    assert "5.5 MiB at least; gRPC clients receive 4 MiB" in fault["seen"]
    assert fault["failures"] == ["F69"]


def test_answers_beyond_4_mib_of_which_the_signature_says_nothing(doctor, background):
    serving = background(FakeServing())
    serving.load("m")
    serving.answer("Predict", bytes(5 << 20))
    fault = first_fault(doctor("--upstream", serving.target, "--model", "m", "--probe", exit_code=1))
    assert "the answer to a request of zeros has 5.0 MiB" in fault["seen"]


def test_a_healthy_server(doctor, dev_server, models_dir):
    lines = doctor(
        *("--upstream", dev_server.target, "--model", "two", "--path", models_dir / "two", "--probe"),
        exit_code=0,
    )
    topics = {line["topic"] for line in lines if line["mark"] == "ok"}
    assert topics >= {
        "name",
        "connection",
        "protocol",
        "gRPC",
        "keepalive",
        "message size",
        "model two",
        "files",
    }
    assert any("a request of zeros is answered in" in line["seen"] for line in lines)


@pytest.mark.parametrize("model", ["ragged", "nested", "sparse", "rnn"])
def test_a_probe_of_inputs_that_belong_together_is_answered(doctor, dev_server, model):
    lines = doctor("--upstream", dev_server.target, "--model", model, "--probe", exit_code=0)
    told = [line["seen"] for line in lines if line["topic"].startswith("signature")]
    answered = sum("a request of zeros is answered in" in seen for seen in told)
    assert answered == sum(seen.startswith("version") for seen in told)


def test_without_a_name_it_says_that_the_server_cannot_list_its_models(doctor, dev_server):
    lines = doctor("--upstream", dev_server.target, exit_code=0)
    (note,) = [line for line in lines if line["topic"] == "models"]
    assert "--model" in note["todo"]


def test_a_grpc_server_that_is_not_tensorflow_serving(doctor, background):
    import grpc

    class Elsewhere(FakeServing):
        def service(self, handler_call_details: grpc.HandlerCallDetails):
            return None

    serving = background(Elsewhere())
    fault = first_fault(doctor("--upstream", serving.target, exit_code=1))
    assert "it is not TensorFlow Serving" in fault["seen"]


def test_the_first_thing_to_mend_comes_last_for_whoever_reads_only_the_end(run, nobody):
    result = run("doctor", "--upstream", nobody)
    assert result.output.splitlines()[-1].startswith(
        "The first thing to mend: connection: nothing listens there"
    )


def test_a_text_of_the_server_cannot_steer_the_terminal(run, background):
    serving = background(FakeServing())
    serving.load("m", 1, {"\x1b[2J": signature_def({"x": (DT_FLOAT, (-1, 3))})})
    result = run("doctor", "--upstream", serving.target, "--model", "m")
    assert "\x1b" not in result.output


def test_an_unusable_target_is_wrong_usage(run):
    result = run("doctor", "--upstream", "http://localhost:8500")
    assert result.exit_code == 2
    assert "must not have a scheme" in result.output
