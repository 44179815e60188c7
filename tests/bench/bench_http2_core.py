"""
What one unary call costs in the HTTP/2 core, without sockets: `python tests/bench/bench_http2_core.py`.

Both connections of a relay are driven with octets prepared beforehand, as one client and one server would send
them in steady state (header blocks indexed). The number is the time for all four passages of a call together:
request in, request out, response in, response out.
"""

import sys
import time
from pathlib import Path
from statistics import median

from hpack import Encoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.limits import Limits

REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/tensorflow.serving.PredictionService/Predict"),
    (b":authority", b"localhost:8600"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
    (b"user-agent", b"grpc-python/1.85.1 grpc-c/53.0.0 (linux; chttp2)"),
    (b"grpc-accept-encoding", b"identity, deflate, gzip"),
)
RESPONSE = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)
# What one read from a socket typically brings.
CHUNK = 65_536


class Relay:
    """The least that joins two connections: what the core costs, and nothing else."""

    def __init__(self):
        limits = Limits(stream_window=2**24, connection_window=2**24)
        self.down = Connection(self, limits, server=True)
        self.up = Connection(self, limits, server=False)
        self.answer = Answer(self)

    def on_request(self, stream, block, ended):
        encoded = block.memo
        if encoded is None:
            encoded = block.memo = encode_fields(block.fields)
        stream.sink = self
        self.answer.down = stream
        self.current = self.up.open(self.answer, encoded)
        self.request = stream

    def on_data(self, stream, pieces, size, ended):
        self.down.consume(stream, self.up.send_data(self.current, pieces, size, ended))

    def on_sent(self, stream, count):
        self.down.consume(self.request, count)

    def on_settings(self):
        pass

    def on_reset_waits(self):
        pass

    def on_drained(self):
        pass

    def on_fault(self, fault):
        raise AssertionError(fault.text)

    def on_reset(self, stream, code, reason, unprocessed):
        raise AssertionError(reason)


class Answer:
    def __init__(self, relay):
        self.relay = relay

    def on_head(self, stream, block, ended):
        if block.memo is None:
            block.memo = encode_fields(block.fields)
        self.relay.down.send_head(self.down, block.memo)

    def on_data(self, stream, pieces, size, ended):
        self.relay.up.consume(stream, self.relay.down.send_data(self.down, pieces, size, ended))

    def on_sent(self, stream, count):
        self.relay.down.consume(self.relay.request, count)

    def on_trailers(self, stream, block):
        if block.memo is None:
            block.memo = encode_fields(block.fields)
        self.relay.down.send_trailers(self.down, block.memo)


def data_frames(stream_id, payload, size=frames.DEFAULT_FRAME_SIZE, *, end):
    out = b""
    for start in range(0, len(payload), size):
        part = payload[start : start + size]
        last = end and start + size >= len(payload)
        out += frames.pack_head(len(part) << 8, 1 if last else 0, stream_id) + part
    return out


def measure(request_size, response_size, calls):
    relay = Relay()
    encoder, answerer = Encoder(), Encoder()
    requests, responses = [], []
    for number in range(calls):
        stream_id = 2 * number + 1
        block = encoder.encode(REQUEST, huffman=False)
        requests.append(
            b"".join(frames.header_frames(stream_id, block, 16384, end_stream=False))
            + data_frames(stream_id, bytes(request_size), end=True),
        )
        head = answerer.encode(RESPONSE, huffman=False)
        tail = answerer.encode(TRAILERS, huffman=False)
        responses.append(
            b"".join(frames.header_frames(stream_id, head, 16384, end_stream=False))
            + data_frames(stream_id, bytes(response_size), end=False)
            + b"".join(frames.header_frames(stream_id, tail, 16384, end_stream=True)),
        )
    big = frames.settings({frames.INITIAL_WINDOW_SIZE: 2**30}) + frames.window_update(0, 2**30)
    relay.down.receive(frames.PREFACE + big, 0.0)
    relay.up.receive(big, 0.0)
    relay.down.take(), relay.up.take()
    spent = []
    for request, response in zip(requests, responses, strict=True):
        chunks = [request[start : start + CHUNK] for start in range(0, len(request), CHUNK)]
        began = time.perf_counter()
        for chunk in chunks:
            relay.down.receive(chunk, 0.0)
            while relay.up.output.pieces:
                relay.up.take()
                relay.up.pump()
        relay.up.receive(response, 0.0)
        while relay.down.output.pieces:
            relay.down.take()
            relay.down.pump()
        spent.append(time.perf_counter() - began)
        if relay.up.flow.send_window < 2**29:
            relay.up.receive(frames.window_update(0, 2**29), 0.0)
    assert not relay.down.streams
    assert not relay.up.streams
    return median(spent) * 1e6


def main():
    for request_size, calls in ((269, 20_000), (270_000, 500), (1_080_000, 150)):
        print(
            f"{request_size:>9} octets: {measure(request_size, 1000, calls):8.1f} µs a call, both connections"
        )


if __name__ == "__main__":
    main()
