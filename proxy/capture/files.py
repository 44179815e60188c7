"""Where captures go: a folder of rotated files, or one file.

Law: every file is a whole warm-up file at any moment: at most 1000 records, never half a record. Only the
owner may read it. Called from one thread; may take its time; OSError is for the caller.
"""

import hashlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import quote

MOST_RECORDS: Final = 1000
"""TF Serving refuses to load a model whose warm-up file has more (`saved_model_warmup_util.h`; measured)."""

_FILES: Final = 8
"""Into how many files the bytes are divided, so that the oldest to go is a small part of all."""
_REFUSED_SHARE: Final = 8
"""What part of the bytes refusals may take, so that a flood of them never pushes the requests out."""
_LONGEST_NAME: Final = 100
_NUMBERED: Final = re.compile(r"(.+)\.(\d{6,})\.(tfrecord|jsonl)", re.DOTALL)


class Turn(NamedTuple):
    """Whose files of a folder these are where several write into it: those whose number leaves `which` over `of`."""

    which: int = 0
    of: int = 1

    def takes(self, number: int) -> bool:
        return number % self.of == self.which

    def after(self, number: int) -> int:
        """The first number after this one."""
        return number + 1 + (self.which - number - 1) % self.of


ONLY: Final = Turn()


class Sink(Protocol):
    """Takes what the recorder writes. `pieces` are one record, framing included."""

    def record(self, model: str, pieces: Sequence[bytes]) -> bool:
        """Write one record; False: there is no room for it."""

    def refused(self, line: bytes) -> bool:
        """Write one line about a refusal; False: there is no room for it."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(slots=True, eq=False)
class _File:
    path: Path
    size: int = 0
    entries: int = 0


class RotatingFolder:
    """`MODEL.000001.tfrecord`, … and `refused.000001.jsonl`, … in one folder, together at most `max_bytes`.

    When there is no more room the oldest files go; files of earlier runs count too and are never appended to. Where
    several processes record into the folder each has its `turn`, and touches no file of another's.
    """

    def __init__(self, folder: Path, max_bytes: int, turn: Turn = ONLY) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        refused = max_bytes // _REFUSED_SHARE
        self._requests = _Rotation(folder, ".tfrecord", max_bytes - refused, turn)
        self._refusals = _Rotation(folder, ".jsonl", refused, turn)

    def record(self, model: str, pieces: Sequence[bytes]) -> bool:
        return self._requests.append(_file_name(model), pieces)

    def refused(self, line: bytes) -> bool:
        return self._refusals.append("refused", (line,))

    def close(self) -> None:
        """Nothing to do: every file is complete."""


class _Rotation:
    """The files of one kind in a folder, oldest first."""

    def __init__(self, folder: Path, suffix: str, max_bytes: int, turn: Turn) -> None:
        self._turn = turn
        self._folder = folder
        self._suffix = suffix
        self._max_bytes = max_bytes
        self._current: dict[str, _File] = {}
        self._last: dict[str, int] = {}
        found = []
        for path in folder.glob(f"*{suffix}"):
            match = _NUMBERED.fullmatch(path.name)
            if match is not None and turn.takes(int(match[2])):
                found.append((path.stat().st_mtime, _File(path, path.stat().st_size)))
                self._last[match[1]] = max(int(match[2]), self._last.get(match[1], 0))
        self._files = [file for _, file in sorted(found, key=lambda each: each[0])]
        self._total = sum(file.size for file in self._files)

    def append(self, name: str, pieces: Sequence[bytes]) -> bool:
        size = sum(map(len, pieces))
        if size > self._max_bytes:
            return False
        file = self._current.get(name)
        if file is None or file.entries >= MOST_RECORDS or file.size + size > self._max_bytes // _FILES:
            file = self._next(name)
        while self._total + size > self._max_bytes:
            self._drop_oldest()
        if file not in self._files:
            self._files.append(file)
        _append(file, pieces)
        self._total += size
        return True

    def _next(self, name: str) -> _File:
        number = self._last[name] = self._turn.after(self._last.get(name, 0))
        file = self._current[name] = _File(self._folder / f"{name}.{number:06}{self._suffix}")
        return file

    def _drop_oldest(self) -> None:
        oldest = self._files.pop(0)
        oldest.path.unlink(missing_ok=True)
        self._total -= oldest.size
        oldest.size = oldest.entries = 0


class OneFile:
    """The requests of one model in one file, which appears when it is complete.

    `full` is called once, after `records` records or when `max_bytes` have no more room.
    """

    def __init__(self, path: Path, records: int, max_bytes: int, full: Callable[[], None]) -> None:
        self._path = path
        self._file = _File(path.with_name(f".{path.name}.{os.getpid()}.partial"))
        self._records = records
        self._max_bytes = max_bytes
        self._full = full
        self._done = False

    @property
    def records(self) -> int:
        """How many are written."""
        return self._file.entries

    def record(self, model: str, pieces: Sequence[bytes]) -> bool:  # noqa: ARG002  all are of one model
        if self._done:
            return False
        fits = self._file.size + sum(map(len, pieces)) <= self._max_bytes
        if fits:
            _append(self._file, pieces)
        if not fits or self._file.entries >= self._records:
            self._done = True
            self._full()
        return fits

    def refused(self, line: bytes) -> bool:  # noqa: ARG002  a warm-up file has no place for it
        return True

    def close(self) -> None:
        if self._file.entries:
            self._file.path.replace(self._path)


def _append(file: _File, pieces: Sequence[bytes]) -> None:
    """Write all of `pieces` at the end of the file, or nothing."""
    descriptor = os.open(file.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as out:  # noqa: PTH123  Path.open has no way to set the mode
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[out.write(view) :]
        except OSError:
            if file.size:
                out.truncate(file.size)
            else:
                file.path.unlink(missing_ok=True)
            raise
    file.size += sum(map(len, pieces))
    file.entries += 1


def _file_name(model: str) -> str:
    """A file name for a model's name, which may hold anything."""
    name = quote(model, safe="")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
