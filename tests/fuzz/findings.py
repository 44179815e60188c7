"""Inputs that broke something: each place in the code once, with what happened and the command that plays it again.

Law: an input, as small as it was met, and a text beside it. Nothing is known here of targets.
"""

import hashlib
import traceback
from pathlib import Path

_MOST = 20


class Findings:
    """Of one target, in a folder that others may write into too. `python` is how it is run that met them."""

    def __init__(self, folder: Path, target: str, python: str = "python") -> None:
        self._folder = folder
        self._target = target
        self._python = python
        self._sizes: dict[str, int] = {}

    def keep(self, data: bytes, error: BaseException) -> int:
        """Keep the input unless a smaller one did the same; how many findings that is more."""
        place = _place(error)
        name = f"{self._target}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"
        known = self._sizes.get(name)
        if (known is not None and known <= len(data)) or (known is None and len(self._sizes) >= _MOST):
            return 0
        self._sizes[name] = len(data)
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        if path.exists() and path.stat().st_size <= len(data):
            return int(known is None)
        told = "".join(traceback.format_exception(error))
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(
            f"{self._python} -m tests.fuzz --play {self._target} {path}\n\n{told}"
        )
        return int(known is None)


def _place(error: BaseException) -> str:
    """Where it happened: the kind of error and the last steps that led there, without line numbers of one's own."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return ":".join((type(error).__name__, *(f"{each.name}{each.lineno}" for each in frames[-2:])))
