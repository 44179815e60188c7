"""Random traffic through the hot path, and every octet and word that comes of it: `python -m tests.compiled.traffic`.

One line for each seed. With `--interpreted` the sources run, also where compiled modules lie beside them.
"""

import argparse
import importlib.util
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from random import Random

PREDICT_HEAD = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/tensorflow.serving.PredictionService/Predict"),
    (b":authority", b"here"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)
FIELDS = (
    *((b"x-token", b"secret"), (b"grpc-timeout", b"1S"), (b"content-length", b"7"), (b"Upper", b"x")),
    *((b"connection", b"close"), (b"te", b"gzip"), (b"empty", b""), (b"long", b"v" * 300)),
)
STEPS = 60
SETTINGS = (
    *((1, 4096), (3, 100), (4, 65_535), (4, 100_000), (4, 10), (5, 65_536), (6, 9000)),
    *((1, 0), (1, 2**32 - 1), (3, 0), (3, 2**32 - 1), (4, 0), (4, 2**31 - 1), (5, 2**24 - 1), (6, 2**32 - 1)),
    *((0xFFFF, 2**32 - 1), (2, 0)),
)
WRONG_SETTINGS = ((4, 2**31), (4, 2**32 - 1), (5, 16_383), (5, 2**24), (2, 2))
NUMBERS = (
    *(0, 1, 127, 128, 2**14, 2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**32),
    *(2**61, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)
"""Also what compiled code does not count in machine words, and the last before it."""


def interpret_sources() -> None:
    """Import the proxy's modules from their sources only."""
    # Found without importing it.
    (root,) = importlib.util.find_spec("proxy").submodule_search_locations
    for name in [each for each in sys.modules if each.partition(".")[0] == "proxy"]:
        del sys.modules[name]

    def finder(path: str) -> FileFinder:
        if not Path(path).is_relative_to(root):
            raise ImportError
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))

    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()


def spoilt(random: Random, data: bytes) -> bytes:
    """The same with some octets changed, lost, repeated or put in."""
    spoilt = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at = random.randint(0, len(spoilt))
        match random.randrange(4):
            case 0:
                spoilt[at : at + 1] = random.randbytes(1)
            case 1:
                spoilt[at:at] = random.randbytes(random.randint(1, 3))
            case 2:
                del spoilt[at : at + random.randint(1, 3)]
            case _:
                spoilt[at:at] = spoilt[at : at + random.randint(1, 8)]
    return bytes(spoilt)


def with_numbers(random: Random, data: bytes) -> bytes:
    """The same and more fields, of which some are known: numbers of every size, and lengths that are too large."""
    more = bytearray(data)
    for _ in range(random.randint(1, 4)):
        number = random.choice((1, 2, 3, 4, 15, 16, 100, 2**29 - 1))
        kind = random.choice((0, 0, 0, 1, 2, 2, 3, 5))
        more += varint(number << 3 | kind) + varint(
            random.choice(NUMBERS), random.choice((0, 0, 1, 5, 9, 11))
        )
        more += random.randbytes(random.choice((0, 0, 4, 8)))
    return bytes(more)


def varint(value: int, padding: int = 0) -> bytes:
    octets = bytearray()
    while value > 0x7F:
        octets.append(value & 0x7F | 0x80)
        value >>= 7
    octets.append(value)
    if padding:
        octets[-1] |= 0x80
        octets += b"\x80" * (padding - 1) + b"\0"
    return bytes(octets)


# === frames ===


