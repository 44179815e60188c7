"""Configurations and exports that keep a model from being served, on disk: what `tfs-proxy lint` says of each.

Each case is (failures, what spoils a good file, the rule).
"""

import io
import json
import pickle

import numpy as np
import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.wire.protos import types_pb2
from tests.lint.exports import good_saved_model, tensor, write_version

MODELS = """model_config_list {
  config {
    name: "m" base_path: "/models/m" model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 } } version_labels { key: "stable" value: 1 }
  }
}
"""
BATCHING = "max_batch_size { value: 32 }\nallowed_batch_sizes: 8\nallowed_batch_sizes: 32\n"


@pytest.fixture
def linted(tmp_path):
    """Lint a path under a good /models/m/1; the rules broken and the failures they stand for."""
    version = write_version(tmp_path / "models" / "m" / "1")

    def lint(path):
        result = CliRunner().invoke(main, ["lint", "--json", "--root", str(tmp_path), str(path)])
        found = json.loads(result.output)
        findings = found["findings"] if isinstance(found, dict) else found
        return {each["rule"]: each["failures"] for each in findings}

    lint.version = version
    lint.folder = tmp_path
    return lint


CONFIGS = [
    ("F43", MODELS, "versions: 1 }", "versions: 7 }", "policy-version-absent"),
    ("F44", MODELS, "value: 1 }", "value: 2 }", "label-unavailable"),
    ("F45", MODELS, "/models/m", "/modles/m", "base-path-not-found"),
    ("F46", MODELS, "/models/m", "/models/m/1", "base-path-is-version"),
    ("F48", MODELS, "/models/m", "models/m", "base-path-relative"),
    ("F48", MODELS, 'model_platform: "tensorflow"', "", "platform-missing"),
    ("F85", BATCHING, "max_batch_size {", "pad_variable_length_inputs: true\nmax_batch_size {", "batching-padding"),
    ("F87", BATCHING, "allowed_batch_sizes: 32", "allowed_batch_sizes: 16", "batching-sizes-last"),
    ("F91", BATCHING, "max_batch_size {", "batch_timeout_micros { value: 5000000 }\nmax_batch_size {", "batching-timeout"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "text", "good", "bad", "rule"), CONFIGS, ids=[f"{case[0]}-{case[4]}" for case in CONFIGS]
)
def test_a_fault_of_a_configuration_is_named(linted, failures, text, good, bad, rule):
    path = linted.folder / "server.config"
    path.write_text(text)
    assert linted(path) == {}
    path.write_text(text.replace(good, bad))
    assert failures in linted(path)[rule]


def default_signature(graph):
    return graph.signature_def["serving_default"]


def unbound(graph):
    graph.graph_def.node.add(name="keep_prob", op="Placeholder")
    next(node for node in graph.graph_def.node if node.name == "y").input.append("keep_prob")


EXPORTS = [
    ("F08", unbound, "placeholder-unbound"),
    ("F09", lambda graph: graph.signature_def.clear(), "signatures-none"),
    ("F12", lambda graph: default_signature(graph).ClearField("method_name"), "signature-method-empty"),
    ("F13", lambda graph: default_signature(graph).inputs["x"].ClearField("name"), "signature-tensor-sparse"),
    ("F15", lambda graph: default_signature(graph).inputs["x"].CopyFrom(tensor("gone:0", (-1, 4))), "signature-tensor-absent"),
    ("F30", lambda graph: default_signature(graph).inputs["x"].CopyFrom(tensor("x:0", (1, 4))), "signature-batch-one"),
    ("F47", lambda graph: graph.meta_info_def.ClearField("tags"), "tag-missing"),
    ("F53", lambda graph: graph.graph_def.node.add(name="p", op="PyFunc"), "op-python"),
    ("F83", lambda graph: default_signature(graph).outputs["y"].CopyFrom(tensor("y:0", (2,), types_pb2.DT_FLOAT)), "signature-output-batch"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("failures", "spoil", "rule"), EXPORTS, ids=[f"{case[0]}-{case[2]}" for case in EXPORTS]
)
def test_a_fault_of_an_export_is_named(linted, failures, spoil, rule):
    assert linted(linted.version) == {}
    saved_model = good_saved_model()
    spoil(saved_model.meta_graphs[0])
    (linted.version / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    assert failures in linted(linted.version)[rule]


def test_f54_a_warm_up_file_that_is_no_record_file(linted):
    warmup = linted.version / "assets.extra" / "tf_serving_warmup_requests"
    warmup.parent.mkdir()
    warmup.write_bytes(b"garbage" * 20)
    assert "F54" in linted(linted.version)["warmup-corrupt"]


def test_f55_a_graph_that_protobuf_cannot_read(linted):
    with (linted.version / "saved_model.pb").open("r+b") as file:
        file.truncate((1 << 30) + 1)
    assert "F55" in linted(linted.version)["graph-too-large"]


def test_f56_an_upload_without_its_variables(linted):
    (linted.version / "variables" / "variables.index").unlink()
    assert "F56" in linted(linted.version)["variables-missing"]


def npz(**arrays):
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize("command", ["check", "replay", "learn"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a JPEG image"),
        (b"\x89HDF\r\n\x1a\n\0\0\0\0", "an HDF5 file"),
        (good_saved_model().SerializeToString(), "a SavedModel"),
        (json.dumps({"instances": [[1.0]]}).encode(), "JSON"),
        (npz(x=np.zeros(3)), "an .npz archive of numpy"),
        (pickle.dumps({"x": np.zeros(3)}), "a pickle of Python"),
    ],
    ids=["png", "jpeg", "hdf5", "saved model", "json", "npz", "pickle"],
)
def test_f124_another_file_given_as_a_request(linted, command, content, kind):
    file = linted.folder / "request.pb"
    file.write_bytes(content)
    where = {"check": ["--path", str(linted.version)], "replay": ["--against", "127.0.0.1:1"], "learn": []}
    result = CliRunner().invoke(main, [command, str(file), *where[command]])
    assert result.exit_code == 2
    assert f"this is {kind}" in result.output
    assert "PredictRequest" in result.output if command == "check" else "(TFRecord)" in result.output


def test_f79_a_warm_up_file_where_the_server_does_not_look(linted):
    folder = linted.version / "assets"
    folder.mkdir()
    (folder / "tf_serving_warmup_requests").write_bytes(b"")
    assert "F79" in linted(linted.version)["warmup-misplaced"]
