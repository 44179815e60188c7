"""What the README and the pages behind it claim and a machine can check; generated parts are checked in test_words.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.core import bounds

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").rglob("*.md")])
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """What can be linked to in a page, as its headings are written in an address."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_every_file_and_heading_linked_exists(page):
    for link, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), f"{link}#{anchor}"


def test_the_index_leads_to_every_page():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link, _ in LINK.findall(index.read_text(encoding="utf-8"))}
    assert set(PAGES) - linked == {index}


def test_the_readme_can_be_read_in_three_minutes():
    looked_at = r"^```.*?^```|^<picture>.*?^</picture>"
    text = re.sub(looked_at, "", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    # 250 words a minute; commands, outputs and pictures are looked at.
    assert len(re.findall(r"\w[\w'-]*", text)) < 3 * 250 + 100


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
