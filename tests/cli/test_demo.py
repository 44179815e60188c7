"""`tfs-proxy demo` as a user runs it: real processes, every row, and nothing left running."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from proxy.demo.processes import usual
from proxy.demo.requests import SAMPLES
from proxy.wire.protos import predict_pb2

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0

# What the installed script does, and then what came with it.
SCRIPT = """
import sys
from proxy.cli import main
try:
    main(prog_name="tfs-proxy")
finally:
    print("RUNTIME", any(name.startswith("tensorflow.python") for name in sys.modules), file=sys.stderr)
"""


def start(*arguments: object, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "demo", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "140"} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "models"


@pytest.fixture(scope="module")
def shown(models):
    """The whole demonstration, from models not yet built."""
    began = time.monotonic()
    process = start("--models-dir", models)
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors, time.monotonic() - began


def rows_of(output: str) -> list[list[str]]:
    """The cells of the table of requests, each as one line."""
    table = output[: output.index("The proxy's metrics that moved:")]
    rows: list[list[str]] = []
    for line in table.splitlines():
        if line.startswith("+-"):
            rows.append(["", "", ""])
        elif line.startswith("|"):
            cells = [cell.strip() for cell in line.split(" | ")]
            cells = [cell.removeprefix("| ").removesuffix(" |").strip() for cell in cells]
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    return [row for row in rows[1:] if row[0]]


def test_it_ends_well_and_in_time(shown):
    code, output, errors, seconds = shown
    assert code == 0, output + errors
    assert "Not as promised" not in output
    assert seconds < PATIENCE
    assert "Building the models in" in output


def test_every_request_has_a_row_with_both_answers(shown):
    rows = rows_of(shown[1])
    assert len(rows) == len(SAMPLES)
    for number, (row, sample) in enumerate(zip(rows, SAMPLES, strict=True), 1):
        assert row[0].startswith(f"{number}. {sample.title}")
        assert re.match(r"[A-Z_]+ ", row[1]), row
        if sample.reason is not None:
            assert sample.reason.value in row[2]
        else:
            assert row[2].startswith("OK ")


def test_the_silence_of_the_server_is_shown(shown):
    silent = [row for row in rows_of(shown[1]) if row[1].startswith("OK in silence")]
    assert len(silent) >= 5
    # The values that it made up stand there: zeros make every class equally likely.
    assert any("0.333, 0.333, 0.333" in row[1] for row in silent)


def test_the_death_of_the_server_is_shown_and_mended(shown):
    deadly, after = rows_of(shown[1])[-2:]
    assert deadly[1].startswith("UNAVAILABLE ")
    assert "The server is dead (killed by SIGABRT); it was started again." in deadly[1]
    assert "the batch dimension is missing" in deadly[2]
    assert after[1] == after[2]
    assert after[1].startswith("OK probabilities")


def test_the_metrics_are_those_of_what_was_sent(shown):
    output = shown[1]
    moved = re.findall(r"\| tfs_proxy_(\w+)_total +\| ([\w=]+) +\| +(\d+) \|", output)
    metrics = {(name, labels): int(count) for name, labels, count in moved}
    reasons = [sample.reason.value for sample in SAMPLES if sample.reason is not None]
    for reason in set(reasons):
        assert metrics["refusals", f"reason={reason}"] == reasons.count(reason)
        assert metrics["violations", f"reason={reason}"] >= reasons.count(reason)
    assert metrics["requests", "code=OK"] == len(SAMPLES) - len(reasons)
    summary = " ".join(output.splitlines()[-3:])
    assert f"{len(reasons)} wrong requests" in summary
    assert f"through the proxy {len(reasons)} were refused with a reason" in summary


def test_the_demonstration_itself_is_a_light_client(shown):
    assert shown[2].splitlines()[-1] == "RUNTIME False"


def test_without_a_terminal_it_is_plain(shown):
    assert shown[1].isascii()
    assert "\x1b" not in shown[1]
    assert max(map(len, shown[1].splitlines())) <= 140


def test_models_are_built_only_once_and_what_it_needs_is_gone_afterwards(shown, models, tmp_path):
    process = start("--models-dir", models, "--serve", TMPDIR=str(tmp_path))
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "print(stub.Predict" in line:
            break
    output = "".join(lines)
    assert "Building" not in output
    addresses = dict(re.findall(r"^  (proxy|model server) +(\S+)$", output, re.MULTILINE))
    with grpc.insecure_channel(addresses["proxy"]) as channel:
        predict = channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict",
            response_deserializer=predict_pb2.PredictResponse.FromString,
        )
        assert predict(SAMPLES[0].build().SerializeToString(), timeout=10).model_spec.name == "detector"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, rest.strip()) == (0, "Stopping.")
    for address in addresses.values():
        host, _, port = address.rpartition(":")
        with socket.socket() as client:
            assert client.connect_ex((host, int(port))) != 0
    assert not list(tmp_path.iterdir())


def test_what_stays_is_on_the_usual_port_unless_someone_else_is_there():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert usual(port) == "127.0.0.1:0"
    assert usual(port) == f"127.0.0.1:{port}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demonstration_leaves_nothing_running(shown, models, tmp_path, number):
    process = start("--models-dir", models, TMPDIR=str(tmp_path))
    for line in process.stdout:
        if line.startswith("Model server on "):
            target = line.split()[3].rstrip(",")
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.splitlines()[0] == "Interrupted."
    assert "Traceback" not in errors
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(target.rpartition(":")[2]))) != 0
    assert not list(tmp_path.iterdir())


def test_a_folder_of_someone_elses_is_refused(run, tmp_path):
    (tmp_path / "thesis.txt").write_text(json.dumps("years of work"))
    result = run("demo", "--models-dir", tmp_path)
    assert result.exit_code == 2
    assert "holds other things" in result.output
    assert (tmp_path / "thesis.txt").exists()
