"""Heads of requests and answers: what is passed on can be read, and says what came, but for what each hop says itself.

Fields are lines `name: value`.
"""

from hpack import Decoder

from proxy.edge.native import rpc
from proxy.edge.native.http2.fields import REQUEST, RESPONSE, TRAILERS, examine
from proxy.edge.native.rpc import RequestHead, details_of, message_of, response_head
from tests.fuzz.texts import latin

_OWN = {b"host", b"grpc-timeout", b":authority", b":scheme"}


def seeds() -> list[bytes]:
    return [
        b":method: POST\n:scheme: http\n:path: /tensorflow.serving.PredictionService/Predict\ncontent-type: application/grpc\n"
        b"te: trailers\ngrpc-timeout: 100m\ngrpc-encoding: gzip\nx-request-id: a",
        b":status: 200\ncontent-type: application/grpc\ngrpc-encoding: identity",
        b":status: 503\ncontent-type: text/html\nserver: nginx",
        b"grpc-status: 3\ngrpc-message: bad%20%C3%A9%\ngrpc-status-details-bin: CAMSA2JhZA",
    ]


def _fields(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    pairs = (line.partition(b": ") for line in data.split(b"\n")[:64])
    return tuple((name, value) for name, _, value in pairs)


def _decoded(block: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((bytes(name), bytes(value)) for name, value in Decoder(1 << 20).decode(block, raw=True))


def check(data: bytes) -> None:
    fields = _fields(data)
    for kind in (REQUEST, RESPONSE, TRAILERS):
        block = examine(fields, kind)
        if block.fault is None:
            (_check_request if kind == REQUEST else _check_answer)(block, fields)


def _check_request(block, fields) -> None:
    head = RequestHead(block, b"https", b"server:8500", frozenset({b"authorization"}))
    kept = [pair for pair in fields if pair[0] not in _OWN | {b"authorization"}]
    passed = _decoded(head.block)
    assert [pair for pair in passed if pair[0] not in _OWN] == kept
    assert dict(passed)[b":authority"] == b"server:8500"
    timeout = block.get(b"grpc-timeout")
    timed = _decoded(head.timed_block)
    assert timed == (passed if timeout is None else (*passed, (b"grpc-timeout", timeout)))
    assert head.timeout is None or 0 <= head.timeout < 4e11
    assert head.encodings == tuple(value for name, value in fields if name == b"grpc-encoding")


def _check_answer(block, fields) -> None:
    head = response_head(block)
    assert response_head(block) is head
    assert _decoded(head.block) == fields
    assert head.code is None or 0 <= head.code < 1000
    assert latin(head.fault)
    assert isinstance(message_of(block), str)
    assert isinstance(details_of(block), bytes)
    assert rpc.text_of(fields, b"server") == (block.get(b"server") or b"").decode("latin-1")
