"""Code for a proxy that asks for something of its clients: copied from the page, it works as it stands."""

import asyncio
import html
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from proxy.client_code.server import TOKEN_VARIABLE, Server
from tests.certificates import Authority, key_of
from tests.client_code.test_python import RUN_ALL
from tests.proxy_process import EDGES, running_proxy
from tests.test_app import until_ready

TOKEN = "0123456789abcdef-client"
TLS, CERTIFICATE, TOKENS = "TLS", "a certificate", "a token"
ASKS = {
    "a_token": ((TOKENS,), "native"),
    "tls": ((TLS,), "native"),
    "all": ((TLS, CERTIFICATE, TOKENS), "native"),
    "all_on_grpcio": ((TLS, CERTIFICATE, TOKENS), "grpcio"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    """Beside ca.pem, which the code names: client.pem and client.key, the proxy's certificate and its tokens."""
    made = Authority(tmp_path_factory.mktemp("authority"))
    made.sign("client", "DNS:client.example")
    # Not the address that is called.
    made.sign("server", "DNS:*.models.example,DNS:proxy.models.example")
    tokens = made.folder / "tokens"
    tokens.write_text(f"me:{TOKEN}\n")
    tokens.chmod(0o600)
    return made


@pytest.fixture(scope="module", params=ASKS)
def asking(request, authority, dev_server):
    """A proxy that asks for what is the parameter, and what that is."""
    asked, edge = ASKS[request.param]
    server = authority.folder / "server.pem"
    flags = {
        TLS: ("--listen-cert", server, "--listen-key", key_of(server)),
        CERTIFICATE: ("--listen-client-ca", authority.roots),
        TOKENS: ("--client-tokens", authority.folder / "tokens"),
    }
    chosen = [str(flag) for each in asked for flag in flags[each]]
    with running_proxy(
        *EDGES[edge], "--upstream", dev_server.target, "--model", "two", "--poll-seconds", "0.2", *chosen
    ) as proxy:
        asyncio.run(until_ready(proxy))
        # Ready is who has the model; its signature may still be under way.
        for _ in range(200):
            if copied(proxy.admin):
                break
            time.sleep(0.05)
        yield proxy, asked


def copied(admin: str) -> dict[str, str]:
    """The code on the page of the model, by language."""
    with urllib.request.urlopen(f"http://{admin}/models/two", timeout=20) as answer:
        text = answer.read().decode()
    found = re.findall(r'<pre data-copy="([^"]+) code"[^>]*><code>(.*?)</code></pre>', text, re.DOTALL)
    return {language: html.unescape(code) for language, code in found}


def ran(folder: Path, *command: object, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {TOKEN_VARIABLE: token},
        capture_output=True,
        text=True,
        check=False,
    )


def test_python_from_the_page_gets_an_answer(asking, authority, tmp_path):
    code = copied(asking[0].admin)
    scripts = []
    for language in ("Python", "Python, light"):
        scripts.append(tmp_path / f"{len(scripts)}.py")
        scripts[-1].write_text(code[language], encoding="utf-8")
    done = ran(authority.folder, sys.executable, RUN_ALL, *scripts)
    results = json.loads(done.stdout)
    assert [each["error"] for each in results.values()] == [None, None]
    assert all("ids_out int64 (1, 4) [0 0 0 0]" in each["printed"] for each in results.values())


def test_node_from_the_page_gets_an_answer(asking, authority, node_folder):
    # Modules are looked for beside the script.
    script = node_folder / f"{'-'.join(asking[1])}.js"
    script.write_text(copied(asking[0].admin)["Node"], encoding="utf-8")
    done = ran(authority.folder, "node", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ids_out dtype 9 shape [ 1, 4 ]" in done.stdout


def test_the_command_writes_code_that_works_and_asks_for_the_signature_likewise(asking, authority, tmp_path):
    proxy, asked = asking
    files = {
        TLS: ("--upstream-ca", "ca.pem", "--upstream-server-name", "proxy.models.example"),
        CERTIFICATE: ("--upstream-cert", "client.pem", "--upstream-key", "client.key"),
    }
    flags = [flag for each in asked for flag in files.get(each, ())]
    if TOKENS not in asked:
        flags.append("--no-token")
    command = (sys.executable, "-m", "proxy", "example", "two", "--lang", "python-light")
    printed = ran(authority.folder, *command, "--upstream", proxy.target, *flags)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert TOKEN not in printed.stdout
    script = tmp_path / "client.py"
    script.write_text(printed.stdout, encoding="utf-8")
    done = ran(authority.folder, sys.executable, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ids_out int64 (1, 4)" in done.stdout
    if TOKENS in asked:
        wrong = ran(
            authority.folder, *command, "--upstream", proxy.target, *flags, token="another-0123456789"
        )
        assert wrong.returncode == 2
        assert "wants a token, or another one: UNAUTHENTICATED" in wrong.stderr
        assert f"Put yours in the variable {TOKEN_VARIABLE}." in wrong.stderr
        refused = ran(authority.folder, sys.executable, script, token="another-0123456789")
        assert refused.stderr.startswith("UNAUTHENTICATED: ")


def test_the_page_says_what_the_code_takes_from_where_it_runs(asking):
    proxy, asked = asking
    with urllib.request.urlopen(f"http://{proxy.admin}/models/two", timeout=20) as answer:
        text = answer.read().decode()
    assert ("<li>ca.pem: " in text) is (TLS in asked)
    assert ("<li>client.pem and client.key: " in text) is (CERTIFICATE in asked)
    assert (f"<li>the environment variable {TOKEN_VARIABLE}: " in text) is (TOKENS in asked)
    assert TOKEN not in text
    told = {
        (TLS,): "TLS",
        (TOKENS,): "a token",
        (TLS, CERTIFICATE, TOKENS): "TLS, a certificate of their own and a token",
    }
    with urllib.request.urlopen(f"http://{proxy.admin}/", timeout=20) as answer:
        assert f" with {told[asked]}, and" in answer.read().decode()


def test_what_is_needed_is_one_line_each_whatever_files_are_called():
    odd = "a\nb\u2028'\"\\"
    server = Server("h:1", True, odd, None, odd, odd, True)
    needs = list(server.needs())
    assert len(needs) == 3
    assert all(each.isascii() and each.isprintable() for each in needs)
    assert list(Server("h:1").needs()) == []
