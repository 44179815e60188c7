"""`tfs-proxy example` prints client code for a live or a stored signature."""

import subprocess
import sys

import pytest

from proxy.cli.example import LANGUAGES
from tests.certificates import Authority, key_of


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_names_model_alias_and_server(run, dev_server, lang):
    result = run("example", "two", "--upstream", dev_server.target, "--lang", lang)
    assert result.exit_code == 0, result.output
    for needed in (
        "two",
        "text",
        "ids",
        dev_server.target,
        "serving_default(ids: int64[?,4], text: string[?])",
    ):
        assert needed in result.output


def test_the_code_runs_as_printed(run, dev_server, tmp_path):
    script = tmp_path / "client.py"
    script.write_text(
        run("example", "scalar", "--upstream", dev_server.target, "--lang", "python-light").output
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "y float32 () [1.]\n"), done.stderr


def test_a_version_asked_for_is_in_the_code(run, dev_server):
    result = run("example", "multi", "--version", "1", "--upstream", dev_server.target)
    assert "request.model_spec.version.value = 1" in result.output
    latest = run("example", "multi", "--upstream", dev_server.target)
    assert "version.value =" not in latest.output


def test_a_saved_model_needs_no_server(run, models_dir):
    result = run("example", "--path", models_dir / "f300")
    assert result.exit_code == 0, result.output
    assert "request.model_spec.name = 'f300'" in result.output
    assert "np.zeros((1, 300, 300, 3), np.float32)" in result.output
    assert "'localhost:8500'" in result.output


def test_without_a_default_signature_the_choice_is_told(run, dev_server):
    result = run("example", "twosig", "--upstream", dev_server.target)
    assert result.exit_code == 1
    assert "choose with --signature; it has sig_a, sig_b" in result.output


def test_an_unknown_model_is_an_error_with_a_hint_of_the_cause(run, dev_server):
    result = run("example", "tow", "--upstream", dev_server.target)
    assert result.exit_code == 1
    assert "expected a model that the server has, got 'tow'" in result.output


def test_no_server_is_exit_code_2(run, nobody):
    result = run("example", "two", "--upstream", nobody)
    assert result.exit_code == 2
    assert "no answer from" in result.output


def test_version_and_label_exclude_each_other(run):
    result = run("example", "two", "--version", "1", "--label", "canary")
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_what_the_server_asks_goes_into_the_code(run, models_dir, tmp_path):
    certificate = Authority(tmp_path).sign("me")
    flags = {
        "--upstream-ca": tmp_path / "ca.pem",
        "--upstream-cert": certificate,
        "--upstream-key": key_of(certificate),
        "--upstream-server-name": "tfs.example",
    }
    result = run(
        "example",
        "--path",
        models_dir / "f300",
        "--token",
        *(each for pair in flags.items() for each in pair),
    )
    assert result.exit_code == 0, result.output
    assert all(repr(str(value)) in result.output for value in flags.values())
    assert 'os.environ["TFS_PROXY_TOKEN"]' in result.output


@pytest.mark.parametrize(
    ("value", "flags", "written"),
    [("", (), False), ("t" * 16, (), True), ("t" * 16, ("--no-token",), False), ("", ("--token",), True)],
)
def test_code_takes_a_token_where_there_is_one_unless_told_otherwise(
    run, models_dir, monkeypatch, value, flags, written
):
    monkeypatch.setenv("TFS_PROXY_TOKEN", value)
    result = run("example", "--path", models_dir / "f300", *flags)
    assert result.exit_code == 0, result.output
    assert ("TFS_PROXY_TOKEN" in result.output) is written
    assert "t" * 16 not in result.output


@pytest.mark.parametrize("value", ["two words", "naïve", "a\nb"])
def test_what_is_no_token_is_told_and_not_shown(run, dev_server, monkeypatch, value):
    monkeypatch.setenv("TFS_PROXY_TOKEN", value)
    result = run("example", "two", "--upstream", dev_server.target)
    assert result.exit_code == 2
    assert "TFS_PROXY_TOKEN holds no token" in result.output
    assert value not in result.output
