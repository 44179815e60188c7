"""A folder for the sockets of this process alone, and what killed processes have left of theirs.

Law: a folder is its process's as long as that holds a lock on it, which the kernel takes back however a process ends.
Nothing rests on process ids, which containers with one folder between them count each for themselves. (Systemd's
cleaning of temporary files keeps off what is locked, too.) Only folders that were made here are touched, which a mark
in them says, and none of other users.
"""

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

_PREFIX: Final = "tfs-proxy-private-"
_MARK: Final = ".made-by-tfs-proxy"
_LONGEST: Final = 107 - len("/local.sock")
"""So that a path in it fits the address of a Unix socket (unix(7))."""


class PrivateFolder:
    """A folder below the system's for temporary files that only its owner may enter, until it is removed.

    Raises OSError with a sentence for a person.
    """

    def __init__(self) -> None:
        _remove_abandoned(Path(tempfile.gettempdir()))
        self.path, self._lock = _locked_folder()
        if len(os.fsencode(self.path)) > _LONGEST:
            self.remove()
            raise OSError(
                f"no socket can be had in {self.path.parent}: the path is too long, set TMPDIR to a shorter one"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it with all that is in it; safe to call twice."""
        if self._lock >= 0:
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1


def _locked_folder() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Whoever is faster may have removed it: it is nobody's before it is locked.
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists():
                (path / _MARK).touch()
                return path, lock
            os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    with suppress(OSError):
        for path in parent.glob(f"{_PREFIX}*"):
            # Gone meanwhile, locked by who has it, or not to be opened: nobody's business here.
            with suppress(OSError):
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(lock)
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(os.open(_MARK, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=lock))
        shutil.rmtree(path)
    finally:
        os.close(lock)
