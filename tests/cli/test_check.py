"""`tfs-proxy check` says of a file what the proxy would say of the request."""

import io
import json

import numpy as np
import pytest
from google.protobuf import json_format, text_format

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2

GOOD = np.zeros((1, 4, 5, 3), np.uint8)
NO_BATCH = GOOD[0]


def request(model="ssd", alias="image_tensor", array=GOOD):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.inputs[alias].CopyFrom(tensor_of(array))
    return message


@pytest.fixture
def write(tmp_path):
    """Write a request in the form that the file's name asks for; returns its path."""

    def write(name: str, message=None):
        message = message or request()
        path = tmp_path / name
        if path.suffix == ".json":
            path.write_text(json_format.MessageToJson(message))
        elif path.suffix == ".pbtxt":
            path.write_text(text_format.MessageToString(message))
        else:
            path.write_bytes(message.SerializeToString())
        return path

    return write


@pytest.fixture
def ssd(models_dir):
    return models_dir / "ssd"


@pytest.mark.parametrize("name", ["request.pb", "request.json", "request.pbtxt"])
def test_a_good_request_is_accepted_in_every_form(run, write, ssd, name):
    result = run("check", write(name), "--path", ssd)
    assert result.exit_code == 0, result.output
    assert result.output.endswith(f"{name}: accepted by ssd version 1, signature serving_default\n")


@pytest.mark.parametrize("name", ["request.pb", "request.json", "request.pbtxt"])
def test_a_bad_one_is_refused_with_what_the_client_would_see(run, write, ssd, name):
    result = run("check", write(name, request(array=NO_BATCH)), "--path", ssd)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].endswith(": refused")
    assert lines[1].startswith(
        "  INVALID_ARGUMENT: input 'image_tensor': expected rank 4 [?,?,?,3], got rank 3"
    )
    assert '  - RANK_MISMATCH at inputs["image_tensor"].tensor_shape' in lines
    assert any(line.startswith("      hint") and "np.expand_dims(x, 0)" in line for line in lines)


def test_server_and_saved_model_give_the_same_verdict(run, write, ssd, dev_server):
    files = [write("good.pb"), write("bad.pb", request(alias="image"))]
    live, on_disk = (
        run("check", *files, *where, "--json")
        for where in (["--upstream", dev_server.target], ["--path", ssd])
    )
    assert (live.exit_code, json.loads(live.output)) == (1, json.loads(on_disk.output))


def test_the_json_holds_everything(run, write, ssd):
    result = run("check", write("bad.pb", request(alias="image")), "--path", ssd, "--json")
    (finding,) = json.loads(result.output)
    assert finding["file"].endswith("bad.pb")
    assert (finding["verdict"], finding["code"], finding["model"], finding["version"]) == (
        *("refuse", "INVALID_ARGUMENT"),
        *("ssd", 1),
    )
    assert finding["text"].startswith("2 problems: (1) input 'image'")
    assert [each["reason"] for each in finding["violations"]] == ["INPUT_UNKNOWN", "INPUT_MISSING"]
    assert finding["violations"][0]["field"] == 'inputs["image"]'


def test_a_warning_is_shown_and_does_not_refuse(run, write, models_dir):
    message = request("two", "ids", np.zeros((3, 4), np.int64))
    message.inputs["text"].CopyFrom(tensor_of(np.array(["a"])))
    result = run("check", write("two.pb", message), "--path", models_dir / "two")
    assert result.exit_code == 0
    assert "warning: BATCH_MISMATCH" in result.output


def test_a_severity_can_be_raised(run, write, models_dir):
    message = request("two", "ids", np.zeros((3, 4), np.int64))
    message.inputs["text"].CopyFrom(tensor_of(np.array(["a"])))
    result = run(
        *("check", write("two.pb", message), "--path", models_dir / "two"),
        *("--severity", "BATCH_MISMATCH=refuse"),
    )
    assert result.exit_code == 1


