"""Programs that call as users' programs do; what must be built or installed for them is kept in pytest's cache."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.conftest import Kept

HERE = Path(__file__).parent
GRPC_JS = "@grpc/grpc-js@1.14.7"


def _needed(programs: Iterable[str]) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")


@pytest.fixture(scope="session")
def cpp_client(kept: Kept) -> tuple[str, ...]:
    """The command of client.cc, built with the libgrpc++ of this machine."""
    _needed(("g++", "pkg-config"))
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "grpc++"], capture_output=True, text=True, check=False
    )
    if flags.returncode:
        pytest.skip(f"there is no libgrpc++ to build with here: {flags.stderr.strip()}")
    source = HERE / "client.cc"

    def build(folder: Path) -> None:
        command = ["g++", "-std=c++17", "-O1", "-o", folder / "client", source, *flags.stdout.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]

    return (str(kept("clients", source.read_bytes() + flags.stdout.encode(), build) / "client"),)


@pytest.fixture(scope="session")
def node_client(kept: Kept) -> tuple[str, ...]:
    """The command of client.js, beside an installed @grpc/grpc-js."""
    _needed(("node", "npm"))
    source = HERE / "client.js"

    def install(folder: Path) -> None:
        command = [
            "npm",
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
            folder,
            GRPC_JS,
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm could not install {GRPC_JS} within two minutes")
        if done.returncode:
            pytest.skip(f"npm could not install {GRPC_JS}: {done.stderr.strip()[-200:]}")
        shutil.copy(source, folder)

    folder = kept("clients", source.read_bytes() + GRPC_JS.encode(), install)
    return ("node", str(folder / "client.js"))
