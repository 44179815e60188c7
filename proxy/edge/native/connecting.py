"""
How one connection comes about: dialled, or through a forward proxy; TLS; HTTP/2 agreed on; the server's SETTINGS.

Law: one attempt within its time; what keeps it from succeeding becomes a sentence.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any, cast, final

from proxy.edge.native.tunnel import said, through
from proxy.edge.native.upstream import UpstreamShell
from proxy.upstream.endpoints import Endpoint
from proxy.upstream.forward_proxy import Tunnel


@final
class Dialler:
    """Connects to addresses as told: with `tls` to a server of this name, through `tunnels` where there is one."""

    def __init__(
        self, tls: ssl.SSLContext | None, server_name: str, tunnels: Mapping[Endpoint, Tunnel]
    ) -> None:
        self._tunnels = tunnels
        self._server_name = server_name
        self.secure(tls)

    def secure(self, tls: ssl.SSLContext | None) -> None:
        """Meet the server with this context from the next connection on."""
        self._secure: dict[str, Any] = (
            {} if tls is None else {"ssl": tls, "server_hostname": self._server_name}
        )

    async def connect(
        self, address: Endpoint, shell_for: Callable[[], UpstreamShell], seconds: float
    ) -> UpstreamShell:
        """Return a connection whose SETTINGS have come. Raises ConnectionError with a sentence."""
        tunnel = self._tunnels.get(address)
        shell: UpstreamShell | None = None
        sentence = ""
        late = "no answer in time" if tunnel is None else f"{tunnel} gave no answer to CONNECT in time"
        try:
            async with asyncio.timeout(seconds):
                where = await _where(address, tunnel)
                if tunnel is not None:
                    sentence, late = f"through {tunnel}: ", "no answer in time"
                shell = await self._dial(where, shell_for)
                late = "connected, but no HTTP/2 SETTINGS in time"
                _check_alpn(shell)
                await shell.settled
        except asyncio.CancelledError:
            if shell is not None:
                shell.close("not wanted any more")
            raise
        except TimeoutError:
            sentence += late
        except ssl.SSLError as failure:
            sentence += f"TLS failed: {getattr(failure, 'verify_message', '') or failure.reason or failure}"
        except OSError as error:
            sentence += said(error)
        else:
            return shell
        if shell is not None:
            shell.close("could not be used")
        raise ConnectionError(sentence)

    async def _dial(self, where: dict[str, Any], shell_for: Callable[[], UpstreamShell]) -> UpstreamShell:
        loop = asyncio.get_running_loop()
        connect = loop.create_unix_connection if "path" in where else loop.create_connection
        # A shell has what a protocol has (see `Shell`).
        protocol_for = cast("Callable[[], asyncio.BufferedProtocol]", shell_for)
        _, protocol = await connect(protocol_for, **where, **self._secure)
        return cast("UpstreamShell", protocol)


async def _where(address: Endpoint, tunnel: Tunnel | None) -> dict[str, Any]:
    """What asyncio is to connect to; through a tunnel, a socket that is connected already."""
    if address.path:
        return {"path": address.path}
    if tunnel is None:
        return {"host": address.host, "port": address.port}
    return {"sock": await through(tunnel, address)}


def _check_alpn(shell: UpstreamShell) -> None:
    """Like gRPC's own clients, demand that a server which speaks TLS chooses HTTP/2 (RFC 9113 §3.2)."""
    transport = shell.transport
    if transport is None:
        return  # lost already, as `settled` tells
    tls = transport.get_extra_info("ssl_object")
    if tls is not None and tls.selected_alpn_protocol() != "h2":
        raise ConnectionError("TLS stands, but the server does not agree on HTTP/2 (ALPN)")
