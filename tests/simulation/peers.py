"""Who speaks to the data plane: clients with calls, and a server that answers as it likes.

Law: keeps to HTTP/2 and gRPC; holds what it hears against what it must hear, and raises Broken.
"""

from typing import TYPE_CHECKING, Any

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.limits import Limits
from tests.simulation.loop import CLOCK
from tests.simulation.messages import Mark, predict
from tests.simulation.network import Transport

if TYPE_CHECKING:
    from tests.simulation.world import World

PREDICT = "/tensorflow.serving.PredictionService/Predict"
OTHER = "/some.Service/Method"
PREFIX = 5
INVALID_ARGUMENT = 3
TIMEOUTS = {"30S": 30.0, "2S": 2.0, "50m": 0.05, "1m": 0.001}
"""As gRPC writes them, and in seconds."""


class Broken(Exception):  # noqa: N818  it is a finding, not an error
    """What must always hold did not."""


def head(method: str, timeout: str | None) -> bytes:
    fields = (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"here"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
    )
    return encode_fields((*fields, (b"grpc-timeout", timeout.encode())) if timeout else fields)


def framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


class Peer:
    """A client or server of HTTP/2 on a transport of the network; the core is the proxy's own, in the other role."""

    def __init__(self, world: "World", *, server: bool) -> None:
        self.world = world
        limits = Limits(stream_window=world.random.choice((65_535, 1 << 20)), reset_burst=1e9, head_burst=1e9)
        self.connection = Connection(self, limits, server=server)
        self.transport: Transport | None = None
        self.gone = False

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        self.flush()

    def never_opened(self) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        self.connection.receive(data, CLOCK.now)
        self.flush()

    def flush(self) -> None:
        while self.transport is not None and not self.transport.is_closing():
            out = self.connection.take()
            if not out:
                return
            self.transport.writelines(out)
            self.connection.pump()

    def write(self) -> None:
        pass

    def pause_writing(self) -> None:
        self.connection.pause()

    def resume_writing(self) -> None:
        self.connection.resume()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True
        self.transport = None
        self.connection.lost(str(error))

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def on_settings(self) -> None:
        pass

    def on_ping_ack(self, payload: bytes) -> None:
        pass

    def on_goaway(self, last_stream: int, code: int, debug: bytes) -> None:
        if code != frames.NO_ERROR and not self.world.rough:
            raise Broken(f"a peer that kept to the rules was sent away with {code}: {debug!r}")

    def on_reset_waits(self) -> None:
        pass

    def on_drained(self) -> None:
        pass

    def on_fault(self, fault: Any) -> None:
        raise Broken(f"the proxy broke HTTP/2: {fault.text}")

    def on_request(self, stream: Any, block: Any, ended: bool) -> None:
        raise Broken("a client was sent a request")


