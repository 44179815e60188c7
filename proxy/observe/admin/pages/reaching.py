"""How a client reaches the proxy: where it listens and what it asks → what client code has to bring.

Law: the address as it was bound stands, but for one that is no address to call, in whose place comes a name that the
certificate carries, else the name by which whoever looks has reached this machine. Files are the client's, of which
nothing is known but what they are for.
"""

from typing import Final

from proxy.client_code.server import Server
from proxy.observe.admin.status import Serving
from proxy.observe.certificates import Names, names_in

_ANY: Final = frozenset({"", "0.0.0.0", "[::]"})
_CA: Final = "ca.pem"
_CERTIFICATE: Final = "client.pem"
_KEY: Final = "client.key"


def server_for(serving: Serving, reached: str) -> Server:
    """What client code connects to, for someone who has reached this machine as the host `reached`."""
    asks = serving.asks
    if asks.certificate is None:
        return Server(_target(serving.listen, reached), token=asks.token)
    names = names_in(asks.certificate)
    name = next((each for each in names.dns if not each.startswith("*")), None)
    target = _target(serving.listen, reached if name is None or names.carry(reached) else name)
    own = asks.client_certificate
    return Server(
        target,
        tls=True,
        ca=_CA,
        name=_other(name, names, target),
        certificate=_CERTIFICATE if own else None,
        key=_KEY if own else None,
        token=asks.token,
    )


def _target(listen: str, host: str) -> str:
    bound, _, port = listen.rpartition(":")
    return f"{host}:{port}" if bound in _ANY else listen


def _other(name: str | None, names: Names, target: str) -> str | None:
    """The name by which a certificate is known that does not carry the host of the target."""
    # Of a Unix socket nobody knows the host.
    return None if names.carry(target.rpartition(":")[0]) or target.startswith("unix:") else name
