"""What keeps a server from finding the versions of a model."""

from proxy.lint.base_path import Disk, versions_of
from tests.lint.exports import only, rules, write_version


def test_a_base_path_with_numbered_versions_is_good(version):
    write_version(version.parent / "2")
    (version.parent / "readme").mkdir()
    (version.parent / "notes.txt").write_text("x")
    assert rules(version.parent) == []


def test_a_base_path_without_a_numbered_directory_is_found_with_what_it_has(version):
    version.rename(version.with_name("v1"))
    (version.parent / "0.1").mkdir()
    assert rules(version.parent) == ["version-not-numeric", "version-not-numeric", "base-path-no-version"]


def test_a_version_directory_with_another_name_beside_good_ones_is_warned_of(version):
    write_version(version.parent / "best")
    found = only(version.parent)
    assert found.rule.id == "version-not-numeric"
    assert "'best'" in found.message


def test_two_names_of_one_number_are_found(version):
    write_version(version.parent / "01")
    assert rules(version.parent) == ["version-duplicate"]


def test_an_empty_version_directory_is_found(version):
    (version.parent / "2").mkdir()
    assert rules(version.parent) == ["saved-model-missing"]


def test_a_directory_of_base_paths_is_examined_model_by_model(version):
    (version.parent.parent / "empty").mkdir()
    assert rules(version.parent.parent) == ["base-path-no-version"]


def test_versions_are_what_the_server_reads_as_numbers(version):
    (version.parent / "٣").mkdir()
    (version.parent / "0010").mkdir()
    (version.parent / "1.0").mkdir()
    assert sorted(versions_of(version.parent)) == [1, 10]


def test_the_servers_root_stands_somewhere_here(tmp_path):
    assert Disk(tmp_path).look_up("/models/a") == tmp_path / "models/a"
    assert Disk(tmp_path, look=False).look_up("/models/a") is None
