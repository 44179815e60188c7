"""`python -m tests.faults.counted serve …`: the proxy, which tells at a Unix socket how many asyncio tasks it has.

Law: a thread of its own listens and asks the loop; nothing of the product is touched but where its loop is made.
"""

import asyncio
import os
import socket
import threading
from concurrent.futures import Future
from typing import Any

import uvloop

from proxy.cli import main

ADDRESS = "TFS_PROXY_COUNTED"
"""The variable that names the socket. Each connection is told the names of all tasks, a line each."""

_loops: list[asyncio.AbstractEventLoop] = []
_new_event_loop = uvloop.new_event_loop


def _remembered() -> asyncio.AbstractEventLoop:
    _loops.append(_new_event_loop())
    return _loops[-1]


def _tasks() -> list[str]:
    told: Future[list[str]] = Future()
    loop = _loops[-1]

    def tell() -> None:
        told.set_result([_name(task.get_coro()) for task in asyncio.all_tasks(loop)])

    loop.call_soon_threadsafe(tell)
    return told.result(10)


def _name(coroutine: Any) -> str:
    return getattr(coroutine, "__qualname__", type(coroutine).__name__)


def _listen(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall("\n".join(_tasks()).encode())


if __name__ == "__main__":
    uvloop.new_event_loop = _remembered
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.environ.pop(ADDRESS))
    listening.listen()
    threading.Thread(target=_listen, args=(listening,), daemon=True).start()
    main(prog_name="tfs-proxy")
