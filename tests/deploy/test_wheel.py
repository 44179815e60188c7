"""What `pip install` brings: the package, and the pages that its commands show."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which the wheel was unpacked, far from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, capture_output=True, check=True
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_without_the_hook_the_wheel_is_for_every_python_and_system(installed):
    (told,) = installed.glob("*.dist-info/WHEEL")
    assert "Root-Is-Purelib: true" in told.read_text()
    assert "Tag: py3-none-any" in told.read_text()
    kinds = {".py", ".md", ".typed", ".yaml", ".html", ".css", ".js", ".svg"}
    assert {path.suffix for path in (installed / "proxy").rglob("*.*")} == kinds
    assert {path.name for path in installed.iterdir()} == {"proxy", told.parent.name}


def test_type_checkers_are_told_that_it_has_types(installed):
    assert (installed / "proxy" / "py.typed").exists()


@pytest.mark.parametrize("topic", ["RANK_MISMATCH", "F34", None])
def test_explain_finds_its_pages_in_the_wheel(installed, tmp_path, topic):
    script = "import proxy, sys; print(proxy.__file__, file=sys.stderr); from proxy.cli import main; main()"
    command = [sys.executable, "-c", script, "explain", *([topic] if topic else [])]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.stderr.strip() == str(installed / "proxy" / "__init__.py")
    assert "rank of the signature" in done.stdout or "no batch dimension" in done.stdout


def test_the_pages_are_those_of_the_checkout(installed):
    for name in ("failures.md", "reasons.md", "runbook.md"):
        assert (installed / "proxy" / "docs" / name).read_bytes() == (ROOT / "docs" / name).read_bytes()


def test_the_page_comes_with_its_templates_style_and_script(installed):
    pages = Path("proxy") / "observe" / "admin" / "pages"
    for folder in ("templates", "static"):
        names = {each.name for each in (ROOT / pages / folder).iterdir()}
        assert names == {each.name for each in (installed / pages / folder).iterdir()}
