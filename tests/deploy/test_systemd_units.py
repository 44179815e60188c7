"""The units, read by systemd's own tool where it is installed, and held to what the proxy does."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config import DECLARED

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICE = (FOLDER / "tfs-proxy.service").read_text()
DEFAULTS = {setting.name: setting.default for setting in DECLARED}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)


def section(name: str, file: str = "tfs-proxy.service") -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str
    parser.read(FOLDER / file)
    return parser[name]


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def units(tmp_path) -> Path:
    """The units with a command that exists here, for that is looked at too."""
    command = Path(sys.executable).with_name("tfs-proxy")
    (tmp_path / "tfs-proxy.service").write_text(SERVICE.replace("/opt/tfs-proxy/bin/tfs-proxy", str(command)))
    shutil.copy(FOLDER / "tfs-proxy.socket", tmp_path)
    return tmp_path


@needs_systemd
def test_systemd_takes_both_units_without_a_word(units):
    done = analyze("verify", "--man=no", *units.iterdir())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_reload_is_what_the_proxy_takes_for_one():
    assert section("Service")["ExecReload"] == "kill -HUP $MAINPID"


@needs_systemd
def test_systemd_notices_a_mistake(units):
    service = units / "tfs-proxy.service"
    service.write_text(service.read_text().replace("PrivateTmp=", "PrivatTmp="))
    assert "PrivatTmp" in analyze("verify", "--man=no", service).stderr


@needs_systemd
def test_systemd_finds_little_that_the_service_may_and_does_not_need(units):
    # In tenths of 0 to 10; "OK" begins below 5, "SAFE" below 2.
    done = analyze("security", "--offline=yes", "--threshold=20", units / "tfs-proxy.service")
    assert done.returncode == 0, done.stdout


def test_the_command_is_one_that_there_is():
    assert section("Service")["ExecStart"].split()[1:] == ["serve"]


def test_every_setting_named_is_one_of_the_proxy():
    known = {f"TFS_PROXY_{setting.name.upper()}" for setting in DECLARED}
    named = set(re.findall(r"TFS_PROXY_[A-Z_]+", SERVICE))
    assert named
    assert named <= known


def test_stopping_may_take_as_long_as_draining_does():
    needed = DEFAULTS["drain_seconds"] + DEFAULTS["grace_seconds"]
    assert int(section("Service")["TimeoutStopSec"]) > needed


def test_the_socket_is_the_port_that_clients_call():
    assert section("Socket", "tfs-proxy.socket")["ListenStream"] == DEFAULTS["listen"].rpartition(":")[2]
