"""`python -m tests.supply [--trust]`: install what is shipped as a user would, and compare; then ask for advisories.

What the lock names is installed by its hashes into an empty environment, and the bill of materials written of that is
compared with the lock. The index says what was taken back (yanked); pip-audit, at the version given here, what is
known to be vulnerable. Where either cannot be asked this is told, and nothing is counted as found well.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

from tests.supply.locks import LOCKS, REQUIREMENTS, ROOT, SHIPPED, licence, pinned, unhashed
from tests.trust.command import end_with
from tests.trust.result import Result, Table

PIP_AUDIT = "pip-audit==2.10.1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.supply", description=__doc__)
    parser.add_argument("--trust", action="store_true", help="keep what was found for docs/reliability.md")
    told = parser.parse_args()
    began = time.monotonic()
    failures = [f"{lock}: no hash for {entry}" for lock in LOCKS for entry in unhashed(lock)]
    skipped: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        bill, yanked = _bill(Path(folder) / "shipped")
        audit, advisories = _audit(Path(folder) / "audit")
    unlike = sorted(bill.items() ^ pinned(SHIPPED).items())
    failures += [
        f"the bill of materials and {SHIPPED} differ in {name} {version}" for name, version in unlike
    ]
    failures += [f"taken back by the index: {line}" for line in yanked]
    failures += advisories or []
    if advisories is None:
        skipped.append(f"advisories: pip-audit had no data here ({audit})")
    figures = {
        "lock files, every pin with its hashes": f"{len(LOCKS)} of {len(LOCKS)}"
        if not any("no hash" in each for each in failures)
        else "no",
        "packages in the bill of materials of an environment installed by hashes": str(len(bill)),
        f"of these as {SHIPPED} has them": f"{len(bill) - sum(each in bill.items() for each in unlike)}",
        "taken back by the index": str(len(yanked)),
        "known vulnerabilities": "not asked" if advisories is None else str(len(advisories)),
    }
    licences: dict[str, int] = {}
    for name in bill:
        licences[licence(name)] = licences.get(licence(name), 0) + 1
    table = Table(
        "Licences of what is shipped ([all of them](licences.md)):",
        ("licence", "packages"),
        [(name, str(count)) for name, count in sorted(licences.items(), key=lambda each: -each[1])],
    )
    result = Result("supply", figures, time.monotonic() - began, [table], (), failures, skipped)
    return result.save() if told.trust else result.tell()


def _bill(folder: Path) -> tuple[dict[str, str], list[str]]:
    """What is installed by the lock's hashes, as the bill of materials tells it; and what pip said of yanked files."""
    python = _environment(folder)
    done = subprocess.run(
        [python, "-m", "pip", "install", "--no-deps", "--require-hashes", "-r", REQUIREMENTS / SHIPPED],
        capture_output=True,
        text=True,
        check=True,
    )
    (site,) = folder.glob("lib/python*/site-packages")
    subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", "setuptools", "pip"], check=True)
    bill = json.loads(
        subprocess.check_output([sys.executable, ROOT / "deploy" / "docker" / "sbom.py", site], text=True)
    )
    told = {each["name"]: each["version"] for each in bill["components"]}
    return told, re.findall(r"^.*yanked.*$", done.stderr, re.MULTILINE)


def _audit(folder: Path) -> tuple[str, list[str] | None]:
    """What pip-audit found, or None and why it could not look."""
    python = _environment(folder)
    subprocess.run([python, "-m", "pip", "install", "-q", PIP_AUDIT], check=True, capture_output=True)
    done = subprocess.run(
        [python, "-m", "pip_audit", "--disable-pip", "--no-deps", "-f", "json", "-r", REQUIREMENTS / SHIPPED],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return "it could not ask", None
    unknown = [each["name"] for each in found if "vulns" not in each]
    if unknown:
        return f"nothing known of {len(unknown)} of {len(found)} packages", None
    return "", [f"{each['name']} {each['version']}: {vuln['id']}" for each in found for vuln in each["vulns"]]


def _environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


if __name__ == "__main__":
    end_with(main)
