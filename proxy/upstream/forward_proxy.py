"""The forward proxy that the environment names, as gRPC's clients read it (grpc `http_proxy_mapper.cc`).

Law: reads variables, asks nobody. What stands before the `@` of a URL is kept in `Tunnel.authorization` alone,
which no text shows.
"""

import base64
import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from proxy.diagnosis.reach import ForwardProxy
from proxy.upstream.endpoints import Endpoint

_DEFAULT_PORT: Final = 443
"""Where gRPC looks for a forward proxy whose URL has no port."""


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How to get through a forward proxy. `authorization` is the value of Proxy-Authorization, or empty."""

    host: str
    port: int
    variable: str
    authorization: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        return f"the forward proxy {Endpoint(self.host, self.port)} ({self.variable})"


def forward_proxy(endpoint: Endpoint, environ: Mapping[str, str]) -> ForwardProxy | None:
    """The forward proxy that gRPC clients take to this endpoint, if the environment names one.

    The first that is set of grpc_proxy, https_proxy and http_proxy counts, and no_grpc_proxy before no_proxy;
    only lower case does. Unix sockets are exempt.
    """
    named = None if endpoint.path else _named(environ)
    if named is None:
        return None
    variable, url = named
    exempting = next((name for name in ("no_grpc_proxy", "no_proxy") if name in environ), None)
    bypass = exempting if exempting and _exempt(endpoint.host, environ[exempting]) else ""
    return ForwardProxy(variable, url.netloc.rpartition("@")[2], bypass)


def tunnel_to(endpoint: Endpoint, environ: Mapping[str, str]) -> Tunnel | None:
    """How to reach the endpoint through the environment's forward proxy; None: directly."""
    proxy, named = forward_proxy(endpoint, environ), _named(environ)
    if proxy is None or named is None or not proxy.applies:
        return None
    variable, url = named
    credentials = unquote_to_bytes(url.netloc.rpartition("@")[0])
    authorization = b"Basic " + base64.b64encode(credentials) if credentials else b""
    return Tunnel(url.hostname or "", url.port or _DEFAULT_PORT, variable, authorization)


def _named(environ: Mapping[str, str]) -> tuple[str, SplitResult] | None:
    """The variable that counts and its URL, which has a host; None for none and for what gRPC cannot use."""
    variable = next((name for name in ("grpc_proxy", "https_proxy", "http_proxy") if name in environ), None)
    if variable is None:
        return None
    try:
        url = urlsplit(environ[variable])
        # Credentials with an unescaped / ? or # look like the host; whatever came of it would show them.
        cut_short = "@" in url.path + url.query + url.fragment
        usable = url.scheme == "http" and url.hostname and url.port != 0 and not cut_short
    except ValueError:
        return None
    return (variable, url) if usable else None


def _exempt(host: str, exemptions: str) -> bool:
    """Host suffixes and address ranges, as gRPC compares them."""
    for entry in (each.strip() for each in exemptions.split(",")):
        if not entry:
            continue
        if host.lower().endswith(entry.lower()):
            return True
        with contextlib.suppress(ValueError):
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
    return False
