"""Whatever a target holds of credentials appears nowhere: every command and every surface, tried for real."""

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import grpc
import pytest

from proxy.config import DECLARED, about, reading
from tests.proxy_process import EDGES, ROOT, ProxyProcess

NOWHERE = "dns://user:s3cret@127.0.0.1:9/127.0.0.1:1"
SHOWN = "dns://***@127.0.0.1:9/127.0.0.1:1"
NO_PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "no_proxy"), "")


def tfs_proxy(*arguments: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        cwd=ROOT,
        env={**{k: v for k, v in os.environ.items() if k not in NO_PROXIES}, **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_the_settings_show_where_credentials_stood(tmp_path: Path, source, form):
    file = tmp_path / "proxy.yaml"
    file.write_text(f"upstream: {NOWHERE}")
    told = {
        "flag": lambda: tfs_proxy("config", "--upstream", NOWHERE, *form),
        "environment": lambda: tfs_proxy("config", *form, env={"TFS_PROXY_UPSTREAM": NOWHERE}),
        "file": lambda: tfs_proxy("config", "--config", str(file), *form),
    }[source]()
    assert "s3cret" not in told
    assert SHOWN in told


@pytest.mark.parametrize(
    "setting",
    # A path, or the name of a model, is none of an address, and may hold an @ of its own.
    [each for each in DECLARED if about(each).parse not in {reading.file, reading.folder, reading.text}],
    ids=lambda each: each.name,
)
@pytest.mark.parametrize("value", ["dns://user:s3cret@host", "user:s3cret@host:8500", "http://u:s3/s3cret@h"])
def test_no_setting_repeats_credentials_when_it_cannot_be_used(setting, value):
    with pytest.raises(ValueError) as caught:
        about(setting).parse(value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "command",
    [
        ("models", "--model", "m", "--upstream", NOWHERE),
        ("models", "--admin", "user:s3cret@127.0.0.1:1"),
        ("describe", "m", "--upstream", NOWHERE),
        ("example", "m", "--upstream", NOWHERE),
        ("doctor", "--upstream", NOWHERE),
        ("doctor", "--upstream", NOWHERE, "--json"),
    ],
    ids=" ".join,
)
def test_no_command_shows_them_when_there_is_no_answer(command):
    told = tfs_proxy(*command, env={"http_proxy": "http://me:s3cret@127.0.0.1:1"})
    assert "127.0.0.1:1" in told
    assert "s3cret" not in told


@pytest.mark.parametrize("edge", EDGES)
def test_neither_log_nor_admin_port_nor_a_status_shows_them(edge):
    async def call(target: str) -> grpc.aio.AioRpcError:
        async with grpc.aio.insecure_channel(target) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/a.B/C")(b"", timeout=10)
            return caught.value

    with ProxyProcess("--upstream", NOWHERE, "--use-http-proxy", *EDGES[edge], env={**NO_PROXIES}) as proxy:
        proxy.wait_for("upstream_out_of_reach")
        error = asyncio.run(call(proxy.target))
        pages = []
        for path in ("/", "/readyz?verbose", "/api/config", "/metrics", "/api/models", "/api/refusals"):
            try:
                with urllib.request.urlopen(f"http://{proxy.admin}{path}", timeout=5) as answer:
                    pages.append(answer.read().decode())
            except urllib.error.HTTPError as answer:
                with answer:
                    pages.append(answer.read().decode())
        told = [str(error), *pages, json.dumps(proxy.log), *proxy.noise]
    assert not [text for text in told if "s3cret" in text]
    assert SHOWN in proxy.wait_for("serving")["upstream"]
