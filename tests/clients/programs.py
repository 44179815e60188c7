"""The clients: how each is made, what it needs, and which cases it cannot play.

Law: one row of PROGRAMS for each. A client that cannot be made here says why (`MissingError`), and is never counted as one that
passed; what a client cannot do by its own nature stands in `lacks`, with the reason.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.script import UNIMPLEMENTED, Case
from tests.conftest import ROOT, Kept

HERE = Path(__file__).parent
GO_SOURCES = Path("/usr/share/gocode")
JARS = Path("/usr/share/java")
JAVA_NEEDS = (
    *("grpc-api", "grpc-context", "grpc-core", "grpc-netty", "grpc-stub", "guava", "perfmark-api"),
    *(
        "netty-buffer",
        "netty-codec",
        "netty-codec-http",
        "netty-codec-http2",
        "netty-codec-socks",
        "netty-common",
    ),
    *("netty-handler", "netty-handler-proxy", "netty-resolver", "netty-transport"),
    "netty-transport-native-unix-common",
)
CARGO_SOURCES = Path("/usr/share/cargo/registry")

DEBIAN = {
    "g++": ("g++",),
    "pkg-config": ("pkg-config",),
    "node": ("nodejs",),
    "npm": ("npm",),
    "curl": ("curl",),
    "nghttp": ("nghttp2-client",),
    "go": ("golang-go",),
    "javac": ("default-jdk-headless",),
    "cargo": ("cargo",),
    "": (
        *("libgrpc++-dev", "golang-google-grpc-dev", "libgrpc-java", "libnetty-java", "libperfmark-java"),
        *("librust-h2-dev", "librust-tokio-dev"),
    ),
}
"""What `python -m tests.clients --install` installs: the packages of each program that is missing, and libraries."""

Command = tuple[str, ...]


RECONNECTING = "reconnecting"
"""In `lacks`: proxy and server go and come back."""


class MissingError(Exception):
    """Why a client cannot be had here."""


@dataclass(frozen=True)
class Program:
    """`make` gives its command, to which the address is added. `lacks`: what a case may need and it cannot, and why.
    `direct`: the server without a proxy is enough for it."""

    name: str
    make: Callable[[Kept], Command]
    lacks: Mapping[str, str] = field(default_factory=dict)
    environment: Callable[[Kept], Mapping[str, str]] = lambda _: {}
    direct: bool = True

    def why_not(self, case: Case) -> str:
        """Why it does not play a case; "" when it does."""
        return next((why for need, why in self.lacks.items() if need in needs(case)), "")


def needs(case: Case) -> set[str]:
    """What a client must be able to do for a case."""
    found = {case.kind, f"cancel {case.cancel}"}
    if case.gzip or ("x-gzip", b"1") in case.metadata:
        found.add("gzip")
    if not case.path.startswith(("/tensorflow.serving.", "/grpc.")):
        found.add("any path")
    if case.path.startswith("/grpc."):
        found.add("services of gRPC")
    if case.code == UNIMPLEMENTED:
        found.add("an answer before the request is over")
    if case.reason == "REQUEST_MALFORMED":
        found.add("any octets")
    return found


def _run(command: Iterable[str | Path], why: str, **how: object) -> str:
    """Its output. What is installed over the network may fail, which is no fault of the client."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, timeout=240, check=False, **how)
    except subprocess.TimeoutExpired:
        raise MissingError(f"{why}: it took longer than four minutes") from None
    if done.returncode:
        raise MissingError(f"{why}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _build(command: Iterable[str | Path], **how: object) -> None:
    done = subprocess.run(list(command), capture_output=True, text=True, check=False, **how)
    assert done.returncode == 0, done.stderr[-3000:]


def _needed(*programs: str, files: Iterable[Path] = ()) -> None:
    for program in programs:
        if shutil.which(program) is None:
            raise MissingError(f"there is no {program} here")
    for file in files:
        if not file.exists():
            raise MissingError(f"there is no {file} here")


def _python(module: str) -> Callable[[Kept], Command]:
    return lambda _: (sys.executable, "-m", f"tests.clients.{module}")


def _curl(kept: Kept) -> Command:
    _needed("curl")
    if "HTTP2" not in _run(("curl", "--version"), "curl"):
        raise MissingError("curl is without HTTP/2 here")
    return _python("client_curl")(kept)


def _cpp(kept: Kept) -> Command:
    _needed("g++", "pkg-config")
    flags = _run(
        ("pkg-config", "--cflags", "--libs", "grpc++"), "there is no libgrpc++ to build with here"
    ).split()
    source = HERE / "client.cc"

    def build(folder: Path) -> None:
        _build(("g++", "-std=c++17", "-O1", "-o", folder / "client", source, *flags))

    return (str(kept("clients", source.read_bytes() + " ".join(flags).encode(), build) / "client"),)


def _go(kept: Kept) -> Command:
    _needed("go", files=(GO_SOURCES / "src" / "google.golang.org" / "grpc",))
    source = HERE / "client.go"

    def build(folder: Path) -> None:
        # Debian's packages are sources to be found by GOPATH, not modules.
        settings = {
            "GO111MODULE": "off",
            "GOPATH": str(GO_SOURCES),
            "GOFLAGS": "",
            "GOCACHE": str(folder / "cache"),
        }
        _build(("go", "build", "-o", folder / "client", source), env=os.environ | settings)
        _build(("go", "clean", "-cache"), env=os.environ | settings)

    return (str(kept("clients", source.read_bytes(), build) / "client"),)


def _java(kept: Kept) -> Command:
    jars = [JARS / f"{name}.jar" for name in JAVA_NEEDS]
    _needed("java", "javac", files=jars)
    source = HERE / "Client.java"
    path = ":".join(map(str, jars))

    def build(folder: Path) -> None:
        _build(("javac", "-d", folder, "-cp", path, source))

    folder = kept("clients", source.read_bytes() + path.encode(), build)
    return ("java", "-XX:TieredStopAtLevel=1", "-cp", f"{folder}:{path}", "Client")


def _node(kept: Kept) -> Command:
    _needed("node", "npm")
    files = [HERE / "node" / name for name in ("client.js", "package.json", "package-lock.json")]

    def install(folder: Path) -> None:
        for file in files:
            shutil.copy(file, folder)
        _run(
            ("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder),
            "npm could not install",
        )

    return (
        "node",
        str(kept("clients", b"".join(file.read_bytes() for file in files), install) / "client.js"),
    )


def _rust(kept: Kept) -> Command:
    _needed("cargo", files=(CARGO_SOURCES,))
    files = [HERE / "rust" / name for name in ("Cargo.toml", "client.rs")]

    def build(folder: Path) -> None:
        for file in files:
            shutil.copy(file, folder)
        (folder / ".cargo").mkdir()
        (folder / ".cargo" / "config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "{CARGO_SOURCES}"\n'
        )
        _run(("cargo", "build", "--offline", "--quiet"), "cargo could not build", cwd=folder)
        shutil.move(folder / "target" / "debug" / "client", folder / "client")
        shutil.rmtree(folder / "target")

    folder = kept("clients", b"".join(file.read_bytes() for file in files), build)
    return (str(folder / "client"),)


def _grpclib(kept: Kept) -> Mapping[str, str]:
    """grpclib beside the h2 and multidict that are there."""
    lock = HERE / "grpclib.lock"

    def install(folder: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps")
        _run((*pip, "--require-hashes", "--target", folder, "-r", lock), "pip could not install grpclib")

    return {"PYTHONPATH": f"{ROOT}:{kept('clients', lock.read_bytes(), install)}"}


_STUBS_ALONE = "the stubs have no such method"
_CHANNEL = "its channel is grpcio's, which plays these by itself"
_OF_STUBS = {
    "stream": _STUBS_ALONE,
    "pingpong": _STUBS_ALONE,
    "any path": _STUBS_ALONE,
    "any octets": _STUBS_ALONE,
}

PROGRAMS = (
    Program("Python, grpcio", _python("client_python")),
    Program("Python, grpc.aio", _python("client_aio")),
    Program(
        "TensorFlow 2 and its stubs",
        _python("client_tensorflow"),
        _OF_STUBS | {"services of gRPC": _STUBS_ALONE, RECONNECTING: _CHANNEL},
    ),
    Program("Python, grpclib", _python("client_grpclib"), {"gzip": "grpclib compresses nothing"}, _grpclib),
    Program(
        "a reflection client",
        _python("client_reflection"),
        {
            "stream": "it makes unary calls",
            "pingpong": "it makes unary calls",
            "any path": "the server tells nothing of it",
            "any octets": "it makes messages, not octets",
            "cancel told": "it waits for its answer",
            RECONNECTING: _CHANNEL,
        },
        direct=False,
    ),
    Program("C++", _cpp),
    Program("Node", _node),
    Program("Go", _go),
    Program("Java", _java),
    Program("Rust, h2", _rust, {"gzip": "h2 is HTTP/2 and compresses nothing"}),
    Program(
        "curl",
        _curl,
        {
            "pingpong": "it sends a whole body first",
            "an answer before the request is over": "it loses some (RFC 9113 §8.1; seen with 7.88), without a proxy too",
            RECONNECTING: "each of its calls is a connection of its own",
        },
    ),
)


def here(programs: Iterable[Program], kept: Kept) -> tuple[list[Program], dict[str, str]]:
    """Those that can be had here, made; and by name why the others cannot."""
    there, missing = [], {}
    for each in programs:
        try:
            each.make(kept)
            each.environment(kept)
        except MissingError as why:
            missing[each.name] = str(why)
        else:
            there.append(each)
    return there, missing
