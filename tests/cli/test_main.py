"""The command line as a whole."""

import platform
import subprocess
import sys

import pytest
from click.testing import CliRunner

from proxy.cli import COMMANDS, main


def test_help_lists_every_command_without_importing_any():
    script = (
        "import sys; from proxy.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'grpc', 'google', 'aiohttp', 'yaml', 'tensorflow', 'rich', 'structlog'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "LOADED []" in output
    for name, lazy in COMMANDS.items():
        assert name in output
        assert lazy.summary.split()[0] in output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name):
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


def test_a_mistyped_command_gets_a_suggestion():
    result = CliRunner().invoke(main, ["serv"])
    assert result.exit_code == 2
    assert "did you mean 'serve'?" in result.output


def test_the_version_is_that_of_the_package_and_says_how_the_hot_path_runs():
    from importlib.metadata import version

    import proxy.core.rules

    hot_path = "interpreted" if proxy.core.rules.__file__.endswith(".py") else "compiled"
    told = CliRunner().invoke(main, ["--version"]).output
    assert told == f"tfs-proxy {version('tfs-proxy')} ({hot_path}, Python {platform.python_version()})\n"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("tfs-proxy ")
