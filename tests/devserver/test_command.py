"""The command: what it refuses, when it is ready, how it ends."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "proxy.devserver"]


def run(*flags):
    return subprocess.run(
        [*COMMAND, *flags], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def taken():
    """A port on which somebody listens already."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_help_teaches_by_example():
    done = run("--help")
    assert done.returncode == 0
    assert "tfs-proxy dev-server --model detector=/models/detector" in done.stdout


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "nothing to serve: give --model NAME=PATH or --model-config-file FILE"),
        (["--model", "ssd"], "'ssd' is not NAME=PATH"),
        (["--model", "=/tmp"], "'=/tmp' is not NAME=PATH"),
        (["--model", "ssd=/nowhere/ssd"], "'/nowhere/ssd' is not a directory"),
        (["--model", "a=/tmp", "--model", "a=/tmp"], "Illegal to list model a multiple times"),
        (["--model", "a=/tmp", "--listen", "8500"], "'8500' is not HOST:PORT"),
        (["--model", "a=/tmp", "--listen", "127.0.0.1:99999"], "'127.0.0.1:99999' is not HOST:PORT"),
        (["--model", "a=/tmp", "--poll-seconds", "0"], "0.0 is not in the range x>0"),
        (["--model-config-file", "/nowhere/models.config"], "'/nowhere/models.config' does not exist"),
    ],
)
def test_a_wrong_flag_ends_with_2_and_a_sentence(flags, sentence):
    done = run("--listen=127.0.0.1:0", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("model_config_list { config { name: 1 } }", "is not a ModelServerConfig in text format: 1:36"),
        ("", "must hold a model_config_list"),
        (
            'model_config_list { config { name: "a" base_path: "a" model_platform: "tensorflow" } }',
            "Expected model a to have an absolute path or URI; got base_path()=a",
        ),
    ],
)
def test_a_wrong_config_file_ends_with_2_and_a_sentence(text, sentence, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(text)
    done = run("--listen=127.0.0.1:0", f"--model-config-file={file}")
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.split())


def test_a_taken_port_ends_with_2_before_any_model_loads(taken, models_dir):
    done = run(f"--model=ssd={models_dir / 'ssd'}", f"--listen=127.0.0.1:{taken}")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{taken}: Address already in use" in done.stderr
    assert "loading" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_at_once(number, models_dir, start_dev_server):
    server = start_dev_server(f"--model=scalar={models_dir / 'scalar'}")
    server.process.send_signal(number)
    assert server.process.wait(timeout=2) == 0


def test_labels_of_a_config_file_may_name_versions_that_are_still_to_load(
    models_dir, tmp_path, start_dev_server
):
    file = tmp_path / "models.config"
    file.write_text(
        f'model_config_list {{ config {{ name: "multi" base_path: "{models_dir / "multi"}"'
        ' model_platform: "tensorflow" version_labels { key: "stable" value: 3 } } }'
    )
    assert start_dev_server(f"--model-config-file={file}").process.poll() is None


def test_the_port_stays_closed_until_every_model_has_a_version(models_dir, tmp_path, free):
    base = tmp_path / "late"
    base.mkdir()
    command = [*COMMAND, f"--model=late={base}", f"--listen=127.0.0.1:{free}", "--poll-seconds=0.02"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert f"late: waiting, because {base} holds no version to serve" in process.stderr.readline()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", free))

            shutil.copytree(models_dir / "scalar" / "1", tmp_path / "copying")
            (tmp_path / "copying").rename(base / "1")
            assert process.stdout.readline() == f"dev server ready on 127.0.0.1:{free}\n"
            socket.create_connection(("127.0.0.1", free)).close()
        finally:
            process.terminate()
