"""`python -m tests.load.inside serve …`: the proxy, and what only it can tell of itself, once a second.

Law: the same program with one task more; it writes a line to the file in TFS_PROXY_TOLD: how many tasks there are, and
how late at most the event loop was.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from proxy import app
from proxy.cli import main

STEP = 0.05


async def _tell(path: Path) -> None:
    with path.open("w", buffering=1) as file:
        loop = asyncio.get_running_loop()
        while True:
            lag, until = 0.0, loop.time() + 1
            while (due := loop.time() + STEP) < until:
                await asyncio.sleep(STEP)
                lag = max(lag, loop.time() - due)
            # Beside this one.
            file.write(
                json.dumps({"time": time.time(), "tasks": len(asyncio.all_tasks()) - 1, "lag": lag}) + "\n"
            )


_telling: list[asyncio.Task[None]] = []


def _watched(make: Callable[[], asyncio.AbstractEventLoop]) -> Callable[[], asyncio.AbstractEventLoop]:
    def watched() -> asyncio.AbstractEventLoop:
        loop = make()
        loop.call_soon(lambda: _telling.append(loop.create_task(_tell(Path(os.environ["TFS_PROXY_TOLD"])))))
        return loop

    return watched


if __name__ == "__main__":
    made = app.loop_factory() or asyncio.new_event_loop
    app.loop_factory = lambda: _watched(made)
    main()
