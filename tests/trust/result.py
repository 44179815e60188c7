"""What one part of the suite found: written by the part itself, read by the report.

Law: a part measures and writes its figures here; what they mean to a reader is said in `parts.py`, and how they look in
`report.py`. A part that found something wrong says so in `failures`, and nothing makes it a success afterwards.
"""

import dataclasses
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
TREE = ROOT / ".compiled" / "tree"
"""Where `make compiled` has put the sources with their compiled modules."""
NOT_COMPILED = "the compiled build: not made here (make compiled)"
"""Why it took no part."""
PICTURES = ROOT / "docs" / "pictures"


def folder() -> Path:
    """Where results are kept."""
    return Path(os.environ.get("TFS_PROXY_TRUST", ROOT / ".trust"))


def _git(*words: str) -> str:
    if shutil.which("git") is None:
        return ""
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    ).stdout.strip()


def commit() -> str:
    """Of which commit the files are, and whether some were changed since."""
    return (_git("rev-parse", "--short", "HEAD") or "not known") + (
        " with changes" if _git("status", "--porcelain", "-uno") else ""
    )


def _circumstances() -> dict[str, str]:
    """On what, of what, and when: asked of the machine."""
    cpu = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{cpu[1] if cpu else platform.machine()}, {os.cpu_count()} cores, "
        f"{int(memory[1]) / 1024**2 if memory else 0:.0f} GiB, Linux {platform.release()}",
        "Python": platform.python_version(),
    }


def _command() -> str:
    """How this process was started, as a reader would type it."""
    spec = sys.modules["__main__"].__spec__
    return shlex.join(
        ["python", "-m", spec.name.removesuffix(".__main__") if spec else sys.argv[0], *sys.argv[1:]]
    )


@dataclass(frozen=True)
class Table:
    """Rows of cells, each as long as `columns`; `caption` is a sentence."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A file in docs/pictures/, and what can be seen in it."""

    file: str
    caption: str


@dataclass(frozen=True)
class Result:
    """Of one run of one part. `part` is its name in `parts.PARTS`.

    `figures`: what was counted or measured, with its unit, in reading order; none when nothing could be run. `failures`: one line for each thing that
    was found wrong. `skipped`: what this machine could not show, each with its reason. `seconds`: how long it took.
    """

    part: str
    figures: Mapping[str, str]
    seconds: float
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    failures: Sequence[str] = ()
    skipped: Sequence[str] = ()
    circumstances: Mapping[str, str] = field(default_factory=_circumstances)
    command: str = field(default_factory=_command)

    def save(self) -> int:
        """Keep it for the report, and tell it."""
        folder().mkdir(exist_ok=True)
        (folder() / f"{self.part}.json").write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        return self.tell()

    def tell(self) -> int:
        """Print it; the exit code of the part: 1 when something was wrong."""
        for name, figure in self.figures.items():
            print(f"{name}: {figure}")
        for reason in self.skipped:
            print(f"skipped: {reason}")
        for failure in self.failures:
            print(f"FAILED: {failure}")
        return 1 if self.failures else 0


def load(part: str) -> Result | None:
    """What was kept last of a part."""
    file = folder() / f"{part}.json"
    if not file.exists():
        return None
    kept = json.loads(file.read_text())
    kept["tables"] = [Table(**each) for each in kept["tables"]]
    kept["pictures"] = [Picture(**each) for each in kept["pictures"]]
    return Result(**kept)
