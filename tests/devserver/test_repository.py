"""Versions come, serve and go (measured, sections P to V; the server of those rows retried nothing)."""

import shutil
import time

import pytest

from proxy.wire.protos import (
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    saved_model_pb2,
    tensor_pb2,
    types_pb2,
)

PREDICT = "/tensorflow.serving.PredictionService/Predict"
STATUS = "/tensorflow.serving.ModelService/GetModelStatus"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"
FAST = "--poll-seconds=0.02"


def model_config(name, path, *, labels=(), versions=None, platform="tensorflow"):
    """One ModelConfig; versions: None for the latest, "all", or a list for the policy `specific`."""
    reload = model_management_pb2.ReloadConfigRequest()
    config = reload.config.model_config_list.config.add(
        name=name, base_path=str(path), model_platform=platform, version_labels=dict(labels)
    )
    if versions == "all":
        config.model_version_policy.all.SetInParent()
    elif versions:
        config.model_version_policy.specific.versions.extend(versions)
    return config


def reload(client, *configs, timeout=30):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.SetInParent()
    request.config.model_config_list.config.extend(configs)
    return client.call(RELOAD, request, timeout)


def x_request(model, version=None, label=None):
    """A scalar 1.0 for the input x of `scalar` and, as a vector of one, of `multi`."""
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=model))
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    request.inputs["x"].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[1.0]))
    request.inputs["x"].tensor_shape.SetInParent()
    return request


def slow_request(n, model="slow"):
    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=model))
    request.inputs["n"].CopyFrom(tensor_pb2.TensorProto(dtype=types_pb2.DT_INT64, int64_val=[n]))
    request.inputs["n"].tensor_shape.dim.add(size=1)
    return request


def served_version(answer):
    assert answer.code == "OK", answer.details
    return predict_pb2.PredictResponse.FromString(answer.body).model_spec.version.value


def add_version(source, base, version):
    """Let a version directory appear at once, as a deployment should."""
    shutil.copytree(source, base / "copying")
    (base / "copying").rename(base / str(version))


