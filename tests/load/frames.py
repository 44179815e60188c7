"""One HTTP/2 connection of a client, by hand: cheap, and able to do what a well-behaved library does not.

Law: octets and streams; knows gRPC's prefix and trailers and nothing of what is in a message. It is written for this
load alone: it trusts the proxy to keep to HTTP/2, and fails loudly where it does not.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Final

import hpack

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL: Final = 8
_WIDE: Final = 1 << 30
_KEPT: Final = 256
"""Blocks of headers whose meaning is remembered."""

LOST: Final = -1
"""Instead of a gRPC code: the connection ended before the call."""
RESET: Final = -2
"""Instead of a gRPC code: the stream was reset."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload


def framed(message: bytes, flag: int = 0) -> bytes:
    """A message with gRPC's prefix."""
    return bytes((flag,)) + len(message).to_bytes(4, "big") + message


_encoder = hpack.Encoder()


def head(path: str, authority: str, *more: tuple[str, str]) -> bytes:
    """The block of a call's headers, which means the same on every connection: nothing in it is indexed."""
    fields = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        *more,
    )
    return b"".join(
        _encoder.add((name.encode(), value.encode()), sensitive=True, huffman=False) for name, value in fields
    )


class Call:
    """One call; `ended(call)` is told when it is over. `code` is None until then."""

    __slots__ = (
        "body",
        "code",
        "ended",
        "kind",
        "number",
        "reason",
        "sent",
        "told",
        "unsent",
        "unsent_end",
        "window",
    )

    def __init__(self, kind: str, ended: "Callable[[Call], None]") -> None:
        self.kind = kind
        self.ended = ended
        self.number = 0
        self.code: int | None = None
        self.reason = ""
        self.body = bytearray()
        self.unsent: deque[memoryview] = deque()
        self.unsent_end = False
        self.window = 0
        self.told: object = None
        """What whoever began it wants to remember."""
        self.sent = 0.0


