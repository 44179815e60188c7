"""
Questions about models over the pool that carries the calls: the control plane of the native edge.

Law: a question is one more who wants a stream, with a time and a bound of its own; it holds nothing of a client and
goes before the calls that wait, since what they wait for may be its answer. Decides nothing about models.
"""

import asyncio
import time
from typing import Final, final

from proxy.edge.native import rpc
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.fields import HeaderBlock
from proxy.edge.native.http2.stream import Buffer, Stream
from proxy.edge.native.pool import Pool
from proxy.edge.native.rpc import PREFIX, response_head
from proxy.upstream.control import BackendState, ControlError

MAX_ANSWER: Final = 64 << 20
"""Octets of an answer beyond which it is given up; the metadata of large models has some hundred KiB."""

_ATTEMPTS: Final = 3


@final
class PoolWay:
    """A pool as the one way to the server (see `upstream.control.Way`)."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @property
    def up(self) -> bool | None:
        return self.pool.up

    def backends(self) -> list[BackendState]:
        return self.pool.states()

    async def start(self) -> None:
        await self.pool.start()

    async def stop(self) -> None:
        await self.pool.stop()

    async def ask(self, method: str, message: bytes, timeout: float) -> bytes:
        question = _Question(self.pool, method, message, time.monotonic() + timeout)
        question.open()
        self.pool.exchange.flush()
        try:
            async with asyncio.timeout(timeout):
                return await question.answer
        except TimeoutError:
            raise ControlError(rpc.DEADLINE_EXCEEDED, question.late()) from None
        finally:
            question.close()


@final
class _Question:
    """One unary call. A `Waiter` for a connection, and the `StreamSink` of its stream."""

    def __init__(self, pool: Pool, method: str, message: bytes, deadline: float) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._pool = pool
        self._method = method
        self._message = message
        self._deadline = deadline
        self._connection: Connection | None = None
        self._stream: Stream | None = None
        self._waits = False
        self._attempts = 0
        self._received = bytearray()

    def open(self) -> None:
        """Ask, from the start, on the next connection that takes a stream."""
        connection = self._pool.pick_first()
        if connection is None:
            self._waits = True
            self._pool.wait(self, first=True, held=False)
        else:
            self.connected(connection)

    def connected(self, connection: Connection) -> None:
        self._waits = False
        self._attempts += 1
        self._received.clear()
        pool = self._pool
        left = max(0.0, self._deadline - time.monotonic())
        block = encode_fields(
            (
                (b":method", b"POST"),
                (b":scheme", pool.scheme),
                (b":path", self._method.encode()),
                (b":authority", pool.authority),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
                (b"user-agent", b"tfs-proxy"),
            )
        )
        block += rpc.timeout_field(rpc.format_timeout(left))
        self._connection = connection
        self._stream = connection.open(self, block)
        message = len(self._message).to_bytes(PREFIX, "big") + self._message
        connection.send_data(self._stream, [message], len(message), True)

    def unreachable(self, reason: str) -> None:
        self._waits = False
        self._fail(rpc.UNAVAILABLE, reason)

    def late(self) -> str:
        """Say what was waited for when the time was up."""
        if self._waits:
            return f"the deadline passed before a connection to {self._pool.target} was free"
        return "Deadline Exceeded"

    def close(self) -> None:
        """Leave nothing open, however the question ended."""
        if self._waits:
            self._pool.forget(self)
            self._waits = False
        connection, stream = self._connection, self._stream
        if connection is not None and stream is not None:
            self._connection = self._stream = None
            connection.reset(stream, frames.CANCEL)
            self._pool.freed(connection)
            self._pool.exchange.flush()
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()  # it may have come with the end of the time

    def _fail(self, code: int, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ControlError(code, text))

    def _end(self, block: HeaderBlock) -> None:
        head = response_head(block)
        if head.fault:
            self._fail(rpc.UNKNOWN if head.code is None else head.code, head.fault)
        elif head.code is None:
            self._fail(rpc.UNKNOWN, "the answer ended without a gRPC status")
        elif head.code != rpc.OK:
            self._fail(head.code, rpc.message_of(block))
        elif self._received[:1] != b"\0" or len(self._received) != PREFIX + int.from_bytes(
            self._received[1:PREFIX], "big"
        ):
            self._fail(rpc.INTERNAL, "the answer is not one message as it was asked for")
        elif not self.answer.done():
            self.answer.set_result(bytes(memoryview(self._received)[PREFIX:]))

    # === what the connection tells ===

    def on_head(self, _stream: Stream, block: HeaderBlock, ended: bool) -> None:
        if ended or response_head(block).fault:
            self._end(block)

    def on_informational(self, stream: Stream, block: HeaderBlock) -> None:
        """Nothing that a question needs."""

    def on_data(self, stream: Stream, pieces: list[Buffer], size: int, ended: bool) -> None:
        if self._connection is not None:
            self._connection.consume(stream, size)
        if len(self._received) + size > PREFIX + MAX_ANSWER:
            self._fail(rpc.RESOURCE_EXHAUSTED, f"the answer is larger than {MAX_ANSWER} bytes")
        elif not self.answer.done():
            for piece in pieces:
                self._received += piece
            if ended:
                self._fail(rpc.UNKNOWN, "the answer ended without a gRPC status")

    def on_trailers(self, _stream: Stream, block: HeaderBlock) -> None:
        self._end(block)

    def on_reset(self, _stream: Stream, code: int, reason: str, unprocessed: bool) -> None:
        if unprocessed and self._attempts < _ATTEMPTS and not self.answer.done():
            self._connection = self._stream = None
            self.open()
            return
        status = rpc.UNAVAILABLE if unprocessed else rpc.status_of_reset(code)
        self._fail(status, f"the server {self._pool.target} did not answer in full: {reason}")

    def on_sent(self, stream: Stream, count: int) -> None:
        """Nothing waits for it."""
