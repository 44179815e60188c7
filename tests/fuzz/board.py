"""What a process that fuzzes has done so far, where whoever started it can read it even if that process is gone.

Law: a file in shared memory: two counters, and the input at hand.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Self

_HEAD = struct.Struct("<QQI")
_SIZE = 1 << 17


class Board:
    """Written by one process, read by another."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self.executions, self._findings, _ = _HEAD.unpack_from(memory)

    @classmethod
    def open(cls, path: Path) -> Self:
        """The board in this file, which is made if it is not there."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE)
            return cls(mmap.mmap(descriptor, _SIZE))
        finally:
            os.close(descriptor)

    def begin(self, data: bytes) -> None:
        """Note that one more input is run."""
        self.executions += 1
        size = min(len(data), _SIZE - _HEAD.size)
        self._memory[_HEAD.size : _HEAD.size + size] = data[:size]
        _HEAD.pack_into(self._memory, 0, self.executions, self._findings, size)

    @property
    def findings(self) -> int:
        return self._findings

    @findings.setter
    def findings(self, number: int) -> None:
        self._findings = number
        struct.pack_into("<Q", self._memory, 8, number)

    def look(self) -> int:
        """How many executions whoever writes has noted."""
        self.executions, self._findings, _ = _HEAD.unpack_from(self._memory)
        return self.executions

    def at_hand(self) -> bytes:
        """The input that was run last."""
        _, _, size = _HEAD.unpack_from(self._memory)
        return self._memory[_HEAD.size : _HEAD.size + size]
