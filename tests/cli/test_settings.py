"""Precedence and origins: flag over environment over file over default."""

import json
import tempfile
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from proxy.cli import main
from proxy.cli.config import as_yaml
from proxy.cli.settings import unknown_variables
from proxy.config import DECLARED, ModelSettings, Settings, about, read_file
from proxy.core.policy import Mode
from proxy.core.reasons import Reason, Severity
from proxy.core.values import InputPolicy, StringKind
from tests.odd_servers import self_signed
from tests.proxy_process import running_proxy


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
    assert effective("--config", file)["severities"] == ({"BATCH_EMPTY": "off"}, "file")
    assert effective("--severity", "BATCH_EMPTY=refuse", "--config", file)["severities"] == (
        {"BATCH_EMPTY": "refuse"},
        "flag",
    )
    assert effective(env={"TFS_PROXY_SEVERITIES": "BATCH_EMPTY=warn INPUT_MISSING=off"})["severities"] == (
        {"BATCH_EMPTY": "warn", "INPUT_MISSING": "off"},
        "environment",
    )


def test_a_variable_is_named_as_the_flag_or_as_the_setting():
    for name in ("TFS_PROXY_SEVERITY", "TFS_PROXY_SEVERITIES"):
        assert effective(env={name: "BATCH_EMPTY=warn"})["severities"] == (
            {"BATCH_EMPTY": "warn"},
            "environment",
        )


@pytest.mark.parametrize("reason", ["OVERLOADED", "REQUEST_STALLED", "UPSTREAM_RESET", "CLIENT_NOT_ALLOWED"])
def test_what_no_severity_changes_takes_none(reason):
    result = run("config", "--severity", f"{reason}=warn")
    assert result.exit_code == 2
    assert f"{reason} is no finding about a request" in result.output


def test_switches_can_be_turned_either_way_from_every_source(file):
    assert effective("--config", file)["reflection"] == (False, "file")
    assert effective("--config", file, "--reflection")["reflection"] == (True, "flag")
    assert effective(env={"TFS_PROXY_REFLECTION": "0"})["reflection"] == (False, "environment")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """What settings may name: a certificate `a.pem` with `a.key`, and `tokens`."""
    folder = tmp_path_factory.mktemp("files")
    self_signed(folder, "a", 9)
    (folder / "tokens").write_text("a:0123456789abcdef\n")
    return folder


@pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.name)
def test_every_setting_has_a_flag_and_a_variable(setting, files):
    result = run("serve", "--help")
    assert f"--{about(setting).flag}" in result.output
    # Only together.
    tls = ("upstream_cert", "upstream_key", "listen_cert", "listen_key", "listen_client_ca")
    admin = ("admin_cert", "admin_key")
    together = tls if setting.name in {*tls, "client_san"} else admin if setting.name in admin else ()
    names = {setting.name, *together}
    shown = effective(env={f"TFS_PROXY_{name.upper()}": _example(name, files) for name in names})
    assert shown[setting.name][1] == "environment"


def test_config_says_what_is_wrong_with_the_files_that_are_named(files):
    pem, tokens = str(files / "a.pem"), str(files / "tokens")
    result = run(
        *("config", "--listen-cert", pem, "--listen-key", pem),
        *("--upstream-ca", tokens, "--admin-tokens", pem),
    )
    assert result.exit_code == 2
    for words in (
        f"--listen-cert: {pem} and {pem} cannot be used: no PEM, or a key with a password",
        f"--upstream-ca: {tokens} cannot be used: no certificate or crl found",
        f"--admin-tokens: {pem}: line 1: is not NAME:TOKEN",
    ):
        assert words in result.output


def _example(name: str, files: Path) -> str:
    if name.endswith(("_cert", "_ca")):
        return str(files / "a.pem")
    if name.endswith(("_key", "_tokens")):
        return str(files / ("a.key" if name.endswith("_key") else "tokens"))
    return {
        "upstream": "a:1",
        "listen": "a:1",
        "admin_listen": "a:1",
        "mode": "observe",
        "edge": "native",
        "severities": "BATCH_EMPTY=off",
        "otlp_endpoint": "http://a:1",
        "allow_method": "/a.Service/*",
        "log_level": "debug",
        "log_format": "json",
    }.get(name, "1")


def test_a_comment_behind_each_value_says_its_origin():
    result = run("config", "--mode", "observe")
    (line,) = (line for line in result.output.splitlines() if line.startswith("mode:"))
    assert line.split() == ["mode:", "observe", "#", "flag"]
    assert "\x1b" not in result.output


