"""The models of the demonstration do something plausible, and fail as real ones do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from proxy.devserver import demo_models
from proxy.wire.protos import predict_pb2, types_pb2

ROOT = Path(__file__).parents[2]


def build(folder):
    return subprocess.run(
        [sys.executable, "-m", "proxy.devserver.demo_models", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "models"
    build(path)
    return path


@pytest.fixture(scope="session")
def demo(folder, start_shared_dev_server):
    return start_shared_dev_server(*(f"--model={name}={folder / name}" for name in demo_models.MODELS))


def request(model, **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    for alias, values in inputs.items():
        proto = message.inputs[alias]
        for size in np.shape(values):
            proto.tensor_shape.dim.add(size=size)
        if isinstance(values, list):
            proto.dtype = types_pb2.DT_STRING
            proto.string_val.extend(values)
        else:
            proto.dtype = {"u": types_pb2.DT_UINT8, "f": types_pb2.DT_FLOAT, "i": types_pb2.DT_INT64}[
                values.dtype.kind
            ]
            proto.tensor_content = values.tobytes()
    return message


def outputs(answer):
    assert answer.code == "OK", answer.details
    response = predict_pb2.PredictResponse.FromString(answer.body)
    return {
        alias: np.array(proto.float_val).reshape([dim.size for dim in proto.tensor_shape.dim])
        for alias, proto in response.outputs.items()
    }


def test_what_is_there_is_not_built_again(folder):
    assert demo_models.complete(folder)
    before = (folder / "detector" / "1" / "saved_model.pb").stat().st_mtime_ns
    build(folder)
    assert (folder / "detector" / "1" / "saved_model.pb").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == ["models"]


def test_the_models_are_small(folder):
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 4_000_000


def test_the_detector_finds_a_red_and_a_blue_square(demo, connect):
    image = np.zeros([1, 480, 640, 3], np.uint8)
    image[0, 50:200, 60:200, 0] = 255
    image[0, 300:420, 400:600, 2] = 255
    found = outputs(connect(demo.target).predict(request("detector", image_tensor=image)))

    assert found["detection_boxes"].shape == (1, 100, 4)
    number = int(found["num_detections"][0])
    assert set(found["detection_classes"][0, :number]) == {1.0, 3.0}
    centres = found["detection_boxes"][0, :number].reshape(-1, 2, 2).mean(axis=1)
    for centre, kind in zip(centres, found["detection_classes"][0, :number], strict=True):
        assert kind == (1.0 if centre[1] < 0.5 else 3.0)


def test_the_classifier_names_the_colour(demo, connect):
    image = np.zeros([1, 300, 300, 3], np.float32)
    image[..., 1] = 0.8
    probabilities = outputs(connect(demo.target).predict(request("classifier", images=image)))
    assert probabilities["probabilities"].argmax() == 1


def test_the_text_model_weighs_words_and_ids(demo, connect):
    ids = np.full([2, 4], 500, np.int64)
    scores = outputs(connect(demo.target).predict(request("text", text=[b"Good food", b"awful"], ids=ids)))
    assert scores["score"] == pytest.approx([1.0, -2.0], abs=0.01)


def test_batches_of_different_size_fail_inside_the_text_model(demo, connect):
    ids = np.zeros([3, 4], np.int64)
    answer = connect(demo.target).predict(request("text", text=[b"a", b"b"], ids=ids))
    assert (answer.code, answer.details.splitlines()[0]) == (
        "INVALID_ARGUMENT",
        "Incompatible shapes: [2] vs. [3]",
    )


def test_an_image_without_its_batch_dimension_aborts_the_server(folder, start_dev_server, connect):
    server = start_dev_server(f"--model=classifier={folder / 'classifier'}")
    image = np.zeros([300, 300, 3], np.float32)
    assert connect(server.target).predict(request("classifier", images=image)).code == "UNAVAILABLE"
    assert server.process.wait(timeout=10) == -6


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(
        [sys.executable, "-m", "proxy.devserver.demo_models", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr == f"{tmp_path} holds other things: name a folder that is new or empty\n"
    assert (tmp_path / "thesis.txt").exists()
