"""A server of its own process that can be killed, comes back where it was, and knows what it should not have run."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Self

from tests.fake_serving import DT_FLOAT
from tests.proxy_process import PATIENCE, ROOT
from tests.safety.counting import DIED, DT_STRING

Inputs = Mapping[str, tuple[int, tuple[int, ...] | None]]

MODELS: dict[str, Inputs] = {
    "m": {"x": (DT_FLOAT, (-1, 3))},
    "conv": {"image": (DT_FLOAT, (-1, 4, 4, 3))},
    "text": {"words": (DT_STRING, (-1,))},
    "many": {f"x{number}": (DT_FLOAT, (-1,)) for number in range(8)},
}
"""What every server has; `conv` is the one that batchless images kill."""


_MOST_STARTS = 20
_ENDED = object()
"""In place of an answer: the process has ended."""


class _EndedError(Exception):
    """The process has ended instead of answering."""


class CountingServer:
    """See counting.py for what it is told with `order`. `ran` are the contradictions of all its lives, `marks` the
    first octets of their tensors.

    `mortal`: it dies of a request whose rank is wrong; `deaths` counts those. `before` is a command that starts it.
    """

    process = "tests.safety.counting"
    """The module that is run."""

    def __init__(
        self,
        *,
        mortal: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        before: tuple[str, ...] = (),
    ) -> None:
        self.ran: list[str] = []
        self.marks: list[int] = []
        self.deaths = 0
        self._mortal = mortal
        self._before = before
        self._address = f"{host}:{port}"
        self._loaded: dict[tuple[str, int], Inputs] = {(name, 1): inputs for name, inputs in MODELS.items()}
        self._begin()
        self.target = self._address

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def order(self, do: str, **how: Any) -> Any:
        """Have something done, and return what is answered. What ran before is in `ran` afterwards."""
        self._process.stdin.write(json.dumps({"do": do} | how) + "\n")
        self._process.stdin.flush()
        answer = self._done.get(timeout=PATIENCE)
        if answer is _ENDED:
            raise _EndedError
        return answer

    def load(self, model: str, inputs: Inputs, version: int = 1) -> None:
        """Have a version of a model, also after a restart."""
        self._loaded[model, version] = inputs
        self.order("load", model=model, version=version, inputs=inputs)

    def swap(self, model: str, version: int, inputs: Inputs) -> None:
        """The version takes the place of all others, also after a restart."""
        self._loaded = {key: loaded for key, loaded in self._loaded.items() if key[0] != model}
        self._loaded[model, version] = inputs
        self.order("swap", model=model, version=version, inputs=inputs)

    def comes_back_with(self, model: str, inputs: Inputs) -> None:
        """Have another signature for the same version from the next start on."""
        self._loaded[model, 1] = inputs

    def comes_back_without(self, model: str) -> None:
        """Have the model no more from the next start on."""
        self._loaded = {key: loaded for key, loaded in self._loaded.items() if key[0] != model}

    def unload(self, model: str) -> None:
        """Have the model no more, also after a restart."""
        self.comes_back_without(model)
        self.order("unload", model=model)

    @contextlib.contextmanager
    def spared(self) -> Iterator[None]:
        """Nothing that contradicts a signature is run while the block runs."""
        before = len(self.ran)
        yield
        if self.alive:
            self.order("under_way")
        ran = self.ran[before:]
        assert not ran, f"{len(ran)} bad requests run: {ran[:5]}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """As by SIGKILL: no goodbye on any connection."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._buried()

    def revive(self) -> None:
        """Come back where it was, with every model, once whatever killed the last one is told of."""
        self._buried()
        self._begin()

    def _buried(self) -> None:
        if self._process.stdin.closed:
            return
        code = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        self.deaths += code == DIED
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _begin(self) -> None:
        """Start where it was. Meanwhile a client's own end of a connection may have had that port: then once more."""
        for _ in range(_MOST_STARTS):
            self._launch()
            for (model, version), inputs in self._loaded.items():
                self.order("load", model=model, version=version, inputs=inputs)
            with contextlib.suppress(_EndedError):
                self._address = self.order("start")
                return
            self._buried()
        raise AssertionError(f"the server cannot start at {self._address}")

    def _launch(self) -> None:
        flags = ("mortal",) if self._mortal else ()
        self._process = subprocess.Popen(
            [*self._before, sys.executable, "-m", self.process, self._address, *flags],
            cwd=ROOT,
            env=os.environ | {"GRPC_VERBOSITY": "NONE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: Any) -> None:
        for line in lines:
            told = json.loads(line)
            if "ran" in told:
                self.ran.append(told["ran"])
                self.marks.append(told["mark"])
            else:
                self._done.put(told["done"])
        self._done.put(_ENDED)
