"""`python -m tests.trust [--minutes M] [--only PART …] [--report]`: run the parts of the suite, write the report.

Law: docs/reliability.md is never written with less than it could say: who has run only some of the parts here finds the
report of those where the results are kept. The exit code is 1 when a part found something wrong, or left no result.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from tests.trust.command import above_zero, end_with, finished
from tests.trust.parts import PARTS, Part
from tests.trust.report import DOCUMENT, document
from tests.trust.result import NOT_COMPILED, ROOT, TREE, Result, folder, load


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.trust",
        description="Run the parts of the suite one after another; write docs/reliability.md.",
    )
    parser.add_argument(
        "--minutes", type=above_zero, default=60, help="for the parts that can use any time (%(default)s)"
    )
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="PART", help=f"of them only: {', '.join(names)}"
    )
    parser.add_argument(
        "--report", action="store_true", help="run nothing; write the report of what was kept in .trust"
    )
    told = parser.parse_args(arguments)
    chosen = [] if told.report else [part for part in PARTS if not told.only or part.name in told.only]
    wrong = [part.name for part in chosen if not _run(part, told.minutes * 60)]
    print(f"written: {_write()}")
    if wrong:
        print(f"something is wrong in: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _write() -> str:
    """The report, of what was kept; where it now stands."""
    results = [load(part.name) for part in PARTS]
    unknown = [part.name for part, result in zip(PARTS, results, strict=True) if result is None]
    file = folder() / DOCUMENT.name if unknown else DOCUMENT
    file.parent.mkdir(exist_ok=True)
    file.write_text(document(results))
    if not unknown:
        return str(DOCUMENT.relative_to(ROOT))
    return f"{file}; docs/reliability.md is as it was, since these were never run here: {', '.join(unknown)}"


def _run(part: Part, seconds: float) -> bool:
    command = part.started(seconds)
    print(f"=== {part.title}: python {' '.join(command)}", flush=True)
    if part.compiled and not TREE.exists():
        return Result(part.name, {}, 0.0, skipped=[NOT_COMPILED], command="").save() == 0
    tree = TREE if part.compiled else ROOT
    environment = os.environ | {
        "TFS_PROXY_TRUST": str(folder()),
        "TFS_PROXY_PART": part.name,
        "PYTHONPATH": str(tree),
    }
    began = time.time()
    code = finished([sys.executable, *command], cwd=tree, env=environment).returncode
    kept = folder() / f"{part.name}.json"
    if not kept.exists() or kept.stat().st_mtime < began:
        print(f"{part.name} ended with {code} and left no result", file=sys.stderr)
        return False
    return code == 0


if __name__ == "__main__":
    end_with(main)
