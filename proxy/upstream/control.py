"""The control plane: how questions about models get to the server, whatever carries them.

Law: one way for calls and questions, so that what carries the one carries the other, and there is one notion of
"connected". Which way that is (a channel here, the native edge's pool) is decided in app.py.
"""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple, Protocol

import grpc
import grpc.aio

SERVING: Final = "serving"
TRIAL: Final = "trial"
EJECTED: Final = "ejected"
UNREACHABLE: Final = "unreachable"
STATES: Final = (SERVING, TRIAL, EJECTED, UNREACHABLE)
"""How one of several servers can be: it takes its share; single calls, to see whether it is well again; none; no
connection to it can be had."""


class BackendState(NamedTuple):
    """One of the servers behind a name: where, how it is, and since when (Unix time)."""

    address: str
    state: str
    since: float


class ControlError(Exception):
    """A question without an answer: a gRPC status other than OK, of the server or of the way to it."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class ControlPlane(Protocol):
    """Puts questions to the server."""

    async def ask(self, method: str, message: bytes, timeout: float) -> bytes:
        """The answer to one unary call, within `timeout` seconds. Raises ControlError and nothing else.

        Cancelling it cancels the call.
        """


class Way(ControlPlane, Protocol):
    """The one way to the server, with whether there is a connection."""

    @property
    def up(self) -> bool | None:
        """True once a connection stands, False once none can be had, None until either is known."""

    def backends(self) -> Collection[BackendState]:
        """The servers behind the name; empty where whoever carries the calls does not tell."""

    async def start(self) -> None:
        """Begin to connect."""

    async def stop(self) -> None:
        """Let go of every connection."""


class ChannelControl:
    """The control plane over a channel; every question comes with this metadata."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._channel = channel
        self._metadata = tuple(metadata)
        self._methods: dict[str, grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]] = {}

    async def ask(self, method: str, message: bytes, timeout: float) -> bytes:
        call = self._methods.get(method)
        if call is None:
            call = self._methods[method] = self._channel.unary_unary(method)
        try:
            answer: bytes = await call(message, timeout=timeout, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise ControlError(error.code().value[0], error.details() or "") from error
        except (grpc.RpcError, grpc.aio.UsageError) as error:  # the channel is closed
            raise ControlError(grpc.StatusCode.INTERNAL.value[0], str(error)) from error
        return answer
