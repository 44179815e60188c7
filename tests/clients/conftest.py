"""Programs that call as users' programs do; what must be built or installed for them is kept in pytest's cache."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

HERE = Path(__file__).parent
GRPC_JS = "@grpc/grpc-js@1.14.7"


def _kept(pytestconfig: pytest.Config, made_of: bytes, make: Callable[[Path], None]) -> Path:
    """The folder that `make` filled, in this run or an earlier one with the same `made_of`."""
    cache = pytestconfig.cache.mkdir("clients")
    folder = cache / hashlib.sha256(made_of).hexdigest()[:16]
    if not folder.exists():
        making = Path(tempfile.mkdtemp(dir=cache))
        try:
            make(making)
            with suppress(OSError):  # another run was faster
                making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder


def _needed(programs: Iterable[str]) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} here")


@pytest.fixture(scope="session")
def cpp_client(pytestconfig: pytest.Config) -> tuple[str, ...]:
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

    return (str(_kept(pytestconfig, source.read_bytes() + flags.stdout.encode(), build) / "client"),)


@pytest.fixture(scope="session")
def node_client(pytestconfig: pytest.Config) -> tuple[str, ...]:
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

    folder = _kept(pytestconfig, source.read_bytes() + GRPC_JS.encode(), install)
    return ("node", str(folder / "client.js"))
