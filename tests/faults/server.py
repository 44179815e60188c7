"""A server of its own process that speaks HTTP/2 as wrongly as it is told: frame by frame, or octet by octet.

Law: what is wrong with an answer is asked for by the request, in `x-fault`, so that everybody else on the same connection
is answered well by the same server. What is wrong with whole connections is an order, `do_greet`. Models and
judgement are those of `counting.py`; the transport is h2's, and raw octets where h2 would not do such a thing.
"""

import asyncio
import contextlib
import random
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import hpack

from tests.fake_serving import SERVICES, _AbortError
from tests.safety.counting import Counting, main

FAULT = "x-fault"
HEAD = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0,
    1,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
)
END_STREAM, END_HEADERS = 1, 4
FRAME = 16_384
Fields = list[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Connection(asyncio.Protocol):
    """One connection of a client. `h2` reads what comes and writes what is right."""

    def __init__(self, serving: "Wire") -> None:
        self.serving = serving
        config = h2.config.H2Configuration(
            client_side=False, header_encoding="utf-8", validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self.calls: dict[int, asyncio.Task[None]] = {}
        self.room = asyncio.Event()
        self.waiting = bytearray()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.serving.connections.add(self)
        greeting = GREETINGS[self.serving.greeting]
        if greeting is not None:
            greeting(self)
            return
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, _error: Exception | None) -> None:
        self.serving.connections.discard(self)
        for call in self.calls.values():
            call.cancel()

    def data_received(self, data: bytes) -> None:
        if self.serving.greeting != "well":
            return
        try:
            happened = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.flush()
            self.transport.close()
            return
        for event in happened:
            self._happened(event)
        self.flush()

    def _happened(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=stream, headers=fields):
                self.requests[stream] = dict(fields), bytearray()
            case h2.events.DataReceived(stream_id=stream, data=octets):
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
                self.requests[stream][1].extend(octets)
            case h2.events.StreamEnded(stream_id=stream):
                self.calls[stream] = asyncio.create_task(self._serve(stream))
            case h2.events.StreamReset(stream_id=stream):
                self.requests.pop(stream, None)
                if stream in self.calls:
                    self.calls[stream].cancel()
            case h2.events.WindowUpdated() | h2.events.RemoteSettingsChanged():
                self.room.set()
                self.room = asyncio.Event()

    def flush(self) -> None:
        """What h2 has to say."""
        self.raw(self.h2.data_to_send())

    def raw(self, octets: bytes) -> None:
        if self.transport.is_closing():
            return
        if not self.serving.slowly and not self.waiting:
            self.transport.write(octets)
            return
        if not self.waiting and octets:
            self.trickling = asyncio.create_task(self._trickle())
        self.waiting += octets

    async def _trickle(self) -> None:
        """An octet at a time, until nothing waits."""
        while self.waiting and not self.transport.is_closing():
            self.transport.write(bytes(self.waiting[:1]))
            await asyncio.sleep(0.0002)
            del self.waiting[:1]

    async def data(self, stream: int, octets: bytes, *, end: bool = False) -> None:
        """As much as the windows allow at a time."""
        view = memoryview(octets)
        while view:
            window = min(self.h2.local_flow_control_window(stream), FRAME)
            if window <= 0:
                await self.room.wait()
                continue
            piece, view = view[:window], view[window:]
            self.h2.send_data(stream, bytes(piece), end_stream=end and not view)
            self.flush()

    def fields(self, stream: int, fields: Fields, *, end: bool = False) -> None:
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()

    async def answer(self, stream: int, message: bytes, trailers: Fields | None = None) -> None:
        """A whole answer with one message."""
        self.fields(stream, HEAD)
        await self.data(stream, framed(message))
        self.fields(stream, OK if trailers is None else trailers, end=True)

    async def _serve(self, stream: int) -> None:
        self.serving.under_way += 1
        try:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                await self._answer(stream)
        finally:
            self.serving.under_way -= 1
            self.calls.pop(stream, None)
            self.requests.pop(stream, None)

    async def _answer(self, stream: int) -> None:
        fields, body = self.requests[stream]
        _, service, method = fields[":path"].split("/")
        if method not in SERVICES.get(service, ()):
            self.fields(stream, [*HEAD, ("grpc-status", "12")], end=True)
            return
        try:
            message = self.serving._settle(method, bytes(body[5:]))
        except _AbortError as abort:
            code: tuple[int, str] = abort.code.value
            self.fields(
                stream, [*HEAD, ("grpc-status", str(code[0])), ("grpc-message", abort.text)], end=True
            )
            return
        await FAULTS[fields.get(FAULT, "")](self, stream, message)

    def encoded(self, fields: Fields) -> bytes:
        """A block of fields that leaves no trace in the table."""
        return b"".join(
            b"\x10" + _string(name.encode()) + _string(value.encode("latin-1")) for name, value in fields
        )

    def reset(self) -> None:
        """RST instead of FIN."""
        own = self.transport.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _string(octets: bytes) -> bytes:
    return hpack.hpack.encode_integer(len(octets), 7) + octets


class Wire(Counting):
    """`greeting` is what it does with new connections, one of GREETINGS."""

    def __init__(self, address: str) -> None:
        super().__init__(address, mortal=False)
        self.greeting = "well"
        self.slowly = False
        self.connections: set[Connection] = set()

    @property
    def target(self) -> str:
        return f"{self._address.rpartition(':')[0]}:{self.port}"

    async def start(self) -> None:
        host, _, port = self._address.rpartition(":")
        server = await asyncio.get_running_loop().create_server(lambda: Connection(self), host, int(port))
        self.port = server.sockets[0].getsockname()[1]

    def do_greet(self, how: str) -> None:
        """From now on; those that are there are cut."""
        self.greeting = how
        for each in list(self.connections):
            each.transport.abort()

    def do_deafen(self) -> None:
        """Every connection stays, and nothing is read from it or said on it any more."""
        self.greeting = "silence"
        for each in self.connections:
            each.transport.pause_reading()
            for call in each.calls.values():
                call.cancel()

    def do_slowly(self, on: bool) -> None:
        """Every octet by itself."""
        self.slowly = on


# === what is wrong with an answer: of one stream ===

Answer = Callable[[Connection, int, bytes], Awaitable[None]]
FAULTS: dict[str, Answer] = {"": Connection.answer}


def fault(name: str) -> Callable[[Answer], Answer]:
    def declared(answer: Answer) -> Answer:
        FAULTS[name] = answer
        return answer

    return declared


def trailers(name: str, *fields: tuple[str, str]) -> None:
    """A message, and then these fields."""

    async def answer(connection: Connection, stream: int, message: bytes) -> None:
        connection.fields(stream, HEAD)
        await connection.data(stream, framed(message))
        block = connection.encoded(list(fields))
        first, rest = block[:FRAME], block[FRAME:]
        connection.raw(frame(HEADERS, END_STREAM | (0 if rest else END_HEADERS), stream, first))
        if rest:
            connection.raw(frame(CONTINUATION, END_HEADERS, stream, rest))

    FAULTS[name] = answer


def alone(name: str, *fields: tuple[str, str], body: bytes | None = None) -> None:
    """These fields as the head, and the end, or an octet string and the end."""

    async def answer(connection: Connection, stream: int, _message: bytes) -> None:
        head = connection.encoded(list(fields))
        connection.raw(frame(HEADERS, END_HEADERS | (END_STREAM if body is None else 0), stream, head))
        if body is not None:
            connection.raw(frame(DATA, END_STREAM, stream, body))

    FAULTS[name] = answer


def instead(name: str, octets: Callable[[Connection, int, bytes], bytes], *, begun: bool = True) -> None:
    """Octets of any kind: in the middle of the answer (`begun`), or in place of it."""

    async def answer(connection: Connection, stream: int, message: bytes) -> None:
        if begun:
            connection.fields(stream, HEAD)
            await connection.data(stream, framed(message)[:-1])
        connection.raw(octets(connection, stream, message))

    FAULTS[name] = answer


trailers("trailers-without-status", ("x-other", "1"))
trailers("trailers-with-two-statuses", ("grpc-status", "0"), ("grpc-status", "13"))
trailers("status-not-a-number", ("grpc-status", "fine"))
trailers("status-empty", ("grpc-status", ""))
trailers("status-unknown", ("grpc-status", "99"))
trailers("status-negative", ("grpc-status", "-1"))
trailers("message-of-bad-percents", ("grpc-status", "9"), ("grpc-message", "half %zz and %"))
trailers("message-of-bad-utf8", ("grpc-status", "9"), ("grpc-message", "%ff%fe"))
trailers("message-of-raw-octets", ("grpc-status", "9"), ("grpc-message", "\xe9\xff"))
trailers("details-not-base64", ("grpc-status", "9"), ("grpc-status-details-bin", "!!!"))
trailers("pseudo-field-in-trailers", (":status", "200"), ("grpc-status", "0"))
trailers("field-in-capitals", ("Grpc-Status", "0"))
trailers("trailers-too-large", ("grpc-status", "0"), ("x-large", "x" * 20_000))
# Beyond the 16 KiB that gRPC's core takes at most; between 8 and 16 it rolls dice.
alone("nothing", *HEAD)
alone("nothing-behind-a-message", *HEAD, body=framed(b""))
alone("other-content-type", (":status", "200"), ("content-type", "text/html"), body=b"<html>")
alone("http-503", (":status", "503"), ("content-type", "text/plain"), body=b"no")
alone("no-http-status", ("content-type", "application/grpc"), ("grpc-status", "0"))
alone("status-ok-without-message", *HEAD, ("grpc-status", "0"))
alone("message-cut-short", *HEAD, body=b"\0\0\0\0\x64half")
alone("message-of-4-gigabytes", *HEAD, body=b"\0\xff\xff\xff\xffhalf")
alone("message-with-unknown-flag", *HEAD, body=b"\x07\0\0\0\x01x")
alone("message-compressed-without-encoding", *HEAD, body=b"\1\0\0\0\x01x")


@fault("head-and-status-ok-without-message")
async def _neither(connection: Connection, stream: int, _message: bytes) -> None:
    connection.fields(stream, HEAD)
    connection.fields(stream, OK, end=True)


@fault("message-cut-short-and-status-ok")
async def _short(connection: Connection, stream: int, message: bytes) -> None:
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message)[:-1])
    connection.fields(stream, OK, end=True)


