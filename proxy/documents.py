"""The pages of docs/ that travel with the package, for whoever explains with their words.

Law: finds and reads; nothing is said here that does not stand there.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parent


@cache
def document(name: str) -> str:
    """A page of docs/: within the package where that is installed, beside it in a checkout."""
    installed = _PACKAGE / "docs" / name
    return (installed if installed.is_file() else _PACKAGE.parent / "docs" / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """What stands in a page under a heading, given with its marks (`### RANK_MISMATCH`), until the next of any rank."""
    _, _, rest = document(name).partition(f"\n{heading}\n")
    return re.split(r"^(?:##|<!--)", rest, maxsplit=1, flags=re.MULTILINE)[0].strip()
