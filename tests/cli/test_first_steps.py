"""What goes wrong in first steps ends in sentences with a next step and the right exit code, whatever the command."""

import signal
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from proxy.cli import COMMANDS

ROOT = Path(__file__).parents[2]

ASKING = {
    "models": ("models", "--model", "ssd", "--upstream"),
    "describe": ("describe", "ssd", "--upstream"),
    "example": ("example", "ssd", "--upstream"),
    "check": ("check", "request.pbtxt", "--upstream"),
    "replay": ("replay", "warmup", "--against"),
}
"""Commands that ask a server, but for its address."""

UNREADABLE = "\x1b[2J\udcff"
"""A file name that would clear the screen and is no UTF-8."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a request, a capture, a picture and an empty folder in it."""
    from tests.cli.test_replay import adding, write

    monkeypatch.chdir(tmp_path)
    Path("request.pbtxt").write_text('model_spec { name: "ssd" }')
    write(Path("warmup"), adding(1, 2))
    Path("picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    Path("empty").mkdir()
    return tmp_path


@pytest.fixture
def rest():
    """The address of a server that speaks HTTP/1, such as TF Serving's REST port."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1:{}".format(*server.server_address[1:])
        server.shutdown()


def sound(result, code):
    """The output, which neither steers a terminal nor shows our insides."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert all(line.isprintable() for line in result.output.splitlines()), result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    "command", sorted({*COMMANDS} - {"serve", "demo", "doctor", "explain", "config", "models", "top"})
)
def test_a_command_without_its_arguments_says_which(run, command):
    text = sound(run(command), 2)
    assert f"Try 'tfs-proxy {command} --help' for help." in text
    assert "Error: " in text


@pytest.mark.parametrize("command", ASKING)
def test_where_nothing_listens_the_next_step_is_the_doctor(run, nobody, command):
    text = sound(run(*ASKING[command], nobody), 2)
    assert f"no answer from {nobody}" in text
    assert "Connection refused" in text
    assert f"tfs-proxy doctor --upstream {nobody}" in text


@pytest.mark.parametrize("command", ASKING)
def test_the_rest_port_is_told_from_the_grpc_port(run, rest, command):
    text = sound(run(*ASKING[command], rest), 2)
    assert "Is this the gRPC port (8500 by default, REST has 8501)?" in text


@pytest.mark.parametrize("command", ASKING)
@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("localhost", "has no port"),
        ("http://localhost:8500", "must not have a scheme"),
        ("localhost:99999", "expected 1 to 65535"),
        ("", "is not HOST:PORT"),
        ("\udcff:8500", "is not UTF-8 text"),
    ],
)
def test_an_address_that_is_none_is_told_with_what_one_looks_like(run, command, address, sentence):
    assert sentence in sound(run(*ASKING[command], address), 2)


@pytest.mark.parametrize("command", ["describe", "example"])
def test_a_wrong_model_is_exit_code_1_and_told_what_to_compare(run, dev_server, command):
    text = sound(run(command, "nobody", "--upstream", dev_server.target), 1)
    assert "expected a model that the server has, got 'nobody'" in text
    assert "--model_name" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("describe", "{}"),
        ("example", "{}"),
        ("example", "m", "--signature", "{}"),
        ("describe", "m", "--label", "{}"),
        ("models", "--model", "{}"),
        ("doctor", "--model", "{}"),
        ("config", "--model", "{}"),
        ("config", "--listen", "{}:8600"),
        ("serve", "--upstream", "{}:8500"),
        ("dev-server", "--model", "{}=empty"),
    ],
    ids=" ".join,
)
def test_a_name_that_cannot_be_sent_is_wrong_usage(run, arguments):
    text = sound(run(*(each.format("\udcff") for each in arguments)), 2)
    assert "is not UTF-8 text" in text


FILES = {
    "check": ("check", "{}", "--path", "empty"),
    "describe": ("describe", "--path", "{}"),
    "example": ("example", "--path", "{}"),
    "replay": ("replay", "{}", "--against", "127.0.0.1:1"),
    "learn": ("learn", "{}"),
    "lint": ("lint", "{}"),
    "config": ("config", "--config", "{}"),
    "serve": ("serve", "--config", "{}"),
    "doctor": ("doctor", "--upstream", "127.0.0.1:1", "--config", "{}"),
    "dev-server": ("dev-server", "--model-config-file", "{}"),
}
"""Commands that read a file, which stands for {}."""


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("name", ["absent", UNREADABLE])
def test_a_file_that_is_not_there_is_named(run, command, name):
    text = sound(run(*(each.format(name) for each in FILES[command])), 2)
    assert "does not exist" in text or "o such file" in text or "there is nothing of that name" in text
    assert name != "absent" or "absent" in text


@pytest.mark.parametrize("command", FILES)
def test_a_file_of_another_kind_is_told_as_such(run, command):
    code = 1 if command in {"lint", "doctor"} else 2
    text = sound(run(*(each.format("picture.png") for each in FILES[command])), code)
    told = ("PNG image", "is a file: name the directory", "UTF-8 text", "no SavedModel in empty")
    assert any(each in text for each in told), text


@pytest.mark.parametrize("command", set(FILES) - {"lint"})
def test_a_folder_in_place_of_a_file_is_told_as_such(run, command):
    text = sound(run(*(each.format("empty") for each in FILES[command])), 2)
    assert "is a directory" in text.lower() or "no SavedModel in empty" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("capture", "--model", "m", "--out", "absent/warmup"), "absent is not a folder"),
        (("capture", "--model", "m", "--out", "/proc/warmup"), "cannot write into /proc"),
        (("capture", "--model", "m", "--out", "warmup"), "warmup exists: move it away, or name another file"),
        (("learn", "warmup", "--out", "absent/policy"), "cannot write absent/policy: no such file or directory"),
        (("learn", "warmup", "--out", "request.pbtxt"), "request.pbtxt exists: move it away"),
        (("demo", "--models-dir", "/proc/models"), "the models could not be built in /proc/models"),
    ],
)  # fmt: skip
def test_an_output_that_cannot_be_written_is_told_before_there_is_anything_to_write(run, arguments, sentence):
    assert sentence in sound(run(*arguments), 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ("models", "--model", "m", "--upstream"),
        ("describe", "m", "--upstream"),
        ("check", "request.pbtxt", "--upstream"),
        ("doctor", "--upstream"),
        ("replay", "warmup", "--against"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_ctrl_c_while_a_server_is_silent_ends_with_130_and_a_word(folder, arguments):
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-m", "proxy", *arguments, f"127.0.0.1:{server.getsockname()[1]}"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with server.accept()[0]:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "Interrupted.\n")
