"""Every fault of a configuration file is found on its line; good files have none."""

import pytest

from proxy.lint.base_path import Disk
from proxy.lint.configs import Kind, UnknownKindError, kind_of
from proxy.lint.paths import lint
from tests.lint.exports import write_version

GOOD = """# two models
model_config_list {
  config {
    name: "a"
    base_path: "/models/a"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 versions: 2 } }
    version_labels { key: "stable" value: 1 }
    version_labels { key: "canary" value: 2 }
  },
  config: <
    name: 'b'
    base_path: "gs://bucket/b"
    model_platform: "tensor" "flow"
    model_version_policy: { all: {} }
  >
}
"""


@pytest.fixture
def root(tmp_path):
    """A server's file system with /models/a/1 and /models/a/2."""
    for number in ("1", "2"):
        write_version(tmp_path / "root" / "models" / "a" / number)
    return tmp_path / "root"


@pytest.fixture
def findings(tmp_path, root):
    """Lint a text as a configuration; the findings as (rule, line, column)."""

    def check(text, kind=None, disk=None):
        path = tmp_path / "x.config"
        path.write_text(text)
        return [(each.rule.id, each.line, each.column) for each in lint(path, kind, disk or Disk(root))]

    return check


def test_a_good_models_config_has_no_findings(findings):
    assert findings(GOOD) == []


MODELS_FAULTS = [
    ("name-missing", 'name: "a"', "", 3, 3),
    ("name-duplicate", "name: 'b'", 'name: "a"', 12, 5),
    ("base-path-missing", 'base_path: "/models/a"', "", 3, 3),
    ("base-path-relative", '"/models/a"', '"models/a"', 5, 5),
    ("base-path-not-found", '"/models/a"', '"/models/A"', 5, 5),
    ("base-path-is-version", '"/models/a"', '"/models/a/1"', 5, 5),
    ("base-path-is-version", '"/models/a"', '"/models/a/1/variables"', 5, 5),
    ("base-path-no-version", '"/models/a"', '"/models"', 5, 5),
    ("platform-missing", 'model_platform: "tensorflow"', "", 3, 3),
    ("platform-unknown", '"tensorflow"', '"tensorfow"', 6, 5),
    ("model-type-deprecated", 'model_platform: "tensorflow"', "model_type: TENSORFLOW", 6, 5),
    ("platform-ambiguous", '"tensorflow"', '"tensorflow" model_type: TENSORFLOW', 6, 34),
    ("config-syntax", "base_path:", "base_pth:", 5, 5),
    ("config-syntax", '"/models/a"', "/models/a", 5, 16),
    ("config-syntax", "  >\n", "", 16, 1),
]


@pytest.mark.parametrize(
    ("rule", "good", "bad", "line", "column"),
    MODELS_FAULTS,
    ids=[f"{each[0]}-{each[2]}" for each in MODELS_FAULTS],
)
def test_a_fault_seeded_into_a_good_models_config_is_found_on_its_line(
    findings, rule, good, bad, line, column
):
    assert GOOD.count(good) >= 1
    assert findings(GOOD.replace(good, bad, 1)) == [(rule, line, column)]


def test_a_version_that_is_not_on_disk_is_found_where_the_policy_names_it(findings):
    text = GOOD.replace("versions: 2", "versions: 7").replace("value: 2", "value: 1")
    assert findings(text) == [("policy-version-absent", 7, 51)]


def test_a_version_may_be_written_in_hexadecimal(findings):
    assert findings(GOOD.replace("versions: 2", "versions: 0x2")) == []
    text = GOOD.replace("versions: 2", "versions: 0x7").replace("value: 2", "value: 1")
    assert findings(text) == [("policy-version-absent", 7, 51)]


def test_a_policy_of_no_versions_serves_nothing(findings):
    text = GOOD.replace("versions: 1 versions: 2", "").replace("value: 1", "value: 2")
    assert findings(text) == [("policy-empty", 7, 28)]


def test_a_label_on_a_version_that_the_policy_leaves_out_is_found(findings):
    text = GOOD.replace("specific { versions: 1 versions: 2 }", "latest { num_versions: 1 }")
    assert findings(text) == [("label-unavailable", 8, 36)]


