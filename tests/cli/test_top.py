"""`tfs-proxy top` against a running proxy: printed once, and in a real terminal (tmux) at two widths."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live_proxy import Live, live_proxy, traffic
from tests.proxy_process import ROOT

PATIENCE = 30.0
TMUX = shutil.which("tmux")
in_tmux = pytest.mark.skipif(TMUX is None, reason="tmux is not installed (Debian: tmux)")


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with live_proxy() as live:
        yield live


def top(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", "top", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


# === once ===


@pytest.mark.parametrize("columns", ["80", "120"])
def test_once_everything_is_printed_as_wide_as_it_should_be(live, columns):
    done = top("--admin", live.admin, "--once", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= int(columns)
    for words in (
        "ready",
        "native",
        live.serving.target,
        "calls ",
        "refused",
        "PROBLEMS 3",
        "MODELS 1",
        "1 AVAILABLE",
    ):
        assert words in done.stdout
    for reason in ("RANK_MISMATCH", "MODEL_NOT_FOUND", "REQUEST_MALFORMED"):
        assert sum(reason in line for line in lines) == 1
    assert "\x1b" not in done.stdout


def test_without_a_terminal_it_prints_once_too(live):
    done = top("--admin", f"http://{live.admin}/")
    assert (done.returncode, "PROBLEMS 3" in done.stdout) == (0, True)


def test_json_is_what_the_admin_port_has_answered(live):
    done = top("--admin", live.admin, "--once", "--json")
    found = json.loads(done.stdout)
    assert set(found) == {"status", "history", "problems", "models"}
    assert found["problems"]["total"] == 3
    assert [each["name"] for each in found["models"]] == ["m"]


def test_a_proxy_that_does_not_answer_is_told_with_its_address():
    done = top("--admin", "127.0.0.1:1", "--once")
    assert done.returncode == 2
    assert done.stderr == "Error: no answer from http://127.0.0.1:1: Connection refused\n"


def test_a_port_that_is_no_admin_port_is_told_as_one(live):
    done = top("--admin", live.proxy.target, "--once")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert done.stderr.startswith(f"Error: no answer from http://{live.proxy.target}: ")


@pytest.mark.parametrize("admin", ["ftp://x", "http://", "127.0.0.1:port", "127.0.0.1:99999", "http://[::1"])
def test_an_address_that_is_none_is_told_before_anything_is_asked(admin):
    done = top("--admin", admin, "--once")
    assert (done.returncode, "--admin must be" in done.stderr) == (2, True)


class _WantsToken(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        right = self.headers.get("Authorization") == "Bearer s3cret"
        self.send_response(500 if right else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def wants_token() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _WantsToken) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_token_goes_along_and_is_never_shown(wants_token, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    without = top("--admin", wants_token, "--once")
    assert (without.returncode, "--token-file" in without.stderr) == (2, True)
    with_it = top("--admin", wants_token, "--token-file", str(token), "--once")
    assert (with_it.returncode, "500" in with_it.stderr) == (2, True)
    assert "s3cret" not in with_it.stdout + with_it.stderr


# === in a terminal ===


class Screen:
    """A terminal with a shell that runs one command and then tells its exit code."""

    def __init__(self, folder: Path, width: int, height: int, *arguments: str) -> None:
        self._socket = str(folder / "tmux")
        code = folder / "code"
        self._code = code
        command = " ".join([sys.executable, "-m", "proxy", "top", *arguments])
        script = f"trap : INT; stty -g > {folder}/before; {command}; echo $? > {code}.part; stty -g > {folder}/after; mv {code}.part {code}; cat"
        self._tmux(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height)),
            *("-c", str(ROOT), "sh", "-c", script),
            env={"LC_ALL": "C.UTF-8"},
        )
        self._folder = folder

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        return subprocess.run(
            [str(TMUX), "-u", "-S", self._socket, *arguments],
            env=os.environ | (env or {}),
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        ).stdout

    @property
    def lines(self) -> list[str]:
        return self._tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def until(self, condition: Callable[[str], bool]) -> str:
        """What is on the screen once this is true of it; it may be seen while it is half drawn."""
        end = time.monotonic() + PATIENCE
        while not condition(shown := "\n".join(self.lines)):
            assert time.monotonic() < end, shown
            time.sleep(0.05)
        return shown

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def pid(self) -> int:
        shell = int(self._tmux("display-message", "-p", "#{pane_pid}"))
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(child)

    def code(self) -> int:
        """The exit code; the terminal is as it was before."""
        end = time.monotonic() + PATIENCE
        while not self._code.exists():
            assert time.monotonic() < end, self.lines
            time.sleep(0.05)
        assert (self._folder / "after").read_text() == (self._folder / "before").read_text()
        return int(self._code.read_text())

    def close(self) -> None:
        self._tmux("kill-server")


@pytest.fixture
def screen(tmp_path) -> Iterator[Callable[..., Screen]]:
    opened = []

    def open_(width: int, height: int, *arguments: str) -> Screen:
        opened.append(Screen(tmp_path, width, height, *arguments))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@in_tmux
@pytest.mark.parametrize("width", [80, 120])
def test_it_fills_a_terminal_and_obeys_keys(live, screen, width):
    shown = screen(width, 30, "--admin", live.admin, "--interval", "0.2")
    text = shown.until(lambda text: "MODELS 1" in text and "\nq quit" in text)
    lines = text.split("\n")
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("tfs-proxy ")
    assert "ready" in lines[0]
    assert lines[-1].startswith("q quit")
    for words in (
        "up for",
        "calls",
        "latency",
        "connections",
        "PROBLEMS 3",
        "RANK_MISMATCH",
        "MODEL_NOT_FOUND",
        "▁",
        "█",
    ):
        assert words in text
    shown.press("m")
    shown.until(lambda text: "PROBLEMS 1 of 3  (model m)" in text and "MODEL_NOT_FOUND" not in text)
    shown.press("Enter")
    text = shown.until(lambda text: "EXAMPLES" in text and "esc back" in text)
    for words in (
        "rank 2 [?,3]",
        "rank 1 [3]",
        "remedy",
        "x: float32[3]",
        "SENT BY",
        "docs/runbook.md#rank_mismatch",
    ):
        assert words in text
    shown.press("Escape")
    shown.until(lambda text: "PROBLEMS 1 of 3" in text)
    shown.press("Escape")
    shown.until(lambda text: "PROBLEMS 3\n" in text)
    shown.press("r")
    shown.until(lambda text: "(reason MODEL_NOT_FOUND)" in text)
    shown.press("Escape", "j", "Down", "k", "j", "Enter")
    shown.until(lambda text: "EXAMPLES" in text and "RANK_MISMATCH" not in text)
    shown.press("q")
    assert shown.code() == 0


@in_tmux
def test_what_happens_meanwhile_is_seen_and_a_new_size_is_filled(live, screen):
    shown = screen(120, 40, "--admin", live.admin, "--interval", "0.2")
    shown.until(lambda text: "PROBLEMS" in text)
    before = shown.until(lambda text: "MODEL_NOT_FOUND" in text)
    count = int(next(line for line in before.split("\n") if "MODEL_NOT_FOUND" in line).split()[0])
    live.do(traffic(live.proxy.target))
    shown.until(
        lambda text: any(
            line.startswith(f"{count + 1} ") and "MODEL_NOT_FOUND" in line for line in text.split("\n")
        )
    )
    shown.resize(80, 20)
    shown.until(lambda text: len(text.split("\n")) == 20 and text.split("\n")[-1].startswith("q quit"))
    shown.resize(100, 30)
    shown.until(lambda text: len(text.split("\n")) == 30 and text.split("\n")[-1].startswith("q quit"))
    shown.press("C-z")
    shown.press("C-c")
    assert shown.code() == 130
    assert "Traceback" not in "\n".join(shown.lines)


@in_tmux
def test_a_proxy_that_is_not_there_is_asked_again_until_it_is(live, screen):
    """And SIGTERM gives the terminal back."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _WantsToken, bind_and_activate=False) as server:
        server.server_bind()
        address = f"127.0.0.1:{server.server_port}"
        shown = screen(80, 24, "--admin", address, "--interval", "0.2")
        text = shown.until(lambda text: "Connection refused" in text and "q quit" in text)
        assert f"no answer from http://{address}" in text
        assert "trying again every 0.2 s" in text.replace("\n", " ")
        server.server_activate()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        shown.until(lambda text: "401" in text)
        server.shutdown()
        thread.join()
    os.kill(shown.pid(), signal.SIGTERM)
    assert shown.code() == 143
