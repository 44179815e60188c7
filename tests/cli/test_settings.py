"""Precedence and origins: flag over environment over file over default."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.config import DECLARED, about


def run(*arguments: str, env: dict[str, str] | None = None):
    return CliRunner().invoke(main, arguments, env=env)


def effective(*arguments: str, env: dict[str, str] | None = None) -> dict:
    result = run("config", "--json", *arguments, env=env)
    assert result.exit_code == 0, result.output
    return {name: (entry["value"], entry["origin"]) for name, entry in json.loads(result.output).items()}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "proxy.yaml"
    path.write_text(
        "upstream: file:1\nmode: off\nreflection: false\nmodel: [a, b]\nseverities: {BATCH_EMPTY: off}\n"
    )
    return str(path)


def test_the_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(file):
    env = {"TFS_PROXY_UPSTREAM": "env:1"}
    assert effective()["upstream"] == ("localhost:8500", "default")
    assert effective("--config", file)["upstream"] == ("file:1", "file")
    assert effective("--config", file, env=env)["upstream"] == ("env:1", "environment")
    assert effective("--config", file, "--upstream", "flag:1", env=env)["upstream"] == ("flag:1", "flag")


def test_the_file_itself_can_come_from_the_environment(file):
    assert effective(env={"TFS_PROXY_CONFIG": file})["mode"] == ("off", "file")


def test_repeated_settings_come_from_every_source(file):
    assert effective("--config", file)["model"] == (["a", "b"], "file")
    assert effective("--model", "c", "--model", "d")["model"] == (["c", "d"], "flag")
    assert effective(env={"TFS_PROXY_MODEL": "e f"})["model"] == (["e", "f"], "environment")
    assert effective("--config", file)["severities"] == (["BATCH_EMPTY=off"], "file")
    assert effective("--severity", "BATCH_EMPTY=refuse", "--config", file)["severities"] == (
        ["BATCH_EMPTY=refuse"],
        "flag",
    )
    assert effective(env={"TFS_PROXY_SEVERITIES": "BATCH_EMPTY=warn INPUT_MISSING=off"})["severities"] == (
        ["BATCH_EMPTY=warn", "INPUT_MISSING=off"],
        "environment",
    )


def test_a_variable_is_named_as_the_flag_or_as_the_setting():
    for name in ("TFS_PROXY_SEVERITY", "TFS_PROXY_SEVERITIES"):
        assert effective(env={name: "BATCH_EMPTY=warn"})["severities"] == (
            ["BATCH_EMPTY=warn"],
            "environment",
        )


@pytest.mark.parametrize("reason", ["OVERLOADED", "REQUEST_STALLED", "UPSTREAM_RESET"])
def test_what_no_severity_changes_takes_none(reason):
    result = run("config", "--severity", f"{reason}=warn")
    assert result.exit_code == 2
    assert f"{reason} is no finding about a request" in result.output


def test_switches_can_be_turned_either_way_from_every_source(file):
    assert effective("--config", file)["reflection"] == (False, "file")
    assert effective("--config", file, "--reflection")["reflection"] == (True, "flag")
    assert effective(env={"TFS_PROXY_REFLECTION": "0"})["reflection"] == (False, "environment")


@pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.name)
def test_every_setting_has_a_flag_and_a_variable(setting):
    result = run("serve", "--help")
    assert f"--{about(setting).flag}" in result.output
    tls = ("upstream_cert", "upstream_key", "listen_cert", "listen_key")  # only together
    names = {setting.name, *(tls if setting.name in {*tls, "listen_client_ca"} else ())}
    shown = effective(env={f"TFS_PROXY_{name.upper()}": _example(name) for name in names})
    assert shown[setting.name][1] == "environment"


def _example(name: str) -> str:
    if name.endswith(("_cert", "_key", "_ca")):
        return __file__
    return {
        "upstream": "a:1",
        "listen": "a:1",
        "admin_listen": "a:1",
        "mode": "observe",
        "edge": "native",
        "severities": "BATCH_EMPTY=off",
        "log_level": "debug",
        "log_format": "json",
    }.get(name, "1")


def test_a_table_shows_value_and_origin():
    result = run("config", "--mode", "observe")
    (line,) = (line for line in result.output.splitlines() if line.startswith("mode "))
    assert line.split() == ["mode", "observe", "flag"]
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--mode", "strict"), "'strict' is none of enforce, observe, off"),
        (("--upstream", "http://tfs:8500"), "must not have a scheme"),
        (("--listen-cert", __file__), "--listen-cert needs --listen-key"),
        (("--upstreem", "x:1"), "--upstream"),
        (("--config", "/nowhere.yaml"), "cannot read /nowhere.yaml"),
    ],
)
def test_a_wrong_setting_is_wrong_usage_in_one_sentence(arguments, sentence):
    for command in ("serve", "config"):
        result = run(command, *arguments)
        assert result.exit_code == 2
        assert sentence in result.output


def test_a_wrong_variable_is_named():
    result = run("config", env={"TFS_PROXY_MODE": "strict"})
    assert result.exit_code == 2
    assert "strict" in result.output


def test_a_command_can_take_some_settings_only(file):
    from proxy.cli.settings import CONTEXT, effective, takes

    @click.command(context_settings=CONTEXT)
    @takes("upstream", "model")
    def command(**_):
        settings, origins = effective()
        click.echo(f"{settings.upstream} {settings.mode} {sorted(origins)}")

    result = CliRunner().invoke(command, ["--config", file])
    assert result.output == "file:1 enforce ['model', 'upstream']\n"


@pytest.mark.parametrize("command", ["config", "serve"])
def test_a_file_that_nests_without_end_is_wrong_usage_and_no_traceback(tmp_path, command):
    path = tmp_path / "proxy.yaml"
    path.write_text("[" * 2000)
    result = run(command, "--config", str(path))
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert "nested more than 20 deep" in result.output
