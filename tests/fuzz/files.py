"""Octets as a file that the product opens by its path: in memory, where there is such a place."""

import atexit
import shutil
import tempfile
from pathlib import Path

_SHARED = Path("/dev/shm")


def folder() -> Path:
    """A folder of this process, gone with it."""
    path = Path(tempfile.mkdtemp(dir=_SHARED if _SHARED.is_dir() else None))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
