"""tfs-proxy-slim: built, installed as anyone would, and asked for a prediction. No TensorFlow comes with it."""

import asyncio
import json
import os
import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import grpc
import pytest

from tests.edge.conftest import PREDICT, ask, predict
from tests.fake_serving import FakeServing

ROOT = Path(__file__).parents[2]
MOST_MEGABYTES = 100
OFFLINE = ("from versions: none", "Connection", "Temporary failure", "Read timed out", "403 ", "404 ")

ONE_SET = """
import importlib.machinery as machinery, sys
hidden = set(sys.argv[2:])
find = machinery.PathFinder.find_spec
machinery.PathFinder.find_spec = lambda name, *rest: None if name in hidden else find(name, *rest)
import proxy.wire.prediction_log
from proxy.wire.protos import predict_pb2, tensor_pb2
assert proxy.__file__.startswith(sys.argv[1]), proxy.__file__
request = predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(float_val=[1]))
assert predict_pb2.PredictRequest.FromString(request.SerializeToString()) == request
for module, name in ((tensor_pb2, "tensorflow"), (predict_pb2, "tensorflow_serving")):
    assert ("/carried/" in module.__file__) is (name in hidden), module.__file__
"""
"""The first argument is where the wheel was unpacked; the others are packages that are not installed."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slim")
    subprocess.run(
        [sys.executable, ROOT / "deploy" / "wheel" / "slim.py", folder], check=True, capture_output=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Path:
    """An environment into which pip has installed the wheel and what it asks for, and nothing else."""
    folder = wheel.parent / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "install", "--retries", "1", wheel], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode and any(each in done.stderr for each in OFFLINE):
        pytest.skip(f"no package index can be reached: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder


def test_it_asks_for_all_that_the_other_does_but_tensorflow(unpacked):
    (told,) = unpacked.glob("*.dist-info/METADATA")
    metadata = HeaderParser().parsestr(told.read_text())
    required = metadata.get_all("Requires-Dist")
    assert metadata["Name"] == "tfs-proxy-slim"
    assert not [each for each in required if "tensorflow" in each and "extra ==" not in each]
    assert {"grpcio", "protobuf", "aiohttp"} <= {re.split("[<>=;]", each)[0] for each in required}


def test_it_carries_generated_modules_and_nothing_else_of_tensorflow(unpacked):
    files = [path for path in (unpacked / "proxy" / "carried").rglob("*") if path.is_file()]
    assert all(path.name.endswith("_pb2.py") or path.name == "__init__.py" for path in files)
    assert sum(path.stat().st_size for path in files) < 1_000_000
    assert "tensorflow-serving-api 2." in (unpacked / "proxy" / "carried" / "__init__.py").read_text()


@pytest.mark.parametrize(
    "absent",
    [(), ("tensorflow",), ("tensorflow_serving",), ("tensorflow", "tensorflow_serving")],
    ids=lambda absent: " and ".join(absent) or "none",
)
def test_what_is_installed_counts_and_what_is_absent_is_carried_and_no_message_is_there_twice(
    unpacked, absent
):
    done = subprocess.run(
        [sys.executable, "-c", ONE_SET, unpacked, *absent],
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_is_installed_is_small(environment):
    files = [path for path in (environment / "lib").rglob("*") if path.is_file() and not path.is_symlink()]
    names = {
        path.name.partition("-")[0] for path in (environment / "lib").glob("*/site-packages/*.dist-info")
    }
    assert {"tfs_proxy_slim", "grpcio"} <= names
    assert not {"tensorflow", "tensorflow_serving_api", "numpy"} & names
    assert sum(path.stat().st_size for path in files) / 1e6 < MOST_MEGABYTES


async def test_a_call_goes_through_it_and_a_wrong_one_does_not(environment):
    async with FakeServing() as serving:
        serving.load("m")
        listen = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json")
        proxy = await asyncio.create_subprocess_exec(
            *(
                environment / "bin" / "tfs-proxy",
                "serve",
                "--upstream",
                serving.target,
                "--drain-seconds",
                "0",
                *listen,
            ),
            cwd=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            target = await listening(proxy.stderr)
            async with grpc.aio.insecure_channel(target) as channel:
                good = await ask(channel, PREDICT, predict(), wait_for_ready=True)
                wrong = await ask(channel, PREDICT, predict(shape=(3,)))
            assert (good.code, wrong.reason) == (grpc.StatusCode.OK, "RANK_MISMATCH")
        finally:
            proxy.terminate()
            await proxy.communicate()
        assert proxy.returncode == 0


async def listening(log: asyncio.StreamReader) -> str:
    """Where a proxy listens, once its log says so."""
    async with asyncio.timeout(30):
        while True:
            line = await log.readline()
            assert line, "it has ended"
            told = json.loads(line)
            if told["event"] == "serving":
                return told["listen"]
