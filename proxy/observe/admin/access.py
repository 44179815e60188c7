"""Who asks the admin port: a token as Bearer, or as the password of Basic, which a browser asks a person for. And the
certificate that the port answers HTTPS with, another of which can take its place.

Law: knows fields and files; which page wants what is server.py's business.
"""

import base64
import binascii
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from proxy.core.tokens import Tokens, bearer

CHALLENGES: Final = ('Basic realm="tfs-proxy", charset="UTF-8"', 'Bearer realm="tfs-proxy"')
"""What `WWW-Authenticate` says (RFC 7617, RFC 6750)."""

AUTHORISED: Final = web.RequestKey("authorised", bool)
"""Of a request: whether it came with a token, which is never so where there are none."""

_BASIC: Final = "basic "


def is_authorised(tokens: Tokens, fields: Sequence[str]) -> bool:
    """Whether a request with these fields `Authorization` comes with one of the tokens."""
    if len(fields) != 1:
        return False
    token = _token(fields[0])
    return token is not None and tokens.name_of(token) is not None


def _token(field: str) -> bytes | None:
    octets = field.encode("utf-8", "surrogateescape")
    if field[: len(_BASIC)].lower() != _BASIC:
        return bearer(octets)
    try:
        return base64.b64decode(octets[len(_BASIC) :].strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return None


class Certificate:
    """A context for the port, whose certificate can be another for each handshake. Raises ValueError."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.renew(context(certificate, key))
        self.context = context(certificate, key)
        self.context.sni_callback = self._choose

    def renew(self, fresh: ssl.SSLContext) -> None:
        """Answer with this from now on."""
        self._now = fresh

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        # Called with or without a name from the client.
        handshake.context = self._now


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A context for a server. Raises ValueError with a sentence."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # A password stops OpenSSL from asking at the terminal.
        made.load_cert_chain(certificate, key, password="")
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"cannot use the TLS files of --admin-…: {error.strerror or error}") from error
    return made
