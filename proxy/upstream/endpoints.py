"""The places that a target names.

Law: text to places, as gRPC reads it (grpc/doc/naming.md); asks no name server.
"""

from typing import NamedTuple


class Endpoint(NamedTuple):
    """One place that a target names: `host` and `port`, or the `path` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            abstract = self.path.startswith("\0")
            return f"unix-abstract:{self.path[1:]}" if abstract else f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoints(target: str) -> tuple[Endpoint, ...]:
    """The places that a target (see `parse_target`) names."""
    if target.startswith("unix-abstract:"):
        return (Endpoint(path=f"\0{target.partition(':')[2]}"),)
    if target.startswith("unix:"):
        path = target.removeprefix("unix:")
        return (Endpoint(path=path[2:] if path.startswith("///") else path),)
    if target.startswith("dns:"):
        target = target.removeprefix("dns:").rpartition("/")[2]
    addresses = target.removeprefix("ipv4:").removeprefix("ipv6:").split(",")
    parts = (address.rpartition(":") for address in addresses)
    return tuple(Endpoint(host.strip("[]"), int(port)) for host, _, port in parts)
