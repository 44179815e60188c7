"""
gRPC over HTTP/2 in pure functions: heads, deadlines, statuses, and where one message ends.

Law: knows `PROTOCOL-HTTP2.md` of gRPC and nothing of connections, calls or clocks. What it derives from a header
block is kept in the block's `memo`, since blocks repeat.
"""

import base64
import binascii
import re
import sys
from collections.abc import Sequence
from typing import Final, final
from urllib.parse import quote, unquote_to_bytes

from proxy.core import explain
from proxy.core.bounds import MAX_COMPRESSED_QUESTION, MAX_QUESTION
from proxy.edge.metadata import DETAILS, Pair, diagnosed
from proxy.edge.methods import QUESTIONS, UNARY_METHODS, only_for_operators
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.compression import encode_fields
from proxy.edge.native.http2.fields import Fields, HeaderBlock
from proxy.edge.native.http2.stream import Buffer
from proxy.edge.request_ids import REQUEST_ID
from proxy.gate import JUDGED_METHODS
from proxy.wire.diagnosis import Annotated

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
DEADLINE_EXCEEDED: Final = 4
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

PREFIX: Final = 5
"""Octets before each message: a flag and the length."""

_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])").fullmatch
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PRINTABLE: Final = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_GRPC_TYPE: Final = b"application/grpc"
_SHOWN: Final = 60
# A longer string has a length of more than one octet (RFC 7541 §5.1).
_LONGEST_PLAIN: Final = 127
_GRPC_STATUS: Final = re.compile(rb"[0-9]{1,3}").fullmatch

# gRPC over HTTP/2, "Errors": what a client would make of a reset.
_OF_RESET: Final = {
    frames.REFUSED_STREAM: UNAVAILABLE,
    frames.CANCEL: CANCELLED,
    frames.ENHANCE_YOUR_CALM: RESOURCE_EXHAUSTED,
    frames.INADEQUATE_SECURITY: PERMISSION_DENIED,
    frames.CONNECTION_LOST: UNAVAILABLE,
}
# doc/http-grpc-status-mapping.md of gRPC.
_OF_HTTP: Final = {
    400: INTERNAL,
    401: UNAUTHENTICATED,
    403: PERMISSION_DENIED,
    404: UNIMPLEMENTED,
    429: UNAVAILABLE,
    502: UNAVAILABLE,
    503: UNAVAILABLE,
    504: UNAVAILABLE,
}


@final
class RequestHead:
    """What the proxy needs to know of a request's head, and the block that the next hop gets, without what is `omitted`."""

    __slots__ = (
        *("block", "encodings", "fields", "is_grpc", "judged", "method", "most"),
        *("reserved", "timed_block", "timeout", "unary"),
    )

    def __init__(
        self, block: HeaderBlock, scheme: bytes, authority: bytes, omitted: frozenset[bytes] = frozenset()
    ) -> None:
        self.fields = block.fields
        own = {b":scheme": scheme, b":authority": authority}
        fields = [
            (name, own.get(name, value)) if name in own else (name, value)
            for name, value in block.fields
            if name not in {b"host", b"grpc-timeout"} and name not in omitted
        ]
        if block.get(b":authority") is None:
            fields.insert(0, (b":authority", authority))
        self.method = (block.get(b":path") or b"").decode("latin-1")
        self.judged = self.method in JUDGED_METHODS
        self.unary = self.method in UNARY_METHODS
        # Why only an operator may call it.
        self.reserved = only_for_operators(self.method)
        self.is_grpc = block.get(b":method") == b"POST" and (block.get(b"content-type") or b"").startswith(
            _GRPC_TYPE
        )
        # gRPC's core reads the last one, others the first.
        self.encodings = tuple(value for name, value in block.fields if name == b"grpc-encoding")
        # Octets of a message, as far as the method says.
        self.most = sys.maxsize
        if self.method in QUESTIONS:
            self.most = MAX_COMPRESSED_QUESTION if self.encodings else MAX_QUESTION
        timeout = block.get(b"grpc-timeout")
        self.timeout = parse_timeout(timeout)
        self.block = encode_fields(tuple(fields))
        self.timed_block = self.block if timeout is None else self.block + timeout_field(timeout)


@final
class ResponseHead:
    """
    A response's head or trailers: the block for the client, and the status if it is in there.

    `fault` says what keeps a client from reading it as gRPC; "" for nothing.
    """

    __slots__ = ("block", "code", "fault")

    def __init__(self, block: HeaderBlock) -> None:
        self.block = encode_fields(block.fields)
        status = block.get(b"grpc-status")
        if status is not None and _GRPC_STATUS(status):
            self.code: int | None = int(status)
        else:
            self.code = None if block.status in {0, 200} else _OF_HTTP.get(block.status, UNKNOWN)
        self.fault = "" if status is not None else _fault(block)


def _fault(block: HeaderBlock) -> str:
    """A status of HTTP counts where there is none of gRPC; clients let a content type be missing, not another."""
    kind, server = block.get(b"content-type"), block.get(b"server")
    if block.status not in {0, 200}:
        told = f"received http2 header with status: {block.status}"
        if kind is not None:
            told += f", content-type {_shown(kind)}"
    elif kind is not None and not kind.startswith(_GRPC_TYPE):
        told = f"received unexpected content-type {_shown(kind)}"
    else:
        return ""
    return told if server is None else f"{told}, server {_shown(server)}"


def _shown(value: bytes) -> str:
    return explain.quote(value.decode("latin-1"), _SHOWN)


def response_head(block: HeaderBlock) -> ResponseHead:
    """Derive the head once for every block that repeats."""
    head: ResponseHead | None = block.memo
    if head is None:
        head = block.memo = ResponseHead(block)
    return head


