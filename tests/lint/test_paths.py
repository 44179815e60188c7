"""What a path is decides what is looked for."""

from tests.lint.exports import rules, write_version


def test_a_saved_model_is_recognised_by_its_graph_by_its_folders_or_by_the_file_itself(version):
    assert rules(version / "saved_model.pb") == []
    (version / "saved_model.pb").unlink()
    assert rules(version) == ["saved-model-missing"]


def test_a_tree_of_models_is_examined_whole(tmp_path):
    write_version(tmp_path / "a" / "1")
    (write_version(tmp_path / "b" / "1") / "saved_model.pb").unlink()
    assert rules(tmp_path) == ["saved-model-missing"]


def test_an_empty_directory_is_no_model(tmp_path):
    assert rules(tmp_path) == ["base-path-no-version"]


def test_a_path_that_the_system_refuses_is_a_finding_not_a_crash(tmp_path):
    config = tmp_path / "models.config"
    path = "/" + "x" * 300
    config.write_text(
        f'model_config_list {{ config {{ name: "a" base_path: "{path}" model_platform: "tensorflow" }} }}'
    )
    assert rules(config) == ["unreadable"]