class Peer:
    """Writes frames, most of them such as peers write."""

    def __init__(self, random: Random, *, client: bool) -> None:
        from hpack import Encoder

        self.random = random
        self.client = client
        self.hpack = Encoder()
        self.number = -1

    def head(self) -> bytes:
        from hpack import NeverIndexedHeaderTuple

        from proxy.edge.native.http2.frames import header_frames

        fields = list(PREDICT_HEAD if self.client else ((b":status", b"200"),))
        for _ in range(self.random.randrange(3)):
            name, value = self.random.choice(FIELDS)
            fields.append(
                NeverIndexedHeaderTuple(name, value) if self.random.random() < 0.3 else (name, value)
            )
        stream = self.stream()
        if self.client and (self.number < 1 or self.random.random() < 0.9):
            self.number += 2
            stream = self.number
        frame_size = self.random.choice((16384, 20))
        ended = self.random.random() < 0.2
        return b"".join(header_frames(stream, self.hpack.encode(fields), frame_size, end_stream=ended))

    def stream(self) -> int:
        """Mostly the newest stream, sometimes an older one, hardly ever one that never was."""
        random = self.random.random()
        if random < 0.7 or self.number < 1:
            return max(1, self.number)
        return self.random.randrange(1, self.number + (5 if random > 0.9995 else 1), 2)

    def data(self) -> bytes:
        from proxy.edge.native.http2 import frames

        size = self.random.choice((0, 1, 100, 2000, 16384))
        ended = self.random.choice((0, 0, frames.END_STREAM))
        return frames.pack_head(size << 8 | frames.DATA, ended, self.stream()) + bytes(size)

    def padded(self) -> bytes:
        from proxy.edge.native.http2 import frames

        return frames.pack_head(11 << 8 | frames.DATA, frames.PADDED, self.stream()) + b"\x05" + bytes(10)

    def control(self) -> bytes:
        from proxy.edge.native.http2 import frames

        random = self.random
        setting = random.choice(SETTINGS if random.random() < 0.995 else WRONG_SETTINGS)
        window = random.choice((1, 70_000) if random.random() < 0.98 else (0, 2**31 - 1, 2**31 + 1))
        return random.choices(
            (
                frames.rst_stream(self.stream(), random.randrange(14)),
                frames.ping(b"12345678"),
                frames.window_update(random.choice((0, self.stream())), window),
                frames.settings(dict([setting])),
                frames.goaway(random.randrange(9), random.randrange(14)),
                frames.pack_head(4 << 8 | 77, 0, 0) + b"what",
                frames.goaway(2**31 - 1, 2**32 - 1, b"!" * random.randrange(300)),
            ),
            (1, 1, 4, 1, 0.05, 0.5, 0.05),
        )[0]

    def frame(self) -> bytes:
        if self.number < 1:
            return self.head() if self.client else b""
        (make,) = self.random.choices((self.head, self.data, self.padded, self.control), (3, 8, 1, 4))
        frame = make()
        return spoilt(self.random, frame) if self.random.random() < 0.003 else frame