def text_of(fields: Fields, name: bytes) -> str:
    """Return the value of the first field of that name as text; "" where there is none."""
    for key, value in fields:
        if key == name:
            return value.decode("latin-1")
    return ""


def parse_timeout(value: bytes | None) -> float | None:
    """Read `grpc-timeout` as seconds; None for no or no readable timeout."""
    match = _TIMEOUT(value) if value else None
    return None if match is None else int(match[1]) * _UNITS[match[2]]


def format_timeout(seconds: float) -> bytes:
    """Write seconds as `grpc-timeout`, rounded up in the finest unit that fits eight digits."""
    for unit, scale in ((b"u", 1e6), (b"m", 1e3), (b"S", 1.0)):
        count = int(seconds * scale) + 1
        if count < 100_000_000:
            return b"%d%s" % (count, unit)
    return b"99999999S"


def timeout_field(value: bytes) -> bytes:
    """Encode `grpc-timeout` as a literal that is not indexed: it is different in every call."""
    if len(value) >= _LONGEST_PLAIN:
        # Not a timeout; whatever it is, it must not be read as the fields behind it.
        return encode_fields(((b"grpc-timeout", value),))
    return b"\x00\x0cgrpc-timeout" + bytes((len(value),)) + value


def encode_message(text: str) -> bytes:
    """Percent-encode a status text as gRPC's `Percent-Encoded`."""
    return quote(text, safe=_PRINTABLE).encode()


def encode_metadata(pairs: Sequence[Pair]) -> bytes:
    """Encode metadata; values of `-bin` keys in base64."""
    return encode_fields(
        tuple(
            (
                key.encode(),
                base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode(),
            )
            for key, value in pairs
        )
    )


def status_block(code: int, text: str, details: bytes = b"", *, alone: bool) -> bytes:
    """Encode trailers that carry a status; `alone`: there was no head before them (Trailers-Only)."""
    block = encode_fields(((b":status", b"200"), (b"content-type", _GRPC_TYPE))) if alone else b""
    fields = [(b"grpc-status", b"%d" % code)]
    if text:
        fields.append((b"grpc-message", encode_message(text)))
    block += encode_fields(tuple(fields))
    return block + encode_metadata(((DETAILS, details),)) if details else block


def message_of(block: HeaderBlock) -> str:
    """Decode `grpc-message`; "" when there is none."""
    return unquote_to_bytes(block.get(b"grpc-message") or b"").decode("utf-8", "replace")


def details_of(block: HeaderBlock) -> bytes:
    """Decode `grpc-status-details-bin`; empty when there is none or it cannot be."""
    value = block.get(DETAILS.encode()) or b""
    try:
        return base64.b64decode(value + b"=" * (-len(value) % 4))
    except binascii.Error:
        return b""


def trace_fields(traceparent: str) -> bytes:
    """Encode where in a trace the server's work belongs, as a literal that is not indexed; "": nothing."""
    return b"\x00\x0btraceparent" + bytes((len(traceparent),)) + traceparent.encode() if traceparent else b""


def reworded(block: HeaderBlock, annotated: Annotated, request_id: str) -> bytes:
    """Encode trailers again with text and details of a diagnosis in the place of the server's."""
    own = {b"grpc-message", DETAILS.encode()} if annotated.details else {b"grpc-message"}
    fields = tuple(field for field in block.fields if field[0] not in own)
    if annotated.text:
        fields = (*fields, (b"grpc-message", encode_message(annotated.text)))
    has_one = block.get(REQUEST_ID.encode()) is not None
    return encode_fields(fields) + diagnosis_fields(annotated, "" if has_one else request_id)


def diagnosis_fields(annotated: Annotated, request_id: str) -> bytes:
    """Encode the details and the sentence of a diagnosis, and the id of the request behind them (""; none)."""
    return encode_metadata(diagnosed((), annotated)) + request_id_field(request_id)


def request_id_field(request_id: str) -> bytes:
    """Encode the id of a request as a literal that is not indexed: no two calls have the same; "": nothing."""
    return b"\x00\x0cx-request-id" + bytes((len(request_id),)) + request_id.encode() if request_id else b""


def status_of_reset(code: int) -> int:
    """Map an HTTP/2 error code to the gRPC status a client would see."""
    return _OF_RESET.get(code, INTERNAL)


@final
class Messages:
    """Counts the messages in a direction, from DATA cut anywhere."""

    # Defaults live in the class: every call has two of these, and most never use all of them.
    count = 0
    octets = 0
    _rest = 0
    _head = b""

    def feed(self, pieces: Sequence[Buffer], size: int) -> int:
        """Take pieces of `size` octets; return the length of the largest message that begins in them."""
        if self._rest >= size:
            self._rest -= size
            return 0
        if not self._rest and not self._head and len(pieces[0]) >= PREFIX:
            length = int.from_bytes(pieces[0][1:PREFIX], "big")
            if size <= PREFIX + length:
                self._rest = PREFIX + length - size
                self.count += 1
                self.octets += length
                return length
        return max(self._walk(piece, len(piece)) for piece in pieces)

    def is_whole(self) -> bool:
        """Whether something came and no message is unfinished."""
        return bool(self.count) and not self._rest and not self._head

    def _walk(self, payload: Buffer, size: int) -> int:
        position = largest = 0
        while position < size:
            if self._rest:
                step = min(self._rest, size - position)
                self._rest -= step
                position += step
                continue
            missing = PREFIX - len(self._head)
            self._head += bytes(payload[position : position + missing])
            position += missing
            if len(self._head) == PREFIX:
                self._rest = int.from_bytes(self._head[1:], "big")
                self._head = b""
                self.count += 1
                self.octets += self._rest
                largest = max(largest, self._rest)
        return largest
