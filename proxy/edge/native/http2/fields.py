"""
What a header section may say: the rules of RFC 9113 §8.2 and §8.3 for requests, responses and trailers.

Law: pure functions from a list of fields to the first rule it breaks. They run once per distinct header
block, since `compression` keeps what it decoded.

One rule is not enforced: values that begin or end with a space (§8.2.1). gRPC clients and servers may send
such metadata and `grpc-message` values to one another, and a proxy that refused them would not be
transparent.
"""

import re
from typing import Any, Final, final

# A name and a value. Not `tuple[bytes, bytes]`: compiled, such a tuple is taken apart and put together anew, and a field
# that says that it must never be indexed (a subclass, see `compression`) would no longer say so.
Field = tuple[bytes, ...]
Fields = tuple[Field, ...]

REQUEST: Final = 0
RESPONSE: Final = 1
TRAILERS: Final = 2

_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_FORBIDDEN_IN_VALUE: Final = re.compile(rb"[\x00\r\n]").search
# RFC 3986 §2: what a URI may be written with. Some servers end, all of them, at a path that they cannot decode.
_FORBIDDEN_IN_PATH: Final = re.compile(rb"[^\x21-\x7e]").search
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]").fullmatch
_LENGTH: Final = re.compile(rb"[0-9]{1,18}").fullmatch

# RFC 9113 §8.2.2: they speak of an HTTP/1 connection.
_CONNECTION_SPECIFIC: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"),
)
_REQUEST_PSEUDO: Final = frozenset((b":method", b":scheme", b":path", b":authority"))
_RESPONSE_PSEUDO: Final = frozenset((b":status",))


@final
class HeaderBlock:
    """
    One decoded header section.

    The same object is handed out again when the same block arrives again, so whoever receives it may keep in
    `memo` what they derived from it. `fault` names the rule that the section breaks, if any.
    """

    __slots__ = ("content_length", "fault", "fields", "memo", "oversized", "status")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.content_length = -1
        self.status = 0
        self.fault: str | None = None
        self.oversized = False
        self.memo: Any = None

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the first field of that name."""
        for key, value in self.fields:
            if key == name:
                return value
        return None


def examine(fields: Fields, kind: int) -> HeaderBlock:
    """Check a header section of the given kind (REQUEST, RESPONSE or TRAILERS) against RFC 9113 §8."""
    block = HeaderBlock(fields)
    pseudo: dict[bytes, bytes] = {}
    allowed = _REQUEST_PSEUDO if kind == REQUEST else _RESPONSE_PSEUDO if kind == RESPONSE else frozenset()
    block.fault = _examine_each(block, allowed, pseudo)
    if block.fault is None and kind == REQUEST:
        block.fault = _examine_request(pseudo)
    elif block.fault is None and kind == RESPONSE:
        status = pseudo.get(b":status", b"")
        if not _STATUS(status):
            block.fault = ":status is missing or not three digits"
        elif status == b"101":
            block.fault = "101 Switching Protocols does not exist in HTTP/2"
        else:
            block.status = int(status)
    return block


def _examine_each(block: HeaderBlock, allowed: frozenset[bytes], pseudo: dict[bytes, bytes]) -> str | None:
    regular = False
    for name, value in block.fields:
        if _FORBIDDEN_IN_VALUE(value):
            return "a field value contains NUL, CR or LF"
        if name[:1] == b":":
            if regular:
                return "a pseudo-header field follows a regular field"
            if name not in allowed:
                return "a pseudo-header field is unknown or out of place"
            if name in pseudo:
                return "a pseudo-header field appears twice"
            pseudo[name] = value
            continue
        regular = True
        if not _NAME(name):
            return "a field name is empty, has an upper-case letter or a character that no name may have"
        if name in _CONNECTION_SPECIFIC:
            return "a connection-specific field is present"
        if name == b"te" and value != b"trailers":
            return "te says something other than trailers"
        if name == b"content-length":
            if not _LENGTH(value) or block.content_length not in {-1, int(value)}:
                return "content-length is not one number"
            block.content_length = int(value)
    return None


def _examine_request(pseudo: dict[bytes, bytes]) -> str | None:
    method = pseudo.get(b":method")
    if not method:
        return ":method is missing"
    path = pseudo.get(b":path")
    if method == b"CONNECT":
        # RFC 9113 §8.5: a CONNECT request names the authority and nothing else.
        return "CONNECT with :scheme or :path" if len(pseudo) > 2 or b":authority" not in pseudo else None
    if not pseudo.get(b":scheme"):
        return ":scheme is missing"
    if not path or (path[:1] != b"/" and not (path == b"*" and method == b"OPTIONS")):
        return ":path is missing, empty or does not begin with a slash"
    if _FORBIDDEN_IN_PATH(path):
        return ":path contains a character that no path may have"
    return None
