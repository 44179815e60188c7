"""Every fault of an export is found; good exports, real ones too, have none."""

import gzip

import pytest

from proxy.lint.finding import Level
from proxy.lint.paths import lint
from proxy.wire.protos import types_pb2
from tests.lint.exports import add_signature, good_saved_model, only, rules, tensor, write_version

REAL_AND_GOOD = (
    "ssd",
    "f300",
    "two",
    "unk",
    "twosig",
    "half",
    "scalar",
    "fixed",
    "stateful",
    "cls",
    "conv",
    "enc",
)


def test_a_good_version_has_no_findings(version):
    assert rules(version) == []


@pytest.mark.parametrize("name", REAL_AND_GOOD)
def test_real_exports_of_tensorflow_have_neither_errors_nor_warnings(models_dir, name):
    findings = list(lint(models_dir / name))
    assert [each for each in findings if each.rule.level is not Level.NOTE] == []


def test_the_broken_exports_of_the_test_models_are_found(models_dir):
    assert rules(models_dir / "corrupt") == ["saved-model-unreadable"]
    assert rules(models_dir / "emptyver") == ["saved-model-missing"]


def test_a_version_without_a_graph_is_found(version):
    (version / "saved_model.pb").unlink()
    assert rules(version) == ["saved-model-missing"]


def test_a_graph_in_another_form_is_left_alone(version):
    (version / "saved_model.pb").rename(version / "saved_model.cpb")
    assert rules(version) == []


@pytest.mark.parametrize("content", [b"", b"\x0a\xff\xff", b"not a protobuf at all"])
def test_an_empty_cut_or_foreign_file_is_unreadable(version, content):
    (version / "saved_model.pb").write_bytes(content)
    assert rules(version) == ["saved-model-unreadable"]


def test_a_graph_of_more_than_a_gibibyte_is_found_without_reading_it(version):
    with (version / "saved_model.pb").open("r+b") as file:
        file.truncate(2**30 + 1)  # sparse: takes no room
    assert rules(version) == ["graph-too-large"]


def test_a_graph_without_the_serve_tag_is_found_with_the_tags_it_has(spoilt):
    found = only(spoilt(lambda graph: graph.meta_info_def.tags.append("gpu")))
    assert found.rule.id == "tag-missing"
    assert "'gpu', 'serve'" in found.message


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_a_missing_file_of_variables_is_found(version, name):
    (version / "variables" / name).unlink()
    found = only(version)
    assert found.rule.id == "variables-missing"
    assert name in found.message


def test_a_missing_shard_is_found_by_its_name(version):
    shard = version / "variables" / "variables.data-00000-of-00001"
    shard.rename(shard.with_name("variables.data-00001-of-00003"))
    found = only(version)
    assert "variables.data-00000-of-00003 is missing and 1 more" in found.message


def test_a_missing_variables_directory_is_found(version):
    for child in (version / "variables").iterdir():
        child.unlink()
    (version / "variables").rmdir()
    assert rules(version) == ["variables-missing"]


def test_a_graph_without_variables_needs_none(tmp_path):
    export = good_saved_model()
    export.meta_graphs[0].graph_def.node[1].op = "Const"
    version = write_version(tmp_path / "m" / "1", export)
    for child in (version / "variables").iterdir():
        child.unlink()
    assert rules(version) == []


def test_a_half_copied_variable_file_is_warned_of(version):
    (version / "variables" / "variables.data-00000-of-00001.tempstate123").write_bytes(b"")
    assert rules(version) == ["variables-temporary"]


def test_an_export_without_signatures_is_found(spoilt):
    assert rules(spoilt(lambda graph: graph.signature_def.clear())) == ["signatures-none"]


def test_the_loaders_private_signature_is_no_signature(spoilt):
    def change(graph):
        graph.signature_def.clear()
        graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = "NoOp"

    assert rules(spoilt(change)) == ["signatures-none"]


