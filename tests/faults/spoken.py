"""A call by hand: the octets that a client sends, frame by frame, and what it hears.

Law: knows HTTP/2 and gRPC's framing, and nothing of faults. h2 makes the octets, so that it understands the answer
however few of them are sent; a block of headers is cut in two frames, as a client with long ones does.
"""

import asyncio
import contextlib
import socket
import struct
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.edge.conftest import PREDICT
from tests.safety.clients import Fields, head

PREFACE = 24
FRAME_HEAD = 9
HEADERS, CONTINUATION = 1, 9
END_HEADERS = 0x4
PREFIX = 5
PATIENCE = 10.0


@dataclass(frozen=True)
class Point:
    """How far a client has come. `began`: its call is one; `whole`: nothing is missing."""

    name: str
    octets: bytes
    began: bool
    whole: bool


@dataclass
class Heard:
    """What came back. `status` None: none; `ended`: the stream or the connection has."""

    status: int | None = None
    text: str = ""
    octets: int = 0
    reset: int | None = None
    went_away: bool = False
    closed: bool = False
    stream_ended: bool = False
    seconds: float = 0.0

    @property
    def ended(self) -> bool:
        return self.stream_ended or self.reset is not None or self.closed


class Call:
    """One call on a connection of its own. `message` None: what it says ends behind the headers, and more is pumped."""

    def __init__(
        self,
        message: bytes | None,
        *more: tuple[str, str],
        path: str = PREDICT,
        window: int | None = None,
    ) -> None:
        self.state = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        if window is not None:
            self.state.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = window
            self.state.local_settings.acknowledge()
        self.state.initiate_connection()
        said = self.state.data_to_send()
        self.frames: list[tuple[str, bytes]] = [("preface", said[:PREFACE])]
        self.frames += [("SETTINGS", said[PREFACE:])]
        self.state.send_headers(1, head(path, more))
        self.frames += cut_in_two(self.state.data_to_send())
        if message is not None:
            self._say_whole(bytes(1) + len(message).to_bytes(4, "big") + message)
        self.heard = Heard()
        self._stream = 1
        # Closed at the latest when nobody knows the call any more: a socket itself would be told of as forgotten.
        self.socket = socket.socket()
        weakref.finalize(self, self.socket.close)

    def _say_whole(self, framed: bytes) -> None:
        half = (PREFIX + len(framed)) // 2
        for name, part in (
            ("DATA with the prefix", framed[:PREFIX]),
            ("DATA with half of the message", framed[PREFIX:half]),
            ("DATA with the rest", framed[half:]),
        ):
            self.frames.append((name, self.data(part)))
        self.frames.append(("DATA that ends", self.data(b"", end=True)))

    def data(self, octets: bytes, *, end: bool = False) -> bytes:
        """One DATA frame."""
        self.state.send_data(1, octets, end_stream=end)
        return self.state.data_to_send()

    @property
    def octets(self) -> bytes:
        """All that it says."""
        return b"".join(octets for _, octets in self.frames)

    def up_to(self, name: str) -> bytes:
        """What it says up to the end of this frame."""
        names = [each for each, _ in self.frames]
        return b"".join(octets for _, octets in self.frames[: names.index(name) + 1])

    def points(self) -> Iterator[Point]:
        """Before all of it, inside each frame and behind it."""
        names = [name for name, _ in self.frames]
        begins = names.index("CONTINUATION")
        yield Point("before anything", b"", began=False, whole=False)
        said = b""
        for place, (name, octets) in enumerate(self.frames):
            cuts = {"in the head of": 4, "inside": (FRAME_HEAD + len(octets)) // 2}
            if name == "preface":
                cuts = {"inside": PREFACE // 2}
            elif len(octets) == FRAME_HEAD:
                del cuts["inside"]
            for where, cut in cuts.items():
                yield Point(f"{where} {name}", said + octets[:cut], began=place > begins, whole=False)
            said += octets
            yield Point(f"after {name}", said, place >= begins, whole=place == len(names) - 1)

    # === on a socket ===

    async def connect(self, target: str) -> Self:
        """Open a connection; nothing is said yet."""
        host, _, port = target.rpartition(":")
        self.socket.setblocking(False)
        self._began = time.monotonic()
        await asyncio.get_running_loop().sock_connect(self.socket, (host, int(port)))
        return self

    async def say(self, octets: bytes) -> None:
        """Send octets."""
        await asyncio.get_running_loop().sock_sendall(self.socket, octets)

    async def hear(self, seconds: float, *, stream: int = 1, octets: int | None = None) -> Heard:
        """Read until the stream or the connection ends, or so many `octets` of an answer came. What is read is not
        acknowledged: a client with a small window gets no more. What was heard by then is what is returned."""
        if stream != self._stream:
            self._stream, self.heard = stream, Heard()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hear(octets)
        self.heard.seconds = time.monotonic() - self._began
        return self.heard

    async def _hear(self, octets: int | None) -> None:
        while not self.heard.ended and (octets is None or self.heard.octets < octets):
            try:
                received = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16)
            except ConnectionError:
                received = b""
            if not received:
                self.heard.closed = True
                break
            self._understand(received)

    async def read_on(self, step: int = 1 << 24, pause: float = 0.0) -> Heard:
        """Take the rest of an answer, so much at a time."""
        while not self.heard.ended:
            before = self.heard.octets
            for stream in (None, self._stream):
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self.state.increment_flow_control_window(step, stream)
            with contextlib.suppress(OSError):
                await self.say(self.state.data_to_send())
            heard = await self.hear(PATIENCE, octets=before + step)
            if heard.octets == before and not heard.ended:
                break
            await asyncio.sleep(pause)
        return self.heard

    async def pump(self, octets: bytes, times: int, silence: float = 0.5) -> int:
        """Send these octets again and again, until the stream ends or nothing is taken for so long; how many went."""
        sent = 0
        while sent < times * len(octets) and not self.heard.ended:
            at = sent % len(octets)
            room = min(
                self.state.local_flow_control_window(self._stream),
                self.state.max_outbound_frame_size,
                len(octets) - at,
            )
            if not room:
                if not await self._hears_something(silence):
                    break
                continue
            try:
                await self.say(self.data(octets[at : at + room]))
            except OSError:
                await self.hear(PATIENCE)
                break
            sent += room
        return sent

    async def _hears_something(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(seconds):
                received = await loop.sock_recv(self.socket, 1 << 16)
            self._understand(received)
            self.heard.closed |= not received
            return True
        return False

    def _understand(self, octets: bytes) -> None:
        with contextlib.suppress(h2.exceptions.ProtocolError):
            for event in self.state.receive_data(octets):
                if getattr(event, "stream_id", self._stream) != self._stream:
                    continue
                match event:
                    case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                        fields = dict(event.headers)
                        if "grpc-status" in fields:
                            self.heard.status = int(fields["grpc-status"])
                            self.heard.text = unquote(fields.get("grpc-message", ""))
                    case h2.events.DataReceived():
                        self.heard.octets += len(event.data)
                    case h2.events.StreamEnded():
                        self.heard.stream_ended = True
                    case h2.events.StreamReset():
                        self.heard.reset = event.error_code
                    case h2.events.ConnectionTerminated():
                        self.heard.went_away = True

    # === ways to go ===

    async def close(self) -> None:
        """As a client that ends well: FIN, or RST where something of the answer was not read."""
        self.socket.close()

    async def reset(self) -> None:
        """As a middlebox that has lost the connection: RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    async def close_half(self) -> None:
        """FIN while it still reads: whatever it hears, it ends."""
        self.socket.shutdown(socket.SHUT_WR)
        await self.hear(PATIENCE)
        self.socket.close()


def cut_in_two(headers: bytes) -> Iterator[tuple[str, bytes]]:
    """A HEADERS frame as HEADERS and CONTINUATION."""
    flags, block = headers[4], headers[FRAME_HEAD:]
    stream = headers[5:FRAME_HEAD]
    half = len(block) // 2
    for name, kind, part, with_flags in (
        ("HEADERS", HEADERS, block[:half], flags & ~END_HEADERS),
        ("CONTINUATION", CONTINUATION, block[half:], END_HEADERS),
    ):
        yield name, len(part).to_bytes(3, "big") + bytes((kind, with_flags)) + stream + part


def timed(seconds: float) -> Fields:
    """A deadline."""
    return (("grpc-timeout", f"{round(seconds * 1000)}m"),)
