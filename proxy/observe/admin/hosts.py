"""Under which names the admin port may be asked: what DNS rebinding cannot get past.

A page in someone's browser can have its own name resolve to 127.0.0.1 and then read what answers there, as if it were
its own server. What it cannot do is to keep its name out of the Host header. So a request must name this machine
(localhost, a literal address) or a name that the operator gave.

Law: text to judgement. A name is believed from the request line and Host alone, never from X-Forwarded-Host or
Forwarded, which any page may send.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address
from typing import Final

_AUTHORITY: Final = re.compile(
    r"(?P<name>[A-Za-z0-9_.-]+|\[(?P<v6>[0-9A-Fa-f:.]+)(?:%25[A-Za-z0-9_.~-]+)?\])(?::[0-9]{0,5})?"
)
_ABSOLUTE: Final = re.compile(r"https?://(?P<authority>[^/?#]*)", re.IGNORECASE)


class Asked(Enum):
    """As whom a request asks the admin port."""

    KNOWN = auto()
    FOREIGN = auto()
    """By a name that nobody has allowed."""
    MALFORMED = auto()
    """By none, by several, or by what is no name (RFC 9112 3.2 wants 400)."""


class Hosts:
    """The names that are allowed beside localhost and literal addresses; ports, case and a last dot do not matter."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(_normal(name) for name in names)

    def judge(self, target: str, fields: Sequence[str], *, since_http_1_1: bool = True) -> Asked:
        """As whom a request asks that has this request target and these Host fields.

        Before HTTP/1.1 there need be no Host: simple probes send none, and there is no browser that leaves it out.
        """
        if len(fields) > 1:
            return Asked.MALFORMED
        authorities = list(fields)
        if not target.startswith(("/", "*")):
            absolute = _ABSOLUTE.match(target)
            if absolute is None:
                return Asked.MALFORMED
            # The authority of an absolute target counts, whatever Host says; here both must do.
            authorities.append(absolute["authority"])
        elif not fields:
            return Asked.MALFORMED if since_http_1_1 else Asked.KNOWN
        judged = [self._authority(each) for each in authorities]
        return next((each for each in (Asked.MALFORMED, Asked.FOREIGN) if each in judged), Asked.KNOWN)

    def _authority(self, text: str) -> Asked:
        match = _AUTHORITY.fullmatch(text.strip(" \t"))
        if match is None:
            return Asked.MALFORMED
        if match["v6"] is not None:
            return Asked.KNOWN if _is_address(IPv6Address, match["v6"]) else Asked.MALFORMED
        name = _normal(match["name"])
        known = name == "localhost" or name.endswith(".localhost") or name in self._names
        return Asked.KNOWN if known or _is_address(IPv4Address, name) else Asked.FOREIGN


def _normal(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(kind: type[IPv4Address | IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True