def until(condition, seconds=20):
    """The first true value of a condition that a server will come to fulfil."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
    return value


@pytest.fixture
def base(tmp_path):
    """An empty base path for a model."""
    path = tmp_path / "base"
    path.mkdir()
    return path


@pytest.fixture
def good(models_dir, start_dev_server, connect):
    """A client of a server that serves `good`, a healthy model, and polls often."""
    return connect(start_dev_server(f"--model=good={models_dir / 'scalar'}", FAST).target)


@pytest.fixture
def good_config(models_dir):
    return model_config("good", models_dir / "scalar")


def test_labels_name_versions_per_model(good, good_config, models_dir):
    multi = models_dir / "multi"
    assert reload(good, good_config, model_config("multi", multi, versions="all")).code == "OK"
    until(lambda: good.states("multi") == dict.fromkeys((3, 2, 1), "AVAILABLE"))
    labelled = model_config("multi", multi, versions="all", labels={"stable": 1, "canary": 3})
    assert reload(good, good_config, labelled).code == "OK"

    assert served_version(good.predict(x_request("multi", label="stable"))) == 1
    assert served_version(good.predict(x_request("multi", label="canary"))) == 3
    for model, label in (("multi", "Stable"), ("nosuch", "stable"), ("good", "stable")):
        answer = good.predict(x_request(model, label=label))
        assert (answer.code, answer.details) == (
            "INVALID_ARGUMENT",
            f"Unrecognized servable version label: {label}",
        )
    absent = model_config("multi", multi, versions="all", labels={"new": 9})
    answer = reload(good, good_config, absent)
    assert (answer.code, answer.details) == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 9 of model multi, which is not currently available for inference",
    )


@pytest.mark.parametrize(
    ("configs", "details"),
    [
        (
            [("good", "/m", "tensorflow"), ("good", "/m", "tensorflow")],
            "Illegal to list model good multiple times in config list",
        ),
        (
            [("rel", "rel/x", "tensorflow")],
            "Expected model rel to have an absolute path or URI; got base_path()=rel/x",
        ),
        ([("tt", "/m", "torch")], "Model tt requests unsupported platform torch"),
        (
            [("tt", "/m", "")],
            (
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                "ModelServerConfig::model_platform, model name is tt"
            ),
        ),
    ],
)
def test_a_reload_that_makes_no_sense_changes_nothing(configs, details, good):
    answer = reload(good, *(model_config(name, path, platform=platform) for name, path, platform in configs))
    assert (answer.code, answer.details) == ("INVALID_ARGUMENT", details)
    assert good.predict(x_request("good")).code == "OK"


def test_a_reload_without_a_list_of_models_is_refused(good):
    answer = good.call(RELOAD)
    assert (answer.code, answer.details) == (
        "INVALID_ARGUMENT",
        (
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        ),
    )


def test_a_model_goes_with_an_empty_list_and_comes_back(good, good_config):
    answer = reload(good)
    assert model_management_pb2.ReloadConfigResponse.FromString(answer.body).HasField("status")
    until(lambda: good.states("good") == {1: "END"})
    answer = good.predict(x_request("good"))
    assert (answer.code, answer.details) == ("NOT_FOUND", "Servable not found for request: Latest(good)")

    assert reload(good, good_config).code == "OK"
    assert good.states("good") == {1: "AVAILABLE"}
    assert good.predict(x_request("good")).code == "OK"


def test_a_loading_version_is_not_found_and_only_its_status_says_why(
    good, good_config, models_dir, base, warm_up_with
):
    shutil.copytree(models_dir / "slow" / "1", base / "1")
    warm_up_with(base / "1", slow_request(3000))
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.extend([good_config, model_config("loading", base)])
    reloading = good.channel.unary_unary(RELOAD).future(request.SerializeToString(), timeout=30)

    until(lambda: good.states("loading") == {1: "LOADING"})
    for version, text in ((None, "Latest(loading)"), (1, "Specific(loading, 1)")):
        answer = good.predict(x_request("loading", version))
        assert (answer.code, answer.details) == ("NOT_FOUND", f"Servable not found for request: {text}")
    assert good.predict(x_request("good")).code == "OK"
    assert not reloading.done()
    reloading.result()
    assert good.states("loading") == {1: "AVAILABLE"}


def test_a_new_version_takes_over_without_a_request_lost(models_dir, base, start_dev_server, connect):
    add_version(models_dir / "multi" / "1", base, 1)
    client = connect(start_dev_server(f"--model=rolling={base}", FAST).target)
    seen = [served_version(client.predict(x_request("rolling")))]
    add_version(models_dir / "multi" / "2", base, 2)
    while client.states("rolling") != {2: "AVAILABLE", 1: "END"}:
        seen.append(served_version(client.predict(x_request("rolling"))))
        assert len(seen) < 20000

    assert seen == sorted(seen)
    assert (seen[0], served_version(client.predict(x_request("rolling")))) == (1, 2)
    answer = client.predict(x_request("rolling", 1))
    assert (answer.code, answer.details) == (
        "NOT_FOUND",
        "Servable not found for request: Specific(rolling, 1)",
    )


def test_a_version_is_unloaded_once_its_last_request_is_done(models_dir, base, start_dev_server, connect):
    add_version(models_dir / "slow" / "1", base, 1)
    client = connect(start_dev_server(f"--model=slow={base}", FAST).target)
    running = client.channel.unary_unary(PREDICT).future(slow_request(3000).SerializeToString(), timeout=60)
    # Calls are begun in the order in which they arrive: when this one is done, the slow one is running.
    assert client.predict(slow_request(1)).code == "OK"
    add_version(models_dir / "slow" / "1", base, 2)

    until(lambda: client.states("slow") == {2: "AVAILABLE", 1: "UNLOADING"})
    assert not running.done()
    assert predict_pb2.PredictResponse.FromString(running.result()).model_spec.version.value == 1
    until(lambda: client.states("slow") == {2: "AVAILABLE", 1: "END"})


def test_the_older_version_serves_again_when_the_newer_vanishes(models_dir, base, start_dev_server, connect):
    add_version(models_dir / "multi" / "1", base, 1)
    add_version(models_dir / "multi" / "2", base, 2)
    client = connect(start_dev_server(f"--model=m={base}", FAST).target)
    assert client.states("m") == {2: "AVAILABLE"}
    (base / "2").rename(base / "gone")
    until(lambda: client.states("m") == {2: "END", 1: "AVAILABLE"})
    assert served_version(client.predict(x_request("m"))) == 1


def test_a_corrupt_new_version_leaves_the_old_one_serving(models_dir, base, start_dev_server, connect):
    add_version(models_dir / "multi" / "1", base, 1)
    client = connect(start_dev_server(f"--model=m={base}", FAST).target)
    add_version(models_dir / "corrupt" / "1", base, 2)
    until(lambda: client.states("m") == {2: "END", 1: "AVAILABLE"})

    status = client.call(
        STATUS, get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="m"))
    )
    newest = get_model_status_pb2.GetModelStatusResponse.FromString(status.body).model_version_status[0]
    assert (newest.status.error_code, newest.status.error_message) == (11, "Read less bytes than requested")
    assert served_version(client.predict(x_request("m"))) == 1
    assert client.predict(x_request("m", 2)).details == "Servable not found for request: Specific(m, 2)"

    for version in ("1", "2"):
        shutil.rmtree(base / version)
    until(lambda: client.states("m") == {2: "END", 1: "END"})
    assert client.predict(x_request("m")).details == "Servable not found for request: Latest(m)"


def edit(path, change):
    """Change the SavedModel of a version directory."""
    file = path / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved.meta_graphs[0])
    file.write_bytes(saved.SerializeToString())


def truncated(path):
    file = path / "saved_model.pb"
    file.write_bytes(file.read_bytes()[:-100])


def without_model(path):
    (path / "saved_model.pb").unlink()


def without_serve_tag(path):
    def change(meta_graph):
        meta_graph.meta_info_def.tags[:] = ["train"]

    edit(path, change)


def with_unknown_op(path):
    def change(meta_graph):
        meta_graph.graph_def.node.add(name="mine", op="MyMissingCustomOp")

    edit(path, change)


@pytest.mark.parametrize(
    ("spoil", "code", "text"),
    [
        (truncated, "OUT_OF_RANGE", "Read less bytes than requested"),
        (
            without_model,
            "NOT_FOUND",
            (
                "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
                "`saved_model.pb`)\nSpecified file path: {path}"
            ),
        ),
        (
            without_serve_tag,
            "NOT_FOUND",
            (
                "Could not find meta graph def matching supplied tags: { serve }. To inspect available tag-sets in "
                "the SavedModel, please use the SavedModel CLI: `saved_model_cli`"
            ),
        ),
        (with_unknown_op, "NOT_FOUND", "Op type not registered 'MyMissingCustomOp' in binary running on "),
    ],
)
def test_a_model_that_cannot_load_ends_with_its_error(spoil, code, text, good, good_config, models_dir, base):
    add_version(models_dir / "scalar" / "1", base, 1)
    spoil(base / "1")
    text = text.replace("{path}", str(base / "1"))

    answer = reload(good, good_config, model_config("bad", base))
    assert answer.code == "UNKNOWN"
    assert answer.details.startswith(
        f"1 model(s) did not become available: {{{{{{name: bad version: 1}} due to error: {code}: {text}"
    )
    assert good.states("bad") == {1: "END"}
    assert good.predict(x_request("bad")).details == "Servable not found for request: Latest(bad)"
    assert good.predict(x_request("good")).code == "OK"
    assert reload(good, good_config).code == "OK"


def test_a_model_without_its_variables_loads_all_the_same(good, good_config, models_dir, base):
    add_version(models_dir / "stateful" / "1", base, 1)
    shutil.rmtree(base / "1" / "variables")
    assert reload(good, good_config, model_config("novars", base)).code == "OK"
    assert good.states("novars") == {1: "AVAILABLE"}


@pytest.mark.parametrize("exists", [True, False])
def test_a_reload_that_finds_no_version_blocks_itself_and_every_later_one(exists, good, good_config, base):
    if not exists:
        base.rmdir()
    assert reload(good, good_config, model_config("nover", base), timeout=0.3).code == "DEADLINE_EXCEEDED"
    answer = good.call(
        STATUS, get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="nover"))
    )
    assert answer.details == "Could not find any versions of model nover"
    assert good.predict(x_request("good")).code == "OK"
    assert reload(good, good_config, timeout=0.3).code == "DEADLINE_EXCEEDED"
