"""`python -m tests.trust [--minutes M] [--only PART …] [--report]`: run the parts of the suite, write the report.

The exit code is 1 when a part found something wrong, or could not be run.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.trust.parts import PARTS, Part
from tests.trust.report import DOCUMENT, document
from tests.trust.result import ROOT, TREE, folder, load


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.trust",
        description="Run the parts of the suite one after another; write docs/reliability.md.",
    )
    parser.add_argument(
        "--minutes", type=float, default=60, help="for the parts that can use any time (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=[part.name for part in PARTS], help="these parts")
    parser.add_argument(
        "--report", action="store_true", help="run nothing; write the report of what was kept"
    )
    told = parser.parse_args(arguments)
    chosen = [] if told.report else [part for part in PARTS if not told.only or part.name in told.only]
    wrong = [part.name for part in chosen if not _run(part, told.minutes * 60)]
    DOCUMENT.write_text(document([load(part.name) for part in PARTS]))
    print(f"written: {DOCUMENT.relative_to(ROOT)}")
    if wrong:
        print(f"something is wrong in: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _run(part: Part, seconds: float) -> bool:
    command = [word.format(seconds=f"{seconds * part.share:.0f}") for word in part.command]
    print(f"=== {part.title}: python {' '.join(command)}", flush=True)
    if part.compiled and not TREE.exists():
        print("skipped: the compiled build was not made here (make compiled)")
        return True
    tree = TREE if part.compiled else ROOT
    environment = os.environ | {
        "TFS_PROXY_TRUST": str(folder()),
        "TFS_PROXY_PART": part.name,
        "PYTHONPATH": str(tree),
    }
    began = time.time()
    code = subprocess.run([sys.executable, *command], cwd=tree, env=environment, check=False).returncode
    kept = folder() / f"{part.name}.json"
    if not kept.exists() or kept.stat().st_mtime < began:
        print(f"{part.name} ended with {code} and left no result", file=sys.stderr)
        return False
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