def test_a_model_without_a_default_signature_gets_a_note(spoilt):
    def change(graph):
        graph.signature_def.clear()
        add_signature(graph, "other")

    found = only(spoilt(change))
    assert (found.rule.id, found.rule.level) == ("signature-default-none", Level.NOTE)


def signature_of(graph):
    return graph.signature_def["serving_default"]


SIGNATURE_FAULTS = {
    "signature-method-empty": lambda graph: signature_of(graph).ClearField("method_name"),
    "signature-tensor-sparse": lambda graph: signature_of(graph).inputs["x"].ClearField("name"),
    "signature-tensor-absent": lambda graph: (
        signature_of(graph).inputs["x"].CopyFrom(tensor("gone:0", (-1, 4)))
    ),
    "signature-batch-one": lambda graph: signature_of(graph).inputs["x"].CopyFrom(tensor("x:0", (1, 4))),
    "signature-output-batch": lambda graph: signature_of(graph).outputs["y"].CopyFrom(tensor("y:0", (2,))),
}


@pytest.mark.parametrize("rule", SIGNATURE_FAULTS)
def test_a_fault_of_a_signature_is_found_and_names_it(spoilt, rule):
    found = only(spoilt(SIGNATURE_FAULTS[rule]))
    assert found.rule.id == rule
    assert "'serving_default'" in found.message


def test_sparse_composite_and_untyped_tensors_cannot_be_served(spoilt):
    def change(graph):
        signature = signature_of(graph)
        signature.outputs["y"].coo_sparse.values_tensor_name = "values:0"
        signature.outputs["z"].CopyFrom(tensor("y:0", (-1, 2), types_pb2.DT_INVALID))
        signature.inputs["w"].composite_tensor.components.add(name="x:0")

    assert rules(spoilt(change)) == ["signature-tensor-sparse"] * 3


def test_a_placeholder_that_no_input_feeds_is_found_by_walking_back_from_the_outputs(spoilt):
    def change(graph):
        graph.graph_def.node.add(name="keep_prob", op="Placeholder")
        graph.graph_def.node[3].input.append("^keep_prob")

    found = only(spoilt(change))
    assert found.rule.id == "placeholder-unbound"
    assert "'keep_prob'" in found.message


def test_placeholders_that_the_outputs_do_not_need_and_defaults_are_good(spoilt):
    def change(graph):
        graph.graph_def.node.add(name="phase", op="PlaceholderWithDefault")
        graph.graph_def.node[3].input.append("phase")
        graph.graph_def.node.add(name="unused", op="Placeholder")

    assert rules(spoilt(change)) == []


def test_an_input_in_the_middle_of_the_graph_hides_the_placeholders_behind_it(spoilt):
    def change(graph):
        graph.graph_def.node.add(name="jpeg", op="Placeholder")
        graph.graph_def.node[0].op = "DecodeJpeg"
        graph.graph_def.node[0].input.append("jpeg")

    assert rules(spoilt(change)) == []


@pytest.mark.parametrize(
    ("op", "rule"),
    [("PyFunc", "op-python"), ("EagerPyFunc", "op-python"), ("TRTEngineOp", "op-needs-library")],
)
def test_operations_that_servers_lack_are_found_in_functions_too(spoilt, op, rule):
    def change(graph):
        function = graph.graph_def.library.function.add()
        function.node_def.add(name="f", op=op)
        function.node_def.add(name="g", op=op)

    assert rules(spoilt(change)) == [rule]


def test_channels_first_gets_a_note(spoilt):
    def change(graph):
        graph.graph_def.node[3].attr["data_format"].s = b"NCHW"

    assert rules(spoilt(change)) == ["op-channels-first"]


def test_warm_up_requests_in_a_folder_the_server_does_not_read_are_told(version):
    (version / "assets").mkdir()
    (version / "assets" / "tf_serving_warmup_requests").write_bytes(gzip.compress(b""))
    assert rules(version) == ["warmup-misplaced"]