class Connection(asyncio.Protocol):
    """Connected by `connect`. `reads`: whether what comes is read at all."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.calls: dict[int, Call] = {}
        self.leaving = False
        """The proxy has asked this connection to go: no call may begin on it."""
        self._next = 1
        self._window = 65535
        self._initial = 65535
        self._frame_size = 16384
        self._input = bytearray()
        self._waiting: deque[Call] = deque()
        self._known: dict[bytes, dict[bytes, bytes]] = {}
        self._decoder = hpack.Decoder(max_header_list_size=1 << 20)
        self._block = b""
        self._full = False
        self._taken = 0

    @classmethod
    async def connect(cls, target: str) -> "Connection":
        host, _, port = target.rpartition(":")
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, int(port))
        return connection

    # === what the load does ===

    def begin(self, call: Call, block: bytes, body: bytes | None, *, ends: bool = True) -> None:
        """Begin a call; body None: nothing is sent yet."""
        number, self._next = self._next, self._next + 2
        call.number, call.window = number, self._initial
        self.calls[number] = call
        over = body is None and ends
        self._write(frame(HEADERS, END_HEADERS | (END_STREAM if over else 0), number, block))
        if body is not None:
            self.send(call, body, ends=ends)

    def send(self, call: Call, body: bytes, *, ends: bool = False) -> None:
        """Send octets of a call, as far as windows allow, the rest when they do."""
        call.unsent.append(memoryview(body))
        call.unsent_end = ends
        if call not in self._waiting:
            self._waiting.append(call)
        self._pump()

    def cancel(self, call: Call) -> None:
        """Reset it; nobody is told."""
        if self.calls.pop(call.number, None) is not None:
            self._write(frame(RST_STREAM, 0, call.number, struct.pack(">I", CANCEL)))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    @property
    def lost(self) -> bool:
        return self.transport is None

    # === what asyncio tells ===

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        settings = b"".join(struct.pack(">HI", *each) for each in ((1, 0), (2, 0), (4, _WIDE)))
        transport.write(  # type: ignore[attr-defined]
            PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", _WIDE))
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        for call in list(self.calls.values()):
            self._end(call, LOST, str(error or "closed"))

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def data_received(self, data: bytes) -> None:
        octets = self._input
        octets += data
        at, end = 0, len(octets)
        while end - at >= 9:
            word, flags, number = struct.unpack_from(">IBI", octets, at)
            size = word >> 8
            if end - at - 9 < size:
                break
            at += 9
            self._frame(word & 0xFF, flags, number, octets, at, size)
            at += size
        del octets[:at]

    # === frames ===

    def _frame(self, kind: int, flags: int, number: int, octets: bytearray, at: int, size: int) -> None:
        if kind == DATA:
            self._taken += size
            if self._taken > _WIDE >> 4:
                self._write(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._taken)))
                self._taken = 0
            call = self.calls.get(number)
            if call is not None:
                call.body += memoryview(octets)[at : at + size]
                assert not flags & END_STREAM, "an answer without trailers"
        elif kind in {HEADERS, CONTINUATION}:
            self._block += bytes(octets[at : at + size])
            self._ends = flags & END_STREAM if kind == HEADERS else self._ends
            if flags & END_HEADERS:
                block, self._block = self._block, b""
                self._headers(number, block, ends=bool(self._ends))
        elif kind == WINDOW_UPDATE:
            (more,) = struct.unpack_from(">I", octets, at)
            if number == 0:
                self._window += more
            elif number in self.calls:
                self.calls[number].window += more
            self._pump()
        elif kind == RST_STREAM:
            call = self.calls.get(number)
            if call is not None:
                self._end(call, RESET, f"error {struct.unpack_from('>I', octets, at)[0]}")
        elif kind == SETTINGS and not flags & ACK:
            for place in range(at, at + size, 6):
                name, value = struct.unpack_from(">HI", octets, place)
                if name == 4:
                    for call in self.calls.values():
                        call.window += value - self._initial
                    self._initial = value
                elif name == 5:
                    self._frame_size = value
            self._write(frame(SETTINGS, ACK, 0))
            self._pump()
        elif kind == PING and not flags & ACK:
            self._write(frame(PING, ACK, 0, bytes(octets[at : at + size])))
        elif kind == GOAWAY:
            self.leaving = True

    def _headers(self, number: int, block: bytes, *, ends: bool) -> None:
        fields = self._known.get(block)
        if fields is None:
            fields = dict(self._decoder.decode(block, raw=True))
            if len(self._known) < _KEPT:
                self._known[block] = fields
        call = self.calls.get(number)
        if call is not None and ends:
            code = int(fields.get(b"grpc-status", b"2"))
            self._end(call, code, fields.get(b"grpc-message", b"").decode())

    def _end(self, call: Call, code: int, reason: str) -> None:
        del self.calls[call.number]
        call.code, call.reason = code, reason
        call.unsent.clear()
        call.ended(call)

    def _pump(self) -> None:
        """Whatever windows and the socket allow."""
        waiting = self._waiting
        for _ in range(len(waiting)):
            call = waiting.popleft()
            if call.code is None and call.number in self.calls and not self._sent(call):
                waiting.append(call)

    def _sent(self, call: Call) -> bool:
        while call.unsent:
            piece = call.unsent[0]
            size = min(len(piece), self._window, call.window, self._frame_size)
            if (size <= 0 and piece) or self._full:
                return False
            rest = piece[size:]
            if rest:
                call.unsent[0] = rest
            else:
                call.unsent.popleft()
            over = not call.unsent and call.unsent_end
            self._write(frame(DATA, END_STREAM if over else 0, call.number, bytes(piece[:size])))
            self._window -= size
            call.window -= size
        return True

    def _write(self, octets: bytes) -> None:
        if self.transport is not None:
            self.transport.write(octets)
