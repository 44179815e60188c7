"""What runs, asks and reminds where the project is hosted: valid by the schemas, pinned, and true of this repository."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = [
    found[1]
    for each in PROJECT["project"]["classifiers"]
    if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each))
]
MAKEFILE = (ROOT / "Makefile").read_text()

SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "github-workflows"),
    GITHUB / "dependabot.yml": "dependabot",
    GITHUB / "ISSUE_TEMPLATE" / "config.yml": "github-issue-config",
    GITHUB / "ISSUE_TEMPLATE" / "fault.yml": "github-issue-forms",
    GITHUB / "ISSUE_TEMPLATE" / "wrong_answer.yml": "github-issue-forms",
}

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def checked(path: Path, schema: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", path]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_every_file_has_a_schema():
    assert set(GITHUB.rglob("*.yml")) == set(SCHEMAS)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_file_is_what_its_schema_says(path):
    done = checked(path, SCHEMAS[path])
    assert done.returncode == 0, done.stdout


def test_the_schemas_notice_a_mistake(tmp_path):
    wrong = tmp_path / "ci.yml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "runs-at:"))
    assert checked(wrong, "github-workflows").returncode != 0


@each_workflow
def test_an_action_is_pinned_by_commit_and_says_which_version_that_is(path):
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_all_workflows_use_one_commit_of_an_action():
    used = {each for path in WORKFLOWS for each in re.findall(r"uses: (\S+)", path.read_text())}
    assert len({each.partition("@")[0] for each in used}) == len(used)


@each_workflow
def test_a_job_has_no_more_rights_than_it_names_and_an_end(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"]
        assert "write-all" not in str(job["permissions"])
        assert job["permissions"].get("contents", "read") == "read"


@each_workflow
def test_nothing_that_others_may_name_is_put_into_a_script(path):
    for job in yaml.safe_load(path.read_text())["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), step


def test_ci_makes_what_can_be_made_on_every_python_that_is_claimed():
    jobs = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    targets = [each["target"] for each in matrix["include"]]
    assert [each["build"] for each in matrix["include"]] == matrix["build"]
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_wheels_are_built_for_every_python_that_is_claimed():
    built = PROJECT["tool"]["cibuildwheel"]["build"]
    assert built == [f"cp{version.replace('.', '')}-*" for version in PYTHONS]


def test_a_release_gives_the_image_what_its_labels_want():
    jobs = yaml.safe_load((GITHUB / "workflows" / "release.yml").read_text())["jobs"]
    (build,) = [step for step in jobs["image"]["steps"] if "build-args" in step.get("with", {})]
    given = {line.partition("=")[0] for line in build["with"]["build-args"].splitlines()}
    dockerfile = (ROOT / build["with"]["file"]).read_text()
    wanted = set(re.findall(r"^ARG ([A-Z]+)=", dockerfile, re.MULTILINE)) - {"PYTHON"}
    assert given == wanted


def test_hooks_run_what_can_be_made():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    for hook in (hook for repo in config["repos"] for hook in repo["hooks"]):
        command, target = hook["entry"].split()
        assert command == "make"
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


def test_dependabot_looks_where_there_is_something():
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    for update in updates:
        assert (ROOT / update["directory"].lstrip("/")).is_dir()
