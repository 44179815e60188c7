"""When certificates expire: what the files in use say, read once.

Law: reads PEM files and DER as far as the end of the validity (RFC 5280 §4.1), nothing else of a certificate; what it
cannot read it leaves out, since whoever uses the file has said so already.
"""

import re
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_PIVOT: Final = 50
"""Two digits of a year from here on are of the last century (RFC 5280 §4.1.2.5.1)."""


def expiries(files: Mapping[str, Path | None]) -> dict[str, float]:
    """For each use of a file the Unix time at which the first of its certificates expires."""
    found = {use: _expiry(path) for use, path in files.items() if path is not None}
    return {use: when for use, when in found.items() if when is not None}


def _expiry(path: Path) -> float | None:
    try:
        text = path.read_text(encoding="ascii", errors="ignore")
        return min(not_after(ssl.PEM_cert_to_DER_cert(each)) for each in _PEM.findall(text))
    except (OSError, ValueError, IndexError):
        return None


def not_after(der: bytes) -> float:
    """The end of the validity of a certificate as Unix time. Raises ValueError or IndexError for anything else."""
    ((_, certificate),) = _elements(der)
    fields = _elements(_elements(certificate)[0][1])
    # (version,) serial number, signature, issuer, validity
    _, validity = fields[4 if fields[0][0] == _EXPLICIT_VERSION else 3]
    _not_before, (tag, time) = _elements(validity)
    return _time(time.decode("ascii"), short=tag == _UTC_TIME)


def _time(text: str, *, short: bool) -> float:
    if short:
        text = ("20" if int(text[:2]) < _PIVOT else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and content of each element that stands in `der`."""
    found = []
    at = 0
    while at < len(der):
        tag, length = der[at], der[at + 1]
        at += 2
        if length & 0x80:
            octets = length & 0x7F
            length = int.from_bytes(der[at : at + octets])
            at += octets
        found.append((tag, der[at : at + length]))
        at += length
    return found
