"""What the README claims and a machine can check; its generated parts are checked in test_words.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core import bounds

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


@pytest.mark.parametrize("page", [README, *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md"))])
def test_every_file_linked_exists(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_bounds_of_a_request_are_stated_as_figures():
    rows = (ROOT / "SECURITY.md").read_text(encoding="utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith("| parts of a request |")]
    numbers = bounds.MAX_INPUTS, bounds.MAX_STRINGS, bounds.MAX_FIELDS, bounds.MAX_DIMS
    assert [number for number in numbers if f"{number:,}".replace(",", " ") not in row] == []
    kib, mib = bounds.MAX_SPEC >> 10, bounds.MAX_NAMES >> 20
    assert [
        text for text in (f"{bounds.MAX_TASKS} tasks", f"{kib} KiB", f"{mib} MiB") if text not in row
    ] == []


def test_every_command_named_exists():
    named = set(re.findall(r"tfs-proxy ([a-z][a-z-]+)", README.read_text(encoding="utf-8")))
    help_text = subprocess.run(
        [sys.executable, "-m", "proxy", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    known = set(re.findall(r"^  ([a-z-]+)  ", help_text, re.MULTILINE))
    assert named
    assert named <= known