@fault("two-messages")
async def _two(connection: Connection, stream: int, message: bytes) -> None:
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message) * 2)
    connection.fields(stream, OK, end=True)


@fault("data-behind-the-end")
async def _behind(connection: Connection, stream: int, message: bytes) -> None:
    await connection.answer(stream, message)
    connection.raw(frame(DATA, 0, stream, b"more"))


@fault("octet-by-octet")
async def _dribble(connection: Connection, stream: int, message: bytes) -> None:
    """A DATA frame for each."""
    connection.fields(stream, HEAD)
    for octet in framed(message):
        await connection.data(stream, bytes((octet,)))
        await asyncio.sleep(0)
    connection.fields(stream, OK, end=True)


@fault("silence")
async def _silence(_connection: Connection, _stream: int, _message: bytes) -> None:
    await asyncio.Event().wait()


@fault("silence-in-the-middle")
async def _half(connection: Connection, stream: int, message: bytes) -> None:
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message)[:-1])
    await asyncio.Event().wait()


def _resetting(code: h2.errors.ErrorCodes) -> None:
    @fault(f"reset-{code.name.lower().replace('_', '-')}")
    async def answer(connection: Connection, stream: int, message: bytes) -> None:
        connection.fields(stream, HEAD)
        await connection.data(stream, framed(message)[:-1])
        connection.h2.reset_stream(stream, code)
        connection.flush()