class Call:
    """A client's call: sends its message as it likes, and holds the answer against what it must be."""

    def __init__(self, client: "Client", number: int) -> None:
        self.client = client
        self.world = world = client.world
        self.random = random = world.random
        self.mark = Mark(number)
        self.judged = random.random() < 0.85
        self.width = random.choice((*world.widths(), random.randint(1, 9)))
        size = random.choice((1, 1, 10, 1000, 30_000, 200_000, 900_000))
        if self.judged:
            self.message = predict(self.mark, self.width, max(1, size // self.width))
        else:
            self.message = self.mark.fill(size * 4)
        self.began = CLOCK.now
        self.ended_at: float | None = None
        self.status: int | None = None
        self.received = bytearray()
        self.ends = 0
        self.cancelled = False
        self.timeout = timeout = random.choice((None, *TIMEOUTS))
        self.stream = client.connection.open(self, head(PREDICT if self.judged else OTHER, timeout))
        self.rest = memoryview(framed(self.message))
        self.queued = 0
        self.hurried = random.random() < 0.7
        self.send()

    @property
    def over(self) -> bool:
        return self.ends > 0 or self.cancelled

    def send(self) -> None:
        """Send the next piece, and come back for the one after it."""
        if self.over or self.client.gone:
            return
        count = len(self.rest) if self.hurried else self.random.choice((1, 5, 1000, 40_000, len(self.rest)))
        piece, self.rest = self.rest[:count], self.rest[count:]
        end = not self.rest
        self.client.connection.send_data(self.stream, [bytes(piece)], len(piece), end)
        self.client.flush()
        if not end:
            self.world.network.later(0.2 if self.world.rough else 0.01, self.send)

    def cancel(self) -> None:
        if not self.over and not self.client.gone:
            self.cancelled = True
            self.ended_at = CLOCK.now
            self.client.connection.reset(self.stream, frames.CANCEL)
            self.client.flush()

    def on_head(self, stream: Any, block: Any, ended: bool) -> None:
        if ended:
            self._end(block)

    def on_informational(self, stream: Any, block: Any) -> None:
        pass

    def on_data(self, stream: Any, pieces: Any, size: int, ended: bool) -> None:
        for piece in pieces:
            self.received += piece
        if self.random.random() < 0.9:
            self.client.connection.consume(stream, size)
        else:
            self.world.network.later(0.1, self._consume, stream, size)
        if ended:
            raise Broken("an answer ended without trailers")

    def _consume(self, stream: Any, size: int) -> None:
        if not self.client.gone:
            self.client.connection.consume(stream, size)
            self.client.flush()

    def on_trailers(self, stream: Any, block: Any) -> None:
        self._end(block)

    def on_reset(self, stream: Any, code: int, reason: str, unprocessed: bool) -> None:
        self.status = -1 - code
        self._ended()
        spared = {frames.CONNECTION_LOST, frames.REFUSED_STREAM, frames.NO_ERROR}
        if code not in spared and not self.world.rough and not self._is_late():
            raise Broken(f"{self.mark} was reset with {code}: {reason}")

    def on_sent(self, stream: Any, count: int) -> None:
        pass

    def _is_late(self) -> bool:
        """Whether its time is up: what was begun of an answer is then ended without a status."""
        return self.timeout is not None and CLOCK.now >= self.began + TIMEOUTS[self.timeout]

    def _end(self, block: Any) -> None:
        text = block.get(b"grpc-status")
        if text is None:
            raise Broken(f"{self.mark} ended without a status")
        self.status = int(text)
        self._ended()
        if self.status == 0:
            self.world.check_answer(self)
        elif self.status == INVALID_ARGUMENT and self.judged:
            self.world.check_refusal(self)

    def _ended(self) -> None:
        self.ends += 1
        self.ended_at = CLOCK.now
        if self.ends > 1:
            raise Broken(f"{self.mark} ended twice")


class Client(Peer):
    """A client with a connection, and calls on it."""

    def __init__(self, world: "World") -> None:
        super().__init__(world, server=False)
        self.calls: list[Call] = []

    def call(self, number: int) -> None:
        if not self.gone and self.connection.can_open():
            self.calls.append(Call(self, number))


class Question:
    """A stream at the server: gathers the request, answers as the server likes."""

    def __init__(self, server: "ServerEnd", stream: Any, method: str, ended: bool) -> None:
        self.server = server
        self.world = server.world
        self.stream = stream
        self.method = method
        self.received = bytearray()
        self.over = False
        if ended:
            self._asked()

    def on_data(self, stream: Any, pieces: Any, size: int, ended: bool) -> None:
        for piece in pieces:
            self.received += piece
        if self.world.random.random() < 0.9:
            self.server.connection.consume(stream, size)
        else:
            self.world.network.later(0.3, self._consume, size)
        if ended:
            self._asked()

    def _consume(self, size: int) -> None:
        if not self.server.gone:
            self.server.connection.consume(self.stream, size)
            self.server.flush()

    def on_trailers(self, stream: Any, block: Any) -> None:
        raise Broken("the proxy sent trailers")

    def on_reset(self, stream: Any, code: int, reason: str, unprocessed: bool) -> None:
        self.over = True

    def on_sent(self, stream: Any, count: int) -> None:
        pass

    def _asked(self) -> None:
        world, random = self.world, self.world.random
        self.answer = world.answer_to(self.method, bytes(self.received))
        if world.rough and random.random() < 0.05:
            world.network.later(0.1, self._reset)
        elif random.random() < 0.6:
            self._begin()
        else:
            world.network.later(random.choice((0.01, 0.5, 3.0)) if world.rough else 0.01, self._begin)

    def _reset(self) -> None:
        if not self.over and not self.server.gone:
            self.over = True
            code = self.world.random.choice((frames.CANCEL, frames.REFUSED_STREAM, frames.INTERNAL_ERROR))
            self.server.connection.reset(self.stream, code)
            self.server.flush()

    def _begin(self) -> None:
        if self.over or self.server.gone:
            return
        self.over = True
        code, message = self.answer
        connection, stream = self.server.connection, self.stream
        fields = ((b":status", b"200"), (b"content-type", b"application/grpc"))
        end = (b"grpc-status", str(code).encode())
        if message is None:
            connection.send_head(
                stream, encode_fields((*fields, end, (b"grpc-message", b"because"))), end=True
            )
        else:
            connection.send_head(stream, encode_fields(fields))
            data = framed(message)
            if self.world.rough and self.world.random.random() < 0.03:
                connection.send_data(stream, [data[:7]], 7)
                connection.reset(stream, frames.CANCEL)
            else:
                connection.send_data(stream, [data], len(data))
                connection.send_trailers(stream, encode_fields((end,)))
        self.server.flush()


class ServerEnd(Peer):
    """A connection of the server."""

    def __init__(self, world: "World") -> None:
        super().__init__(world, server=True)
        self.generation = world.generation

    def on_request(self, stream: Any, block: Any, ended: bool) -> None:
        stream.sink = Question(self, stream, block.get(b":path").decode(), ended)
