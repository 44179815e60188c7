"""What certificates say: when those in use expire, and whose names one carries.

Law: reads PEM files, and of the DER the end of the validity (RFC 5280 §4.1) and subjectAltName (§4.2.1.6), nothing
else of a certificate; what it cannot read it leaves out, since whoever uses the file has said so already.
"""

import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final, NamedTuple

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_EXPLICIT_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_EXTENSIONS: Final = 0xA3
_ALTERNATIVE_NAME: Final = b"\x55\x1d\x11"
_DNS_NAME: Final = 0x82
_IP_ADDRESS: Final = 0x87
_PIVOT: Final = 50
"""Two digits of a year from here on are of the last century (RFC 5280 §4.1.2.5.1)."""


class Names(NamedTuple):
    """DNS names, as they are written, and addresses."""

    dns: tuple[str, ...] = ()
    addresses: frozenset[IPv4Address | IPv6Address] = frozenset()

    def carry(self, host: str) -> bool:
        """Whether a client that calls this host is content with such a certificate."""
        with suppress(ValueError):
            return ip_address(host.strip("[]")) in self.addresses
        host = host.lower()
        _, _, domain = host.partition(".")
        return any(name.lower() in {host, f"*.{domain}"} for name in self.dns)


def names_in(path: Path) -> Names:
    """The names in a file's first certificate, which is that of whom it belongs to."""
    try:
        first = _PEM.search(path.read_text(encoding="ascii", errors="ignore"))
        return Names() if first is None else names(ssl.PEM_cert_to_DER_cert(first.group()))
    except (OSError, ValueError, IndexError):
        return Names()


def names(der: bytes) -> Names:
    """The names of a certificate. Raises ValueError or IndexError for anything else."""
    ((_, certificate),) = _elements(der)
    for _, extensions in (each for each in _elements(_elements(certificate)[0][1]) if each[0] == _EXTENSIONS):
        ((_, every),) = _elements(extensions)
        for _, extension in _elements(every):
            (_, kind), *_, (_, value) = _elements(extension)
            if kind == _ALTERNATIVE_NAME:
                ((_, alternatives),) = _elements(value)
                found = _elements(alternatives)
                return Names(
                    tuple(name.decode("ascii") for tag, name in found if tag == _DNS_NAME),
                    frozenset(ip_address(packed) for tag, packed in found if tag == _IP_ADDRESS),
                )
    return Names()


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
