"""Every signature there is to write a client for: those of the test models and of the demonstration."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from proxy.client_code.request import example_request
from proxy.client_code.server import Server
from proxy.core.types import ModelKey
from proxy.devserver.demo_models import MODELS
from proxy.upstream.client import ServingClient
from proxy.upstream.control import ChannelControl

ROOT = Path(__file__).parents[2]
SERVING = (
    *("ssd", "f300", "two", "unk", "twosig", "twosig_def", "half", "scalar", "fixed", "slow", "stateful"),
    *("echo", "cls", "conv", "convresize", "enc", "multi"),
    *("embed", "pair", "ragged", "nested", "sparse", "rnn"),
)


@pytest.fixture(scope="session")
def demo_server(tmp_path_factory, start_shared_dev_server):
    folder = tmp_path_factory.mktemp("demo") / "models"
    subprocess.run([sys.executable, "-m", "proxy.devserver.demo_models", folder], cwd=ROOT, check=True)
    return start_shared_dev_server(*(f"--model={name}={folder / name}" for name in MODELS))


@pytest.fixture(scope="session")
def every_request(dev_server, demo_server):
    """The example request of every signature, by `model_signature`."""
    return asyncio.run(_requests(dev_server, demo_server))


async def _requests(dev_server, demo_server):
    requests = {}
    for server, models in ((dev_server, SERVING), (demo_server, MODELS)):
        async with grpc.aio.insecure_channel(server.target) as channel:
            client = ServingClient(ChannelControl(channel))
            for model in models:
                servable = await client.lookup(ModelKey(model))
                for name in servable.signatures:
                    requests[f"{model}_{name}"] = example_request(
                        servable, ModelKey(model), name, Server(server.target)
                    )
    return requests


NODE_MODULES = ("@grpc/grpc-js@1.14.7", "protobufjs@7.5.4")


@pytest.fixture(scope="session")
def node_folder(kept, tmp_path_factory):
    """A folder in which a script finds what the Node clients need."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")

    def install(folder: Path) -> None:
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder)
        try:
            done = subprocess.run(
                ["npm", "install", *options, *NODE_MODULES],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        except subprocess.TimeoutExpired:
            pytest.skip("npm could not install within two minutes")
        if done.returncode:
            pytest.skip(f"npm could not install: {done.stderr.strip()[-200:]}")

    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(
        kept("node", " ".join(NODE_MODULES).encode(), install) / "node_modules"
    )
    return folder