def test_labels_are_good_where_the_policy_serves_enough_versions(findings):
    assert findings(GOOD.replace("specific { versions: 1 versions: 2 }", "latest { num_versions: 2 }")) == []
    assert findings(GOOD.replace("specific { versions: 1 versions: 2 }", "all {}")) == []


def test_the_versions_that_would_be_served_are_examined_too(findings, root):
    (root / "models/a/2/variables/variables.index").unlink()
    assert findings(GOOD) == [("variables-missing", None, None)]
    latest_1 = GOOD.replace("versions: 1 versions: 2", "versions: 1").replace("value: 2", "value: 1")
    assert findings(latest_1) == []


def test_without_a_look_at_the_disk_paths_and_versions_are_left_alone(findings):
    text = GOOD.replace('"/models/a"', '"/nowhere"').replace("versions: 1", "versions: 9")
    assert findings(text, disk=Disk(look=False)) == []


def test_a_directory_that_looks_like_a_version_is_told_on_the_base_paths_line(findings, root):
    write_version(root / "models/a/v3")
    assert findings(GOOD) == [("version-not-numeric", 5, 5)]


def test_a_misspelt_field_is_answered_with_the_right_one(tmp_path):
    path = tmp_path / "models.config"
    path.write_text(GOOD.replace("base_path", "basepath", 1))
    (found,) = lint(path)
    assert "did you mean 'base_path'?" in found.message


def test_an_empty_list_of_models_is_found(findings):
    assert findings("model_config_list {}") == [("config-empty", 1, 1)]


def test_a_custom_model_config_is_left_alone(findings):
    assert findings('custom_model_config { type_url: "x/y" }') == []


def test_monitoring_that_exposes_nothing_is_found(findings):
    assert findings('prometheus_config { enable: true path: "/metrics" }') == []
    assert findings("prometheus_config { enable: false }") == [("monitoring-off", 1, 1)]
    assert findings('prometheus_config {\n  enable: true\n  path: "metrics"\n}') == [
        ("monitoring-path", 3, 3)
    ]


PLATFORM = """platform_configs {
  key: "tensorflow"
  value {
    source_adapter_config {
      [type.googleapis.com/tensorflow.serving.SavedModelBundleSourceAdapterConfig] {
        legacy_config {
          batching_parameters {
            max_batch_size { value: 32 }
            allowed_batch_sizes: 32
          }
        }
      }
    }
  }
}
"""


def test_batching_parameters_inside_a_platform_config_are_examined(findings):
    assert findings(PLATFORM) == []
    assert findings(PLATFORM.replace("sizes: 32", "sizes: 16")) == [("batching-sizes-last", 9, 13)]


def test_a_platform_config_without_an_adapter_type_is_found(findings):
    text = 'platform_configs {\n  key: "tensorflow"\n  value {\n    source_adapter_config {}\n  }\n}\n'
    assert findings(text) == [("platform-config-type", 4, 5)]


def test_a_brace_that_is_never_closed_is_found_at_the_end(findings):
    assert findings(PLATFORM.rstrip().removesuffix("}")) == [("config-syntax", 15, 1)]


def test_json_and_binary_files_are_told_as_such(findings, tmp_path):
    assert findings('{"model_config_list": {}}', Kind.MODELS) == [("config-syntax", 1, 1)]
    path = tmp_path / "binary.config"
    path.write_bytes(b"\xff\xfe\x00")
    assert [each.rule.id for each in lint(path, Kind.MODELS)] == ["config-syntax"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("# a comment\n\nmodel_config_list {", Kind.MODELS),
        ("model_config_lst {", Kind.MODELS),
        ("max_batch_size {", Kind.BATCHING),
        ("allowed_batch_sizes: 1", Kind.BATCHING),
        ("prometheus_config {", Kind.MONITORING),
        ("platform_configs {", Kind.PLATFORM),
        ("something_else {", None),
        ("", None),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_first_field(text, kind):
    assert kind_of(text) is kind


def test_a_file_of_no_known_kind_is_wrong_usage(findings):
    with pytest.raises(UnknownKindError, match="--kind"):
        findings("something_else {}")
