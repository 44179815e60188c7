"""`tfs-proxy learn` reads captures and prints settings."""

import numpy as np
import yaml

from proxy.config import Settings, read_file
from proxy.wire.arrays import tensor_of
from proxy.wire.prediction_log import log_head
from proxy.wire.protos import predict_pb2
from proxy.wire.tfrecord import frame


def write(path, *models, kind="predict_log"):
    with path.open("wb") as out:
        for model in models:
            message = predict_pb2.PredictRequest()
            message.model_spec.name = model
            if kind == "predict_log":
                message.inputs["x"].CopyFrom(tensor_of(np.array([[0, 1]], np.float32)))
            request = message.SerializeToString()
            head = log_head(kind, len(request))
            before, behind = frame((head, request))
            out.write(b"".join((before, head, request, behind)))
    return path


def test_the_proposal_is_settings_that_a_proxy_takes(run, tmp_path):
    one, two = write(tmp_path / "one", "a", "b"), write(tmp_path / "two", "a")
    result = run("learn", one, two)
    assert result.exit_code == 0, result.output
    assert "from 3 recorded Predict requests; review it" in result.output
    content = yaml.safe_load(result.output)
    assert content["models"]["a"]["inputs"]["x"] == {"min": 0, "max": 1}
    out = tmp_path / "policy.yaml"
    assert run("learn", one, two, "--out", out).exit_code == 0
    assert set(Settings(**read_file(out)).models) == {"a", "b"}
    assert run("config", "--config", out).exit_code == 0


def test_an_existing_file_is_not_overwritten(run, tmp_path):
    out = tmp_path / "policy.yaml"
    out.write_text("precious")
    result = run("learn", write(tmp_path / "one", "a"), "--out", out)
    assert result.exit_code == 2
    assert "exists: move it away" in result.output
    assert out.read_text() == "precious"


def test_nothing_to_learn_from_is_exit_code_2(run, tmp_path):
    result = run("learn", write(tmp_path / "one", "a", kind="classify_log"))
    assert (result.exit_code, "no Predict requests in" in result.output) == (2, True)
    (tmp_path / "text").write_text("no capture")
    result = run("learn", tmp_path / "text")
    assert (result.exit_code, "this is text, not a capture or warm-up file" in result.output) == (2, True)