def test_the_mode_of_the_proxy_does_not_make_a_request_right(run, write, ssd, tmp_path):
    config = tmp_path / "proxy.yaml"
    config.write_text("mode: observe\nmodels: {ssd: {mode: 'off'}}\n")
    bad = write("bad.pb", request(array=NO_BATCH))
    assert run("check", bad, "--path", ssd, "--config", config).exit_code == 1


def test_models_and_versions_are_judged_by_the_server(run, write, dev_server):
    result = run("check", write("x.pb", request("SSD")), "--upstream", dev_server.target)
    assert result.exit_code == 1
    assert "NOT_FOUND: model: expected a model that the server has, got 'SSD'" in result.output


def test_a_saved_model_stands_for_whatever_model_is_named(run, write, ssd):
    result = run("check", write("x.pb", request("production-name")), "--path", ssd)
    assert result.output.endswith("accepted by production-name version 1, signature serving_default\n")


def test_arrays_are_a_request_too(run, models_dir, dev_server, tmp_path):
    arrays = tmp_path / "arrays.npz"
    np.savez(arrays, text=np.array(["a", "b"], dtype=object), ids=np.zeros((2, 4), np.int64))
    live = run("check", arrays, "--model", "two", "--upstream", dev_server.target)
    assert live.exit_code == 0, live.output
    assert run("check", arrays, "--path", models_dir / "two").exit_code == 0
    wrong = run("check", arrays, "--path", models_dir / "two", "--signature", "x")
    assert "FAILED_PRECONDITION: signature: expected 'serving_default'" in wrong.output


def test_bare_arrays_for_a_server_need_a_model(run, dev_server, tmp_path):
    np.savez(tmp_path / "arrays.npz", x=np.zeros(1))
    result = run("check", tmp_path / "arrays.npz", "--upstream", dev_server.target)
    assert result.exit_code == 2
    assert "say with --model which model they are for" in result.output


@pytest.mark.parametrize("form", [[], ["--format", "npz"]])
def test_a_dash_is_standard_input(run, ssd, form):
    stream = io.BytesIO()
    np.savez(stream, image_tensor=GOOD)
    result = run("check", "-", "--path", ssd, *form, stdin=stream.getvalue())
    assert result.exit_code == 0, result.output
    assert result.output.startswith("<stdin>: accepted by ssd")


def test_an_unreadable_file_does_not_hide_the_others(run, write, ssd, tmp_path):
    (tmp_path / "photo").write_bytes(b"\xff\xd8\xff\xe0")
    (tmp_path / "empty").write_bytes(b"")
    result = run("check", tmp_path / "photo", tmp_path / "empty", write("good.pb"), "--path", ssd)
    assert result.exit_code == 2
    first, second, third = result.output.splitlines()
    assert "photo: this is a JPEG image, not a PredictRequest;" in first
    assert "empty: is empty" in second
    assert "good.pb: accepted" in third


def test_bytes_that_are_no_message_are_refused_as_the_proxy_would(run, ssd):
    result = run("check", "-", "--format", "binary", "--path", ssd, stdin=b"\xff\xff")
    assert result.exit_code == 1
    assert "REQUEST_MALFORMED at message" in result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Missing argument"),
        (["/nowhere.pb"], "No such file"),
        (["-", "--format", "xml"], "'binary', 'text', 'json', 'npz'"),
        (["-", "--path", "/nowhere"], "no SavedModel in /nowhere"),
    ],
)
def test_wrong_usage_is_told_apart_from_findings(run, arguments, problem):
    result = run("check", *arguments, stdin=request().SerializeToString())
    assert result.exit_code == 2
    assert problem in result.output


def test_a_directory_is_no_request(run, ssd, tmp_path):
    result = run("check", tmp_path, "--path", ssd)
    assert result.exit_code == 2
    assert "directory" in result.output.lower()


def test_an_unreachable_server_is_no_finding(run, write, nobody):
    result = run("check", write("x.pb"), "--upstream", nobody)
    assert result.exit_code == 2
    assert f"no answer from {nobody}" in result.output


def test_what_a_name_holds_cannot_play_with_the_terminal(run, write, ssd):
    result = run("check", write("x.pb", request(alias="[red]\x1b[31m")), "--path", ssd)
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "[red]" in result.output
