"""`tfs-proxy check FILE --fix OUT` writes the request that was meant, or says why it does not."""

import json
import os

import numpy as np
import pytest
from google.protobuf import json_format, text_format

from proxy.wire.arrays import tensor_of
from proxy.wire.protos import predict_pb2
from proxy.wire.tensors import array_of

PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def request(model="ssd", **arrays):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for alias, array in arrays.items():
        message.inputs[alias].CopyFrom(tensor_of(array))
    return message


@pytest.fixture
def fix(run, models_dir, tmp_path):
    """Run check --fix on a request; returns the result and the path of OUT."""

    def fix(message, *more, name="mended.pb"):
        source, out = tmp_path / "request.pb", tmp_path / name
        source.write_bytes(message.SerializeToString())
        found = run("check", source, "--path", models_dir / message.model_spec.name, "--fix", out, *more)
        assert source.read_bytes() == message.SerializeToString()
        return found, out

    return fix


def test_the_mended_request_is_the_one_that_was_meant(fix):
    result, out = fix(request(Image_Tensor=PIXELS[None]))
    assert result.exit_code == 0, result.output
    assert f"{out}: mended, would be forwarded" in result.output
    mended = predict_pb2.PredictRequest.FromString(out.read_bytes())
    assert list(mended.inputs) == ["image_tensor"]
    np.testing.assert_array_equal(array_of(mended.inputs["image_tensor"]), PIXELS[None])


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("mended.json", lambda text: json_format.Parse(text, predict_pb2.PredictRequest())),
        ("mended.pbtxt", lambda text: text_format.Parse(text, predict_pb2.PredictRequest())),
    ],
)
def test_the_name_of_the_output_says_how_it_is_written(fix, name, read):
    _, out = fix(request(image_tensor=PIXELS), name=name)
    np.testing.assert_array_equal(array_of(read(out.read_text()).inputs["image_tensor"]), PIXELS[None])


def test_a_request_that_is_right_is_not_written_again(fix):
    result, out = fix(request(image_tensor=PIXELS[None]))
    assert (result.exit_code, out.exists()) == (0, False)
    assert "there is nothing to mend" in result.output


def test_where_the_client_has_to_choose_nothing_is_written(fix):
    result, out = fix(request(image_tensor=PIXELS[None].astype(np.float32)))
    assert (result.exit_code, out.exists()) == (1, False)
    assert "not mended: what was meant is not certain" in result.output


def test_where_nothing_tells_what_was_meant_nothing_is_written(fix):
    result, out = fix(request("two", text=np.array([b"a"], object)))
    assert (result.exit_code, out.exists()) == (1, False)
    assert "not mended: nothing in the request tells what was meant" in result.output


def test_a_value_that_the_wanted_dtype_does_not_hold_is_never_rounded(fix):
    result, out = fix(request("twosig_def", x=np.array([[1.5, 3e38]])))
    assert result.exit_code == 0, result.output
    out.unlink()
    result, out = fix(request("twosig_def", x=np.array([[1.5, 3e39]])))
    assert (result.exit_code, out.exists()) == (1, False)
    assert "not mended: input 'x' holds values that are none of float32" in result.output
    result, out = fix(request("twosig_def", x=np.array([[1.5, 1e-60]])))
    assert (result.exit_code, out.exists()) == (1, False)


def test_json_tells_steps_and_where_the_request_is(fix):
    result, out = fix(request(image_tensor=PIXELS), "--json")
    (finding,) = json.loads(result.output)
    assert finding["mended"] == str(out)
    assert finding["mending"] == {
        "certainty": "the",
        "steps": [{"do": "expand_dims", "input": "image_tensor", "axis": 0}],
    }
    (violation,) = finding["violations"]
    assert (violation["certainty"], violation["remedies"]) == ("the", [finding["mending"]["steps"]])


def test_json_tells_why_nothing_was_written(fix):
    result, _ = fix(request(image_tensor=PIXELS[None].astype(np.float32)), "--json")
    (finding,) = json.loads(result.output)
    assert "not certain" in finding["not_mended"]
    assert "mended" not in finding


def test_the_file_itself_is_never_written_over(run, models_dir, tmp_path):
    source = tmp_path / "request.pb"
    source.write_bytes(request(image_tensor=PIXELS).SerializeToString())
    result = run("check", source, "--path", models_dir / "ssd", "--fix", source)
    assert result.exit_code == 2
    assert "would write over FILE" in result.output


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("mended", "name it .pb, .pbtxt or .json"),
        ("mended.npz", "name it .pb, .pbtxt or .json"),
        ("nowhere/mended.pb", "there is no directory"),
    ],
)
def test_an_output_that_cannot_be_is_told_before_anything_is_asked(run, tmp_path, out, words):
    source = tmp_path / "request.pb"
    source.write_bytes(request(image_tensor=PIXELS).SerializeToString())
    result = run("check", source, "--upstream", "127.0.0.1:1", "--fix", tmp_path / out)
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())


def test_a_pipe_is_never_replaced_by_a_file(run, tmp_path):
    (tmp_path / "request.pb").write_bytes(request(image_tensor=PIXELS).SerializeToString())
    os.mkfifo(tmp_path / "pipe.pb")
    result = run("check", tmp_path / "request.pb", "--upstream", "127.0.0.1:1", "--fix", tmp_path / "pipe.pb")
    assert result.exit_code == 2
    assert "no file but a pipe" in " ".join(result.output.split())
    assert (tmp_path / "pipe.pb").is_fifo()


def test_a_link_stays_and_what_it_points_to_is_written(fix, tmp_path):
    (tmp_path / "mended.pb").symlink_to("target.pb")
    result, _ = fix(request(image_tensor=PIXELS))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "mended.pb").is_symlink()
    assert (tmp_path / "target.pb").is_file()


def test_the_name_of_the_output_may_be_as_long_as_the_disk_allows(fix):
    result, _ = fix(request(image_tensor=PIXELS), name=f"{'x' * 250}.pb")
    assert result.exit_code == 0, result.output


def test_one_file_is_mended_at_a_time(run, tmp_path):
    for name in ("a.pb", "b.pb"):
        (tmp_path / name).write_bytes(request(image_tensor=PIXELS).SerializeToString())
    result = run("check", tmp_path / "a.pb", tmp_path / "b.pb", "--fix", tmp_path / "c.pb")
    assert result.exit_code == 2
    assert "one FILE at a time" in result.output
