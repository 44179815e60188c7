"""What is found on ports where TF Serving should be: REST, TLS, silence, and nothing at all."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Self

import grpc

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_NEW_KEY = (
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "2",
)


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens: bound and never listening, so that nobody else can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@contextlib.contextmanager
def full_backlog() -> Iterator[str]:
    """An address that never answers an attempt to connect, as behind a firewall that drops packets."""
    with socket.socket() as server, contextlib.ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextlib.asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A TCP server that treats every connection so; it hangs up afterwards."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """TF Serving's REST port: HTTP/1 with the error texts of the genuine one, and no answer to HTTP/2."""
    line = await reader.readline()
    if line.startswith(b"PRI "):
        return
    body = b'{"error": "Could not find any versions of model tfs-proxy-probe"}'
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def nginx(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An HTTP/1 front."""
    await reader.readline()
    writer.write(b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """A process that is stopped: it takes connections and says nothing."""
    await reader.read()


async def hanging_up(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """A port forward to nowhere."""


async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Another service."""
    writer.write(b"220 mail.example ESMTP ready, how may I help you\r\n")
    await writer.drain()


def make_pki(folder: Path) -> Path:
    """`ca.pem`, and a certificate of its making for `tfs.example`: `server.pem`, `server.key`."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl(*_NEW_KEY, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    name = ("-addext", "subjectAltName=DNS:tfs.example")
    openssl(*_NEW_KEY, *signed, *name, "-subj", "/CN=server", "-keyout", "server.key", "-out", "server.pem")
    return folder


def self_signed(folder: Path, name: str, days: int) -> Path:
    """`NAME.pem`, a certificate of its own making, and its key, `NAME.key`."""
    path = folder / f"{name}.pem"
    how = ("-days", str(days), "-subj", f"/CN={name}", "-keyout", path.with_suffix(".key"), "-out", path)
    subprocess.run(["openssl", *_NEW_KEY, *how], check=True, capture_output=True)
    return path


def server_credentials(pki: Path, *, demand: bool = False) -> grpc.ServerCredentials:
    """For a gRPC server; `demand`: clients must show a certificate."""
    pair = (pki / "server.key").read_bytes(), (pki / "server.pem").read_bytes()
    if not demand:
        return grpc.ssl_server_credentials([pair])
    return grpc.ssl_server_credentials([pair], (pki / "ca.pem").read_bytes(), require_client_auth=True)


class Tunnel:
    """A way to `target` that can be cut: every connection at once, as when the server's process dies."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self._writers: list[asyncio.StreamWriter] = []
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.target = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Close the port and every connection through it."""
        self._server.close()
        self.drop()

    def drop(self) -> None:
        """Close every connection; the port stays open."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(self._host, int(self._port))
        self._writers += [writer, back]
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


class ForwardProxy:
    """An HTTP proxy that knows CONNECT alone. It answers with `answer`, and carries on when that says 200.

    `names` are hosts that only it can resolve; `asked` holds the head of each request. `eager`: what the server
    says first comes in one piece with the answer.
    """

    def __init__(
        self,
        answer: bytes = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n",
        *,
        eager: bool = False,
    ) -> None:
        self.answer = answer
        self.eager = eager
        self.names: dict[str, str] = {}
        self.asked: list[list[str]] = []
        self._carried: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._carried:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._carried.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
            self.asked.append(head)
            if b" 200 " not in self.answer:
                writer.write(self.answer)
                await writer.drain()
                writer.close()
                return
            host, _, port = head[0].split()[1].rpartition(":")
            there, back = await asyncio.open_connection(self.names.get(host, host), int(port))
            self._carried.append(back)
            writer.write(self.answer + (await there.read(1 << 16) if self.eager else b""))
            await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
