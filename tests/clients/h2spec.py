"""h2spec, strict, at the port of each edge: `python -m tests.clients.h2spec`; the result is a part.

h2spec is a program of others, https://github.com/summerwind/h2spec: what $H2SPEC names, or one in PATH. The native edge must
pass every case. HTTP/2 of the grpcio edge is gRPC core's: what it does otherwise is named, beside a bare server of grpcio.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.odd_servers import self_signed
from tests.proxy_process import EDGES, running_proxy
from tests.transparency.scripted import ScriptedServer
from tests.trust.command import end_with
from tests.trust.result import Result, Table

BARE = "a bare server of grpcio"
MISSING = "there is no h2spec here, neither in PATH nor as $H2SPEC"


@dataclass(frozen=True)
class Counted:
    """What h2spec counted: `failed` are the names of cases, with the number of their section."""

    passed: int
    skipped: int
    failed: tuple[str, ...]


def h2spec() -> str | None:
    return os.environ.get("H2SPEC") or shutil.which("h2spec")


def version(program: str) -> str:
    told = subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout
    return told.partition("\n")[0].partition(" (")[0].removeprefix("Version: ")


def asked(program: str, address: str, *flags: str, seconds: int = 2) -> Counted:
    host, _, port = address.rpartition(":")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        where = ("-h", host, "-p", port, "-P", "/tfs.test.Nobody/Call", "-o", str(seconds), "-j", str(report))
        subprocess.run((program, "-S", *where, *flags), stdout=subprocess.DEVNULL, check=False)
        cases = [
            (f"{suite.get('package')} {case.get('classname')}", {child.tag for child in case})
            for suite in ET.parse(report).iter("testsuite")
            for case in suite.iter("testcase")
        ]
    failed = tuple(name for name, tags in cases if tags & {"failure", "error"})
    skipped = sum("skipped" in tags for _, tags in cases)
    return Counted(len(cases) - len(failed) - skipped, skipped, failed)


@contextmanager
def listening(edge: Sequence[str], *flags: str) -> Iterator[str]:
    """The address of a proxy in front of a server that answers everything."""
    with ExitStack() as stack:
        server = ScriptedServer()
        stack.callback(server.stop)
        yield stack.enter_context(
            running_proxy("--upstream", server.target, "--mode", "off", *edge, *flags)
        ).target


def tls(folder: Path) -> tuple[str, ...]:
    """The proxy's flags for a certificate of its own making."""
    certificate = self_signed(folder, "localhost", 2)
    return "--listen-cert", str(certificate), "--listen-key", str(certificate.with_suffix(".key"))


def main() -> int:
    argparse.ArgumentParser(
        prog="python -m tests.clients.h2spec",
        description="Run h2spec, in PATH or named by $H2SPEC, at the port of each edge.",
    ).parse_args()
    program = h2spec()
    if program is None:
        return Result("http2", {}, 0.0, skipped=[MISSING]).save()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        secured = tls(Path(folder))
        bare = ScriptedServer()
        stack.callback(bare.stop)
        asking: dict[str, tuple[str, ...]] = {}
        for edge, flags in EDGES.items():
            asking[f"{edge} edge"] = (stack.enter_context(listening(flags)),)
            asking[f"{edge} edge, TLS"] = (stack.enter_context(listening(flags, *secured)), "-t", "-k")
        asking[BARE] = (bare.target,)
        print(f"asking at {len(asking)} ports at once, for two minutes or so", flush=True)
        # Most of the time is spent in waiting for what never comes.
        with ThreadPoolExecutor(len(asking)) as pool:
            found = dict(
                zip(asking, pool.map(lambda how: asked(program, *how), asking.values()), strict=True)
            )
    return _result(version(program), found, time.monotonic() - began).save()


def _result(program: str, found: dict[str, Counted], seconds: float) -> Result:
    failures = [
        f"{where}: {name}"
        for where, told in found.items()
        if where.startswith("native")
        for name in told.failed
    ]
    counts = Table(
        "Strict cases. HTTP/2 of the grpcio edge is gRPC core's; what a server of grpcio without any proxy makes of them stands "
        "beside it.",
        ("asked", "passed", "skipped", "failed"),
        [
            (where, str(told.passed), str(told.skipped), str(len(told.failed)))
            for where, told in found.items()
        ],
    )
    native = found["native edge"]
    figures = {
        "h2spec": program,
        "native edge": f"{native.passed} of {native.passed + len(native.failed)} passed",
    }
    return Result("http2", figures, seconds, [counts, *_failed(found)], (), failures)


def _failed(found: dict[str, Counted]) -> list[Table]:
    """What does not pass at the proxy: by section where a server of grpcio does not pass it either, else each case."""
    at_proxy = {where: told for where, told in found.items() if where != BARE}
    where_failed: dict[str, list[str]] = {}
    for where, told in at_proxy.items():
        for name in told.failed:
            where_failed.setdefault(name, []).append(where)
    shared = where_failed.keys() & set(found[BARE].failed)
    sections = Counter(name.partition(" ")[0] for name in shared)
    return [
        Table(
            "What passes at a server of grpcio without a proxy, and where it does not with one.",
            ("case", "where"),
            [(name, "; ".join(where)) for name, where in sorted(where_failed.items()) if name not in shared],
        ),
        Table(
            "What passes neither there nor at a server of grpcio without a proxy, by section of h2spec.",
            ("section", "cases"),
            [(name, str(count)) for name, count in sorted(sections.items())],
        ),
    ]


if __name__ == "__main__":
    end_with(main)
