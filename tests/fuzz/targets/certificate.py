"""A file that should hold a certificate: when it expires, as OpenSSL reads it, or nothing."""

import ssl
import time

from proxy.observe.certificates import expiries, not_after
from tests.fuzz.files import folder

_FILE = folder() / "certificate.pem"
# A certificate as DER, as far as its validity: version, serial number, algorithm, issuer, validity.
_HEAD = bytes.fromhex("a003020102") + b"\x02\x01\x01" + b"\x30\x00" + b"\x30\x00"


def _element(tag: int, content: bytes) -> bytes:
    length = bytes((len(content),)) if len(content) < 0x80 else b"\x82" + len(content).to_bytes(2)
    return bytes((tag,)) + length + content


def seeds() -> list[bytes]:
    times = (
        _element(0x17, b"250101000000Z") + _element(0x17, b"491231235959Z"),
        _element(0x17, b"250101000000Z") + _element(0x18, b"20501231235959Z"),
        _element(0x17, b"500101000000Z") + _element(0x17, b"500101000001Z"),
    )
    return [_element(0x30, _element(0x30, _HEAD + _element(0x30, each) + b"\x30\x00")) for each in times]


def check(data: bytes) -> None:
    try:
        when = not_after(data)
    except (ValueError, IndexError):
        when = None
    _FILE.write_text(ssl.DER_cert_to_PEM_cert(data))
    assert expiries({"it": _FILE}) == ({} if when is None else {"it": when})
    if when is not None:
        assert time.gmtime(when).tm_year in range(1, 10_000)
    _FILE.write_bytes(data)
    assert expiries({"it": _FILE}) in ({}, {"it": when})