for _code in (
    *(
        h2.errors.ErrorCodes.NO_ERROR,
        h2.errors.ErrorCodes.INTERNAL_ERROR,
        h2.errors.ErrorCodes.REFUSED_STREAM,
    ),
    *(h2.errors.ErrorCodes.CANCEL, h2.errors.ErrorCodes.ENHANCE_YOUR_CALM),
):
    _resetting(_code)


@fault("answer-before-goaway")
async def _leaving(connection: Connection, stream: int, message: bytes) -> None:
    """It says that it goes, and then keeps its word to all whom it has taken."""
    last = connection.h2.highest_inbound_stream_id
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message)[:-1])
    connection.raw(frame(GOAWAY, 0, 0, struct.pack(">II", last, 0)))
    await connection.data(stream, framed(message)[-1:])
    connection.fields(stream, OK, end=True)
    while len(connection.calls) > 1:  # noqa: ASYNC110 - the others that it has taken
        await asyncio.sleep(0.001)
    connection.transport.close()


# === of a whole connection ===


@fault("cut-by-fin")
async def _cut(connection: Connection, stream: int, message: bytes) -> None:
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message)[:-1])
    connection.transport.close()


@fault("cut-by-rst")
async def _rst(connection: Connection, stream: int, message: bytes) -> None:
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message)[:-1])
    connection.reset()


@fault("goaway-with-error")
async def _failing(connection: Connection, stream: int, message: bytes) -> None:
    connection.fields(stream, HEAD)
    await connection.data(stream, framed(message)[:-1])
    connection.raw(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2) + b"out of order"))
    connection.transport.close()


_RANDOM = random.Random(11)


def _random_frames(_connection: Connection, _stream: int, _message: bytes) -> bytes:
    return b"".join(
        frame(
            _RANDOM.randrange(16),
            _RANDOM.randrange(256),
            _RANDOM.randrange(64),
            _RANDOM.randbytes(_RANDOM.randrange(64)),
        )
        for _ in range(50)
    )


