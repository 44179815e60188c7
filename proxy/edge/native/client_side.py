"""
A call's client side: the stream on which the request comes and the answer goes.

Law: knows how long a message may be that comes on it, and how a status is put on it in the state that it is in; not
which status, nor why.
"""

from typing import final

from proxy.core.bounds import too_complex
from proxy.core.verdict import Verdict
from proxy.edge.admission import MOST_LOCAL_BYTES, UNLIMITED, local_too_large, too_large
from proxy.edge.native import rpc
from proxy.edge.native.http2 import frames
from proxy.edge.native.http2.connection import Connection
from proxy.edge.native.http2.stream import Stream
from proxy.edge.native.rpc import RequestHead
from proxy.edge.native.shell import Shell
from proxy.wire.diagnosis import Annotated


@final
class ClientSide:
    """The client's stream. `head_sent`: the answer has begun; `request_ended`: nothing more comes."""

    # Defaults live in the class: most calls never set all of them.
    request_ended = False
    head_sent = False

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self.connection = connection
        self.stream = stream

    @property
    def peer(self) -> str:
        """The client, named as gRPC does: `ipv4:192.0.2.1:5`, `ipv6:[::1]:5` or `unix:`; "" once it has gone."""
        handler = self.connection.handler
        transport = handler.transport if isinstance(handler, Shell) else None
        if transport is None:
            return ""
        peer = transport.get_extra_info("peername")
        if not isinstance(peer, tuple):
            return "unix:"
        host, port = peer[:2]
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"

    def consume(self, count: int) -> None:
        """Let the client send as many octets again."""
        self.connection.consume(self.stream, count)

    def lend(self, count: int) -> None:
        """Let the client's other calls go on although these octets have not been passed on."""
        self.connection.lend(self.stream, count)

    def send_head(self, block: bytes) -> None:
        """Begin the answer."""
        self.head_sent = True
        self.connection.send_head(self.stream, block)

    def send_only_head(self, block: bytes) -> None:
        """Give the whole answer at once: a head that ends it (Trailers-Only)."""
        self.head_sent = True
        self.connection.send_head(self.stream, block, end=True)

    def send_informational(self, block: bytes) -> None:
        """Pass on a head before the answer's own."""
        self.connection.send_head(self.stream, block)

    def send_trailers(self, block: bytes) -> None:
        """End the answer, behind all that was sent of it."""
        self.connection.send_trailers(self.stream, block)

    def end_with_status(
        self,
        code: int,
        text: str,
        details: bytes,
        annotated: Annotated | None,
        request_id: str,
        *,
        behind: bool,
    ) -> bool:
        """
        End the answer with a status of the proxy's own; `behind`: all that was sent of it comes first.

        Returns False where what was sent is dropped instead: the client does not take it, and would wait for the
        status too.
        """
        text = text if annotated is None else annotated.text
        block = rpc.status_block(code, text, details, alone=not self.head_sent)
        if annotated is None:
            block += rpc.request_id_field(request_id)
        else:
            block += rpc.diagnosis_fields(annotated, request_id)
        if not self.head_sent:
            self.connection.send_head(self.stream, block, end=True)
        elif self.stream.queue and not behind:
            full = code == rpc.RESOURCE_EXHAUSTED
            self.connection.reset(self.stream, frames.ENHANCE_YOUR_CALM if full else frames.CANCEL)
            return False
        else:
            self.connection.send_trailers(self.stream, block)
        return True

    def reset(self) -> None:
        """End the stream without a status."""
        self.connection.reset(self.stream, frames.CANCEL)


def too_much(largest: int, head: RequestHead, most: int, *, local: bool) -> Verdict | None:
    """Why a message of so many octets is not taken, where `most` is the limit; `local`: by the proxy's own services."""
    if local:
        return local_too_large(MOST_LOCAL_BYTES) if largest > MOST_LOCAL_BYTES else None
    if most != UNLIMITED and largest > most:
        return too_large(largest, most)
    if largest > head.most:
        return too_complex("bytes in a question about a model", head.most)
    return None
