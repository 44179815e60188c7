"""What tests start is what they run themselves; and two proxies, one of each build, cannot be told apart."""

import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from proxy.build_info import build
from proxy.observe.log import (
    BOUND_HIT,
    OUTPUT_SUSPECT,
    REQUEST_REFUSED,
    REQUEST_WARNED,
    REQUEST_WOULD_BE_REFUSED,
    UPSTREAM_ERROR,
)
from tests.e2e.conftest import wait_until_ready
from tests.edge.test_differential import _ANSWERS as ANSWERS
from tests.edge.test_differential import _FAILURES as FAILURES
from tests.edge.test_differential import PREDICT, RAW, UNKNOWN, Edges, Serving, by_hand, facts
from tests.edge.test_differential import _calls as calls
from tests.proxy_process import EDGES, ROOT, ProxyProcess, running_proxy
from tests.transparency.scripted import channel_to

COMMANDS = {
    "module": [sys.executable, "-m", "proxy"],
    "script": [shutil.which("tfs-proxy", path=Path(sys.executable).parent)],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
def test_a_command_that_a_test_starts_runs_the_build_that_is_tested(command, elsewhere, tmp_path):
    if elsewhere and build().hot_path == "interpreted":
        pytest.skip("what is installed is run, whether or not that is this checkout")
    told = subprocess.run(
        [*COMMANDS[command], "--version"],
        cwd=tmp_path if elsewhere else ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told == f"tfs-proxy {build()}\n"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_proxy_that_a_test_starts_serves_with_the_build_that_is_tested(workers):
    with running_proxy("--upstream", "127.0.0.1:1", "--workers", workers) as proxy:
        assert proxy.wait_for("serving")["hot_path"] == build().hot_path
        assert f'hot_path="{build().hot_path}"' in metrics(proxy)["tfs_proxy_build_info"][0]


def metrics(proxy: ProxyProcess) -> dict[str, list[str]]:
    with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=20) as page:
        lines = page.read().decode().splitlines()
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("#"):
            found.setdefault(re.split(r"[{ ]", line, maxsplit=1)[0], []).append(line)
    return found


# === two builds ===

both = pytest.mark.skipif(build().hot_path == "interpreted", reason="the hot path is not compiled here")


@pytest.fixture(scope="module")
def proxies() -> Iterator[tuple[Serving, dict[str, ProxyProcess]]]:
    server = Serving()
    flags = (
        *("--upstream", server.target, "--model", "m", "--poll-seconds", "3600", "--refresh-seconds", "3600"),
        *(*EDGES["native"], "--access-log", "--output-sample", "1"),
    )
    with (
        ProxyProcess(*flags) as compiled,
        ProxyProcess(*flags, module="tests.compiled.interpreted") as interpreted,
    ):
        found = {"compiled": compiled, "interpreted": interpreted}
        for name, each in found.items():
            wait_until_ready(each)
            assert each.wait_for("serving")["hot_path"] == name
        yield server, found
    server.stop()


@pytest.fixture(scope="module")
def builds(proxies) -> Iterator[Edges]:
    server, found = proxies
    targets = {name: each.target for name, each in found.items()}
    with channel_to(targets["compiled"]) as one, channel_to(targets["interpreted"]) as other:
        yield Edges(server, targets, {"compiled": one, "interpreted": other})


@both
@pytest.mark.filterwarnings("ignore:Generating overly large repr")
@settings(max_examples=200, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(call=calls(), script=st.one_of(ANSWERS, ANSWERS, FAILURES))
def test_neither_end_can_tell_the_builds_apart(builds, call, script):
    if call.kind.endswith("unary"):
        script = replace(script, messages=script.messages[:1])
    # How much of a request arrives before a server that does not read it ends the call is a matter of luck.
    builds.server.script = script = replace(script, hang_up=False)
    heard = {}
    for name, (answer, seen) in builds.ask(call).items():
        # So is whether a handler has begun before a call is refused; a message it never got.
        heard[name] = facts(
            answer, [each for each in seen if each.messages or answer.code is grpc.StatusCode.OK]
        )
    if script.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        # What is said of a deadline tells how long the call took.
        for each in heard.values():
            del each["text"], each["trailing"]
    assert heard["compiled"] == heard["interpreted"]


@both
@pytest.mark.parametrize("path", [PREDICT, UNKNOWN])
@pytest.mark.parametrize("name", RAW)
def test_clients_that_frame_by_hand_get_the_same_answer_of_both_builds(builds, name, path):
    one, other = (by_hand(builds, target, name, path) for target in builds.targets.values())
    assert one == other


VOLATILE = (
    *("timestamp", "peer", "request_id", "seconds", "upstream_seconds"),
    *("listen", "admin", "hot_path", "targets"),
)
LIMITED = {
    *(REQUEST_REFUSED, REQUEST_WARNED, REQUEST_WOULD_BE_REFUSED),
    *(UPSTREAM_ERROR, OUTPUT_SUSPECT, BOUND_HIT),
}
"""At most so many lines of a kind in a second: which ones of them is a matter of time."""


@both
def test_both_builds_have_counted_and_logged_the_same(proxies, builds):
    """Of the calls of all tests above, or of one."""
    by_hand(builds, builds.targets["compiled"], "a message", PREDICT)
    by_hand(builds, builds.targets["interpreted"], "a message", PREDICT)
    counted, logged, kinds = {}, {}, {}
    for name, proxy in proxies[1].items():
        counted[name] = {
            key: lines
            for key, lines in metrics(proxy).items()
            if "seconds" not in key and not key.startswith(("python_", "process_", "tfs_proxy_build_info"))
        }
        logged[name] = [
            {key: type(value).__name__ if key in VOLATILE else value for key, value in line.items()}
            for line in proxy.log
            if line["event"] not in LIMITED
        ]
        kinds[name] = {(line["event"], line.get("reason")) for line in proxy.log}
    assert counted["compiled"] == counted["interpreted"]
    assert len(counted["compiled"]) > 20
    assert logged["compiled"] == logged["interpreted"]
    assert kinds["compiled"] == kinds["interpreted"]
