"""What the README claims and a machine can check; `python -m tests.test_readme` writes its settings table anew."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.config import DECLARED, about
from proxy.core import bounds
from proxy.core.reasons import Reason

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def settings_table() -> str:
    rows = ["| flag | default | |", "|---|---|---|"]
    for setting in DECLARED:
        declared = about(setting)
        default = setting.default
        if isinstance(default, bool):
            shown = "on" if default else "off"
        else:
            shown = declared.shown or (f"{default:g}" if isinstance(default, float) else default or "")
        told = f"`{shown}`" if shown and not declared.multiple else ""
        rows.append(f"| `--{declared.flag}` | {told} | {declared.help.replace('|', '/')} |")
    return "\n".join(rows) + "\n"


def with_settings(readme: str) -> str:
    before, _, rest = readme.partition(BEGIN)
    return f"{before}{BEGIN}{settings_table()}{END}{rest.partition(END)[2]}"


def test_the_settings_table_is_that_of_the_settings():
    readme = README.read_text(encoding="utf-8")
    assert readme == with_settings(readme)


def test_every_refusal_reason_is_listed():
    readme = README.read_text(encoding="utf-8")
    missing = [
        reason.value
        for reason in Reason
        if reason.about.family != "upstream" and f"`{reason.value}`" not in readme
    ]
    assert not missing


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


if __name__ == "__main__":
    README.write_text(with_settings(README.read_text(encoding="utf-8")), encoding="utf-8")