class Application:
    """Does what it may with its streams, and writes down all that it is told."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.told: list[object] = []
        self.open: list[object] = []

    def tell(self, *what: object) -> None:
        self.told.append(what)

    def on_request(self, stream, block, ended):
        from proxy.edge.native.http2.compression import encode_fields

        stream.sink = self
        self.open.append(stream)
        self.tell("request", stream.id, self.fields(block), encode_fields(block.fields), ended)

    def on_head(self, stream, block, ended):
        self.tell("head", stream.id, self.fields(block), ended)

    def on_informational(self, stream, block):
        self.tell("informational", stream.id, self.fields(block))

    @staticmethod
    def fields(block) -> list[object]:
        return [
            *((type(each).__name__, *each) for each in block.fields),
            block.fault,
            block.oversized,
            block.status,
        ]

    def on_data(self, stream, pieces, size, ended):
        self.tell("data", stream.id, b"".join(pieces), ended)
        self.connection.consume(stream, self.random.choice((size, size, size // 2, 0)))

    def on_trailers(self, stream, block):
        self.tell("trailers", stream.id, self.fields(block))

    def on_reset(self, stream, code, reason, unprocessed):
        self.tell("reset", stream.id, code, reason, unprocessed)

    def on_sent(self, stream, count):
        self.tell("sent", stream.id, count)

    def on_settings(self):
        self.tell("settings")

    def on_ping_ack(self, payload):
        self.tell("pong", payload)

    def on_goaway(self, last_stream, code, debug):
        self.tell("goaway", last_stream, code, debug)

    def on_reset_waits(self):
        self.tell("waits")

    def on_drained(self):
        self.tell("drained")

    def on_fault(self, fault):
        self.tell("fault", fault.code, fault.text)

    def act(self) -> None:
        """Send something, or end something."""
        from proxy.edge.native.http2.compression import encode_fields

        random, connection = self.random, self.connection
        if not connection.server and random.random() < 0.5 and connection.can_open():
            self.open.append(connection.open(self, encode_fields(PREDICT_HEAD), end=random.random() < 0.2))
        if not self.open:
            return
        stream = random.choice(self.open[-4:])
        match random.randrange(6):
            case 0 if connection.server:
                connection.send_head(stream, encode_fields(((b":status", b"200"),)))
            case 1 | 2 | 3:
                size = random.choice((0, 5, 900, 5000, 100_000))
                self.tell(connection.send_data(stream, [bytes(size)], size, random.random() < 0.2))
            case 4 if connection.server:
                connection.send_trailers(stream, encode_fields(((b"grpc-status", b"0"),)))
            case 5 if random.random() < 0.3:
                connection.reset(stream, 8, random.randrange(3))
            case _:
                connection.pause() if random.random() < 0.2 else connection.resume()


def connection_of(seed: int, *, server: bool) -> list[object]:
    """What a connection sends and tells."""
    from proxy.edge.native.http2 import frames
    from proxy.edge.native.http2.connection import Connection
    from proxy.edge.native.http2.limits import Limits

    random = Random(seed)
    application = Application(random)
    connection = application.connection = Connection(application, Limits(), server=server)
    peer = Peer(random, client=server)
    stream = (frames.PREFACE if server else b"") + frames.settings({})
    now, written = 0.0, bytearray()
    for _ in range(STEPS):
        for _ in range(random.randrange(6)):
            stream += peer.frame()
        if not server:
            peer.number = connection.table.next_stream - 2
        while stream:
            size = random.choice((len(stream), len(stream), 1, 9, 1000))
            connection.receive(stream[:size], now)
            stream = stream[size:]
            if random.random() < 0.5:
                application.act()
        application.act()
        now += random.random() * 0.1
        connection.reset_due(now)
        connection.pump()
        written += b"".join(connection.take())
    return [*application.told, bytes(written), repr(connection)]


# === judgement ===


def decisions(seed: int) -> list[object]:
    """What the gate decides on requests, whole and as they arrive in parts."""
    from proxy.core.policy import Policies
    from proxy.gate import Gate
    from tests.judging import FixedSignatures, decide, predict, servable, signature, tensor

    random = Random(seed)
    inputs = {"image": ("uint8", (-1, 4, 5, 3)), "ids": ("int64", (-1, 8)), "text": ("string", (-1,))}
    signatures = FixedSignatures(servable(signature(inputs)))
    gate = Gate(signatures, Policies())
    told: list[object] = []

    def mostly(right, *wrong):
        return right if random.random() < 0.8 else random.choice(wrong)

    for _ in range(STEPS):
        batch = random.randint(1, 3)
        sent = {
            "image": tensor("uint8", mostly((batch, 4, 5, 3), (batch, 5, 4, 3), (4, 5, 3))),
            mostly("ids", "Ids"): tensor(mostly("int64", "int32", "float32"), (batch, 8)),
            "text": tensor("string", (batch,), string_val=[b"word"] * mostly(batch, 1, 4)),
        }
        message = predict(**sent).SerializeToString(deterministic=True)
        if random.random() < 0.2:
            message = spoilt(random, message)
        elif random.random() < 0.3:
            message = with_numbers(random, message)
        if random.random() < 0.05:
            # Another version, as after a refresh.
            width = random.choice((3, 4))
            inputs["image"] = ("uint8", (-1, width, 5, 3))
            signatures.servables["m"] = servable(signature(inputs), version=random.randint(1, 9))
        for _ in range(random.randint(1, 3)):
            decision = decide(gate, message)
            status = getattr(decision, "status", None)
            # A fault of ours would be no refusal, and only that says so.
            unjudged = getattr(decision, "unjudged", None)
            told.append((unjudged, decision.verdict, status and (status.text, status.details)))
    return told


# === cut-through ===


def arrivals(seed: int) -> list[object]:
    """What is seen of a long message while it arrives, and what of it may go on."""
    from proxy.edge.native.cut_through import CutThrough
    from proxy.gate import Admit
    from proxy.wire.fields import MalformedRequestError, TooComplexError
    from proxy.wire.push import PushScanner
    from proxy.wire.wire_format import UnusualError
    from tests.judging import predict, tensor

    random = Random(seed)
    told: list[object] = []

    def view(scanner: PushScanner) -> object:
        try:
            return repr(scanner.view())
        except (MalformedRequestError, TooComplexError, UnusualError) as error:
            return type(error).__name__, str(error)

    for _ in range(STEPS // 4):
        sent = {
            name: random.choice(
                (
                    lambda: tensor("float32", (random.randrange(2000), 3)),
                    lambda: tensor("int16", (1,), int_val=[random.choice((1, 300, -1, 2**31 - 1))] * 900),
                    lambda: tensor("int64", (1,), int64_val=[random.choice((1, -1, 2**63 - 1))] * 900),
                    lambda: tensor("string", (9,), string_val=[random.randbytes(random.randrange(999))] * 9),
                )
            )()
            for name in random.sample(("a", "b", "c"), random.randint(1, 3))
        }
        message = predict(**sent).SerializeToString(deterministic=True)
        if random.random() < 0.3:
            message = random.choice((spoilt, with_numbers))(random, message)
        scanner = PushScanner(len(message), random.choice((8, 64, 2048)))
        flow: CutThrough | None = None
        at = 0
        while at < len(message):
            sizes = [random.choice((1, 9, 100, 3000, 70_000)) for _ in range(random.randint(1, 3))]
            pieces: list[bytes | memoryview] = []
            for size in sizes:
                piece = message[at : at + size]
                at += len(piece)
                if piece:
                    pieces.append(memoryview(piece) if random.random() < 0.5 else piece)
            size = sum(map(len, pieces))
            if flow is None:
                if scanner.feed(*pieces):
                    told.append(view(scanner))
                    flow = CutThrough(scanner, at, Admit())
            else:
                passing = flow.take(pieces, size)
                told.append((b"".join(passing), flow.passed(sum(map(len, passing)))))
                if random.random() < 0.05:
                    flow.again()
                elif random.random() < 0.05:
                    told.append(b"".join(flow.let_go()))
        told.append((scanner.seen, scanner.tail, scanner.gave_up))
        if not scanner.gave_up and scanner.seen == scanner.size:
            told.append(view(scanner))
        if flow is not None:
            told.append((flow.rest, flow.credit, flow.sent, b"".join(flow.let_go())))
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interpreted", action="store_true")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    if options.interpreted:
        interpret_sources()
    from hashlib import sha256

    import proxy.core.rules

    print("interpreted" if proxy.core.rules.__file__.endswith(".py") else "compiled")
    for seed in range(options.first, options.first + options.seeds):
        for kind, told in (
            ("server", connection_of(seed, server=True)),
            ("client", connection_of(seed, server=False)),
            ("gate", decisions(seed)),
            ("arrivals", arrivals(seed)),
        ):
            print(kind, seed, len(told), sha256(repr(told).encode()).hexdigest())


if __name__ == "__main__":
    main()
