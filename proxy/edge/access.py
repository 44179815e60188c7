"""Who may call: clients known by a name of their certificate, or by a bearer token.

Law: judges names and metadata, without grpc, files or sockets, so that every edge lets in the same; nothing of a token
leaves here but the name of who has it. Services that the proxy answers itself ask nobody: probes have no identity.
"""

from collections.abc import Iterable, Sequence
from typing import Final, final

from proxy.core.tokens import Tokens, bearer
from proxy.core.verdict import Verdict
from proxy.edge.admission import client_not_allowed, unauthenticated

AUTHORIZATION: Final = "authorization"
"""Ends at the proxy where it asks for tokens: the server need not see what was meant for the proxy."""

_LONGEST_NAME: Final = 200
_ANY: Final = "*"
_NO_SEGMENTS: Final = frozenset({"", ".", ".."})


@final
class Access:
    """What is asked of clients. `sans` are names one of which a certificate must carry, each exact, or `*.example.com`
    for one label more, or `spiffe://example.com/ns/*` for all below; none: any name will do. `tokens`: one of these
    must come with each call, and no certificate is asked for its names.
    """

    def __init__(self, sans: Iterable[str] = (), tokens: Tokens | None = None) -> None:
        self.tokens = tokens
        names = frozenset(sans)
        self._chosen = bool(names)
        self._uris = frozenset(each for each in names if "://" in each)
        self._hosts = frozenset(each.lower() for each in names - self._uris)
        # URIs up to their last slash.
        self._below = tuple(each[:-1] for each in self._uris if each.endswith("/*"))

    def of_names(self, dns: Sequence[str], uris: Sequence[str]) -> "str | Verdict":
        """Who the client with a certificate of these names is, or why it may not call."""
        if not self._chosen:
            return first_name(dns, uris)
        for name in uris:
            if name in self._uris or self._is_below(name):
                return name[:_LONGEST_NAME]
        for name in dns:
            if self._is_domain(name.lower()):
                return name[:_LONGEST_NAME]
        return client_not_allowed((*uris, *dns))

    def _is_below(self, name: str) -> bool:
        for folder in self._below:
            # SPIFFE-ID §2.2: no such segments, by which a name could climb out again, or be the folder itself.
            if name.startswith(folder) and not _NO_SEGMENTS.intersection(name[len(folder) :].split("/")):
                return True
        return False

    def _is_domain(self, name: str) -> bool:
        label, dot, domain = name.partition(".")
        # A certificate for any name of a domain is no name of it.
        return label not in {"", _ANY} and (name in self._hosts or f"{_ANY}{dot}{domain}" in self._hosts)

    def of_fields(self, fields: "Sequence[bytes]") -> "str | Verdict":
        """Who sends these fields `authorization`, or why it may not call; only where there are tokens."""
        if not fields:
            return unauthenticated("none")
        if len(fields) > 1:
            return unauthenticated(f"{len(fields)} fields authorization")
        token = bearer(fields[0])
        if token is None:
            return unauthenticated("another scheme than Bearer")
        name = None if self.tokens is None else self.tokens.name_of(token)
        return unauthenticated("one that the proxy does not know") if name is None else name


def first_name(dns: Sequence[str], uris: Sequence[str]) -> str:
    """Who a client with a certificate of these names is, for want of one that was chosen; "": it has none."""
    return next((name[:_LONGEST_NAME] for name in (*uris, *dns)), "")


def names_in(certificate: "dict[str, object] | None") -> tuple[list[str], list[str]]:
    """DNS names and URIs in a certificate, as `ssl.SSLSocket.getpeercert` tells it."""
    found: object = (certificate or {}).get("subjectAltName", ())
    names = [pair for pair in found if isinstance(pair, tuple)] if isinstance(found, tuple) else []
    return [str(name) for kind, name in names if kind == "DNS"], [
        str(name) for kind, name in names if kind == "URI"
    ]
