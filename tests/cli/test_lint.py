"""`tfs-proxy lint` as a user runs it."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from proxy.cli.lint import lint

GOOD = 'model_config_list { config { name: "a" base_path: "/m/a" model_platform: "tensorflow" } }\n'


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(lint, arguments)


@pytest.fixture
def config(tmp_path):
    def write(text, name="models.config"):
        (tmp_path / name).write_text(text)
        return name

    return write


def test_a_good_file_exits_with_0_and_says_so(run, config):
    done = run("--no-disk", config(GOOD))
    assert done.exit_code == 0
    assert done.output == "no findings in 1 path\n"


def test_a_fault_exits_with_1_and_says_where_what_and_what_to_do(run, config):
    done = run("--no-disk", config(GOOD.replace('"/m/a"', '"m/a"')))
    assert done.exit_code == 1
    assert "models.config:1:40: error: base_path 'm/a' is relative [base-path-relative]" in done.output
    assert "Write an absolute path or a URI" in done.output
    assert "F48" in done.output
    assert done.output.endswith("1 error\n")


def test_notes_do_not_make_it_fail(run, models_dir):
    done = run(str(models_dir / "twosig"))
    assert "note: there is no 'serving_default'" in done.output
    assert done.exit_code == 0


def test_base_paths_are_looked_up_below_the_root_given(run, config, models_dir, tmp_path):
    (tmp_path / "root" / "m").mkdir(parents=True)
    (tmp_path / "root" / "m" / "a").symlink_to(models_dir / "half")
    assert run(config(GOOD)).exit_code == 1
    assert run("--root", "root", config(GOOD)).exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("absent.config",), ("--kind", "other", "models.config")])
def test_wrong_usage_exits_with_2(run, config, arguments):
    config(GOOD)
    assert run(*arguments).exit_code == 2


def test_a_file_of_no_known_kind_exits_with_2_and_asks_for_the_kind(run, config):
    done = run(config("hello: 1\n", "x.txt"))
    assert done.exit_code == 2
    assert "--kind" in done.output


def test_json_and_sarif_are_nothing_but_json_and_keep_the_exit_code(run, config):
    bad = config(GOOD.replace('model_platform: "tensorflow"', ""))
    as_json = run("--no-disk", "--json", bad)
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["counts"] == {"error": 1, "warning": 0, "note": 0}
    sarif = run("--no-disk", "--sarif", bad)
    assert sarif.exit_code == 1
    assert json.loads(sarif.stdout)["runs"][0]["results"][0]["ruleId"] == "platform-missing"


def test_the_runtime_of_tensorflow_is_not_loaded(models_dir):
    """The bare namespace has no attributes of the real package; a subprocess shows what a command loads."""
    code = (
        "import sys\n"
        "from proxy.cli import main\n"
        "try:\n"
        "    main(['lint', sys.argv[1]])\n"
        "except SystemExit as done:\n"
        "    assert done.code == 0, done.code\n"
        "assert not hasattr(sys.modules['tensorflow'], 'constant')\n"
        "assert not [name for name in sys.modules if name.startswith('tensorflow.python')]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(models_dir / "half")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