names = st.text(min_size=1, max_size=12) | st.sampled_from(
    [
        "yes",
        "null",
        "1",
        "1e3",
        "0x1F",
        "2026-01-01",
        "a: b",
        "# x",
        "- x",
        "a\nb",
        "\u202e",
        "*a",
        "~",
        "=",
        "<<",
        "'",
    ]
)
severities = st.dictionaries(
    st.sampled_from([Reason.BATCH_EMPTY, Reason.SHAPE_MISMATCH, Reason.VALUE_CONSTANT]),
    st.sampled_from(Severity),
    max_size=2,
)
bounds = st.none() | st.floats(-1e300, 0)
inputs = st.builds(
    InputPolicy, bounds, bounds.map(lambda low: low and -low), st.none() | st.sampled_from(StringKind)
)
models = st.builds(
    ModelSettings,
    st.none() | st.sampled_from(Mode),
    severities,
    st.none() | st.just(-1) | st.integers(1, 10**6),
    st.dictionaries(names, inputs, max_size=2),
    st.integers(1, 100),
)
any_settings = st.builds(
    Settings,
    mode=st.sampled_from(Mode),
    severities=severities,
    model=st.lists(names, max_size=3).map(tuple),
    upstream_server_name=st.none() | names,
    max_message_bytes=st.just(-1) | st.integers(1, 2**63 - 1),
    poll_seconds=st.floats(0.05, 1e6),
    default_deadline=st.none() | st.floats(1e-9, 1e9),
    capture_sample=st.floats(1e-12, 1),
    output_sample=st.floats(0, 1),
    reflection=st.booleans(),
    capture=st.none() | names.filter(lambda name: "\0" not in name).map(lambda name: Path("/nowhere", name)),
    models=st.dictionaries(names, models, max_size=3),
)


@given(any_settings)
def test_what_config_prints_is_a_file_that_says_the_same(settings):
    printed = as_yaml(settings, {})
    assert printed.isascii()
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(printed)
        file.flush()
        assert Settings(**read_file(Path(file.name))) == settings


def test_what_config_prints_can_be_put_back(tmp_path, files):
    (tmp_path / "a.yaml").write_text(
        "models: {detector: {mode: observe, inputs: {x: {min: 0, max: 1}}, severities: {BATCH_EMPTY: refuse}}}\n"
        f"upstream_ca: {files / 'a.pem'}\nmode: off\n"
    )
    printed = run(
        "config", "--config", str(tmp_path / "a.yaml"), "--model", "m", env={"TFS_PROXY_MAX_BATCH": "8"}
    )
    (tmp_path / "b.yaml").write_text(printed.output)
    values = effective("--config", str(tmp_path / "b.yaml"))
    assert values["models"] == (
        {
            "detector": {
                "mode": "observe",
                "severities": {"BATCH_EMPTY": "refuse"},
                "inputs": {"x": {"min": 0.0, "max": 1.0}},
                "sample": 1,
            }
        },
        "file",
    )
    assert values["model"] == (["m"], "file")
    assert values["max_batch"] == (8, "file")
    assert "Settings(" not in printed.output
    again = run("config", "--config", str(tmp_path / "b.yaml"))
    assert yaml.safe_load(again.output) == yaml.safe_load(printed.output)


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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("TFS_PROXY_UPSTREM", "did you mean TFS_PROXY_UPSTREAM?"),
        ("TFS_PROXY_LOGLEVEL", "did you mean TFS_PROXY_LOG_LEVEL?"),
        ("TFS_PROXY_CONFG", "did you mean TFS_PROXY_CONFIG?"),
        ("tfs_proxy_mode", "did you mean TFS_PROXY_MODE?"),
        ("TFS_PROXY_PORT", "is no setting"),
        ("TFS_PROXY_ZZZZZZZ", "`tfs-proxy serve --help` lists the settings"),
    ],
)
def test_a_variable_that_is_no_setting_is_warned_about_by_name_with_the_nearest(name, hint):
    result = run("config", env={name: "secret-value"})
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Warning: the variable {name} is no setting and has no effect; ")
    assert hint in line
    assert "secret-value" not in line
    assert "Warning" not in result.stdout


def test_a_server_tells_such_a_variable_in_its_log():
    with running_proxy(env={"TFS_PROXY_UPSTREM": "x:1"}) as proxy:
        line = proxy.wait_for("unknown_variable")
    assert line["name"] == "TFS_PROXY_UPSTREM"
    assert "did you mean TFS_PROXY_UPSTREAM?" in line["text"]


def test_neither_settings_nor_what_kubernetes_makes_of_a_service_name_are_warned_about():
    links = {
        "TFS_PROXY_SERVICE_HOST": "10.0.0.1",
        "TFS_PROXY_SERVICE_PORT": "8600",
        "TFS_PROXY_SERVICE_PORT_GRPC": "8600",
        "TFS_PROXY_PORT": "tcp://10.0.0.1:8600",
        "TFS_PROXY_PORT_8600_TCP": "tcp://10.0.0.1:8600",
        "TFS_PROXY_PORT_8600_TCP_PROTO": "tcp",
        "TFS_PROXY_PORT_8600_TCP_PORT": "8600",
        "TFS_PROXY_PORT_8600_TCP_ADDR": "10.0.0.1",
        "TFS_PROXY_ADMIN_SERVICE_HOST": "10.0.0.2",
        "TFS_PROXY_ADMIN_PORT": "tcp://10.0.0.2:8601",
    }
    settings = {f"TFS_PROXY_{setting.name.upper()}": "" for setting in DECLARED}
    assert (
        unknown_variables(
            links | settings | {"TFS_PROXY_CONFIG": "", "TFS_PROXY_SEVERITY": "", "TFS_PROXY_TOKEN": ""}
        )
        == {}
    )


def test_a_wrong_variable_is_named():
    result = run("config", env={"TFS_PROXY_MODE": "strict"})
    assert result.exit_code == 2
    assert "strict" in result.output


def test_a_command_can_take_some_settings_only(file):
    from proxy.cli.settings import CONTEXT, effective, takes

    @click.command(context_settings=CONTEXT)
    @takes("upstream", "model")
    def command(**_):
        settings, origins, _ = effective()
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