instead("noise", lambda *_: _RANDOM.randbytes(4096))
instead("random-frames", _random_frames)
instead("http1-in-the-middle", lambda *_: b"HTTP/1.1 500 Internal Server Error\r\n\r\n", begun=False)
instead("broken-hpack", lambda _, stream, __: frame(HEADERS, 5, stream, b"\xff\xff\xff\xff\xff"), begun=False)
instead("unknown-index", lambda _, stream, __: frame(HEADERS, 5, stream, b"\xfe"), begun=False)
instead(
    "unfinished-head",
    lambda _, stream, __: frame(HEADERS, 1, stream, b"") + frame(DATA, 0, stream, b"x"),
    begun=False,
)
instead("frame-too-large", lambda _, stream, __: frame(DATA, 0, stream, bytes(FRAME * 2)))
instead("data-on-no-stream", lambda *_: frame(DATA, 0, 0, b"x"))
instead("head-of-a-stream-that-nobody-opened", lambda *_: frame(HEADERS, 5, 99_999, b"\x88"))
instead("push-promise", lambda _, stream, __: frame(PUSH_PROMISE, 4, stream, bytes((0, 0, 0, 2)) + b"\x82"))
instead("window-overflow", lambda *_: frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2)
instead("settings-out-of-range", lambda *_: frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 31)))
instead(
    "endless-head",
    lambda _, stream, __: frame(HEADERS, 0, stream, b"\x10\x01x\x01y")
    + frame(CONTINUATION, 0, stream, b"\x10\x01x\x01y" * 3000) * 400,
    begun=False,
)  # fmt: skip


# === what a server may say at any time, and what it may not, about whole connections; the answer follows as it should ===


def before(name: str, *octets: bytes, pause: float = 0.0) -> None:
    """These octets, one string after the other, and then the answer, as if nothing had been."""

    async def answer(connection: Connection, stream: int, message: bytes) -> None:
        for each in octets:
            connection.raw(each)
            await asyncio.sleep(pause)
        await connection.answer(stream, message)

    FAULTS[name] = answer


def _setting(number: int, value: int) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", number, value))


TABLE, WINDOW, LARGEST, FIELDS = 1, 4, 5, 6
FLOOD = 20_000
before("windows-shut-and-opened", _setting(WINDOW, 0), _setting(WINDOW, 65_535), pause=0.2)
before("no-table-and-a-huge-one", _setting(TABLE, 0), _setting(TABLE, 1 << 31), _setting(TABLE, 4096))
before("frames-of-16-megabytes", _setting(LARGEST, (1 << 24) - 1))
before("heads-of-nothing-for-a-while", _setting(FIELDS, 0), _setting(FIELDS, 1 << 20), pause=0.2)
before("goaway-of-nobody-twice", frame(GOAWAY, 0, 0, struct.pack(">II", (1 << 31) - 1, 0)) * 2)
before("flood-of-settings", frame(SETTINGS, 0, 0, b"") * FLOOD)
before("flood-of-pings", frame(PING, 0, 0, bytes(8)) * FLOOD)
before("flood-of-unknown-frames", frame(0xFA, 0, 0, bytes(8)) * FLOOD)


def _whole(begin: Fields, octets: bytes, end: Fields) -> Callable[[Connection, int, bytes], bytes]:
    """An answer with these fields; `octets` stand before its message."""
    return lambda connection, stream, message: (
        frame(HEADERS, END_HEADERS, stream, connection.encoded(begin))
        + octets.replace(b"STRM", stream.to_bytes(4, "big"))
        + frame(DATA, 0, stream, framed(message))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, connection.encoded(end))
    )


instead("http-status-twice", _whole([*HEAD, *HEAD], b"", OK), begun=False)
instead("line-break-in-a-trailer", _whole(HEAD, b"", [*OK, ("x-a", "b\r\nc: d")]), begun=False)
instead("flood-of-empty-data", _whole(HEAD, b"\0\0\0\0\0STRM" * FLOOD, OK), begun=False)
instead("flood-of-resets", lambda _, stream, __: frame(RST_STREAM, 0, stream, bytes(3) + b"\x08") * FLOOD)
instead(
    "table-larger-than-allowed",
    lambda _, stream, __: frame(HEADERS, 5, stream, b"\x3f\xff\xff\xff\x07"),
    begun=False,
)


# === what is wrong from the first octet on ===

Greeting = Callable[[Connection], None]


def _hang_up(connection: Connection) -> None:
    connection.transport.close()


def _say(octets: bytes) -> Greeting:
    return lambda connection: connection.raw(octets)


GREETINGS: dict[str, Greeting | None] = {
    "well": None,
    "silence": lambda _: None,
    "hanging-up": _hang_up,
    "resetting": Connection.reset,
    "noise": _say(random.Random(12).randbytes(512)),
    "http1": _say(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
    "half-a-greeting": _say(frame(SETTINGS, 0, 0, b"")[:5]),
    "wrong-first-frame": _say(frame(DATA, 0, 1, b"x")),
}


if __name__ == "__main__":
    asyncio.run(main(Wire(sys.argv[1])))
