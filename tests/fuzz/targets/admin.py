"""Requests of the admin port, in octets cut anywhere: answers of HTTP without an error of ours, and nothing without a token.

The first octet says where the octets are cut. An answer names the version that was asked for, which is aiohttp's way. The port's own protocol runs on an event loop, without a socket.
"""

import asyncio
import logging
import re

from proxy.core.tokens import read_tokens
from proxy.observe.admin.server import AdminServer
from proxy.observe.admin.views import Check, Sources
from proxy.observe.metrics import Metrics

_TOKEN = "0123456789abcdef"
_ANSWER = re.compile(rb"(?:\A|\n)HTTP/[0-9]\.[0-9] (\d{3}) [^\r\n]*\r\n(.*?)\r\n\r\n", re.DOTALL)
_SOURCES = Sources(lambda: [Check("upstream", ok=True)], tuple, tuple, tuple)


class _Errors(logging.Handler):
    """What aiohttp logs of a failure, which it answers with 500."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.met: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.met.append(record)


_LOOP = asyncio.new_event_loop()
_ERRORS = _Errors()
logging.getLogger("aiohttp").addHandler(_ERRORS)


async def _server(**how) -> AdminServer:
    server = AdminServer(Metrics(("1", "3.11", "interpreted")).registry, _SOURCES, version="1", **how)
    await server._runner.setup()
    return server


_OPEN = _LOOP.run_until_complete(_server())
_CLOSED = _LOOP.run_until_complete(_server(tokens=read_tokens(f"somebody:{_TOKEN}")))


class _Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""
        self.closing = False

    def write(self, data) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _answers(server: AdminServer, pieces: list[bytes]) -> bytes:
    protocol, transport = server._connection(), _Transport()
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.closing:
            protocol.data_received(piece)
            await asyncio.sleep(0)
    quiet = 0
    while quiet < 4 and not transport.closing:
        before = len(transport.written)
        # The metrics are put into words in a thread; events have no end.
        waits = protocol.answering and protocol._lost is None
        await asyncio.sleep(0.0005 if waits else 0)
        quiet = quiet + 1 if not waits and len(transport.written) == before else 0
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    return transport.written


def seeds() -> list[bytes]:
    return [
        b"\x50GET /livez HTTP/1.1\r\nHost: localhost:8601\r\n\r\n",
        b"\x09GET /readyz?verbose HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\nGET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x50HEAD /api/refusals HTTP/1.0\r\nAuthorization: Bearer 0123456789abcdef\r\n\r\n",
        b"\x50GET /metrics?name[]=up HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text\r\n\r\n",
        b"\x50POST /try HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 9\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\nrequest=x",
        b"\x50GET http://localhost/api/history?model=%zz&step=x HTTP/1.1\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x50GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic OjAxMjM0NTY3ODlhYmNkZWY=\r\n\r\n",
    ]


def check(data: bytes) -> None:
    if not data:
        return
    step, octets = 1 + data[0], data[1:]
    pieces = [octets[start : start + step] for start in range(0, len(octets), step)]
    for server in (_OPEN, _CLOSED):
        said = _LOOP.run_until_complete(_answers(server, pieces))
        assert not _ERRORS.met, _ERRORS.met.pop().getMessage()
        assert not server._connections._open
        found = _ANSWER.findall(said)
        assert bool(found) == bool(said), said[:500]
        for status, fields in found:
            assert int(status) < 500 or status == b"503"
            assert b"X-Content-Type-Options: nosniff" in fields
            if (
                server is _CLOSED
                and status == b"200"
                and b"0123456789abcdef" not in octets
                and b"basic" not in octets.lower()
            ):
                assert re.search(rb"livez|readyz|%", octets, re.IGNORECASE)
