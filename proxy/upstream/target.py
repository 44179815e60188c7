"""The target of a channel as a person writes it.

Law: text only, without grpc, which is more to load than a supervisor of workers needs.
"""

import re

from proxy.core.explain import without_credentials

_SCHEMES = ("dns:", "ipv4:", "ipv6:", "unix:", "unix-abstract:")
"""Target schemes of gRPC (grpc/doc/naming.md) that lead to a server of one's own."""

_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^\s:/@\[\]]+):(?P<port>\d{1,5})")

HIDDEN = "***@"
"""In place of credentials."""
_USERINFO = re.compile(r"(?<=://)[^/]*@")
"""What stands before the @ of an authority (dns://user:secret@nameserver/host:port). gRPC has no use for it."""


def parse_target(text: str) -> str:
    """The gRPC target for `host:port`, `[ipv6]:port`, `dns:///host:port`, `ipv4:…`, `ipv6:…` or `unix:path`.

    Credentials in it are forgotten here, and `***` stands in their place: a target is shown in settings, logs,
    statuses and metrics, and nothing is to be kept out of any of them. Raises ValueError with a sentence for a person,
    which holds none either.
    """
    target = _USERINFO.sub(HIDDEN, text.strip(), count=1)
    if target.startswith(("unix:", "unix-abstract:")):
        if not target.partition(":")[2].strip("/"):
            raise ValueError(
                f"upstream target {target!r} names no socket, expected for example unix:/run/tfs.sock"
            )
        return target
    scheme = next((each for each in _SCHEMES if target.startswith(each)), "")
    address = target.removeprefix(scheme)
    if scheme == "dns:" and address.startswith("//"):
        address = address[2:].partition("/")[2]  # dns://authority/host:port
    found, separator, rest = address.partition("://")
    if separator:
        # Credentials in a URL are not for a terminal or a log.
        example = rest.rpartition("@")[2].partition("/")[0] or "localhost:8500"
        raise ValueError(
            f"upstream target must not have a scheme such as {without_credentials(found) + '://'!r}: write {example!r} "
            "(gRPC is not addressed by URLs; TLS is a setting of its own)"
        )
    for each in address.split(",") if scheme in {"ipv4:", "ipv6:"} else (address,):
        _check_address(each)
    return target


def _check_address(address: str) -> None:
    shown = address.rpartition("@")[2]
    match = _HOST_PORT.fullmatch(address)
    if match is None:
        if "/" in address:
            problem = "must end with the port, without a path"
        elif ":" not in address and address:
            problem = f"has no port, TF Serving's gRPC port is 8500 by default: {shown + ':8500'!r}"
        elif address.count(":") > 1 and not address.startswith("["):
            problem = "has several colons, an IPv6 address stands in brackets: '[::1]:8500'"
        else:
            problem = "is not HOST:PORT, expected for example 'localhost:8500'"
        raise ValueError(f"upstream target {shown!r} {problem}")
    if not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"upstream target {shown!r} has port {match['port']}, expected 1 to 65535")
