"""A gRPC server that does as it is told and remembers what it saw, and a client that shows all it gets.

Both are grpc's synchronous ones, so that nothing is shared with the proxy under test.
"""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
PATIENCE = 10.0

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass
class Script:
    """What the server does with a call.

    `echo` answers every message by itself, `hang_up` ends the call without reading, `initial_first` sends
    initial metadata though it is empty, `hold` keeps the call open after its last message.
    """

    initial: Metadata = ()
    messages: tuple[bytes, ...] = ()
    echo: bool = False
    code: grpc.StatusCode = grpc.StatusCode.OK
    details: str = ""
    trailing: Metadata = ()
    initial_first: bool = False
    hang_up: bool = False
    hold: threading.Event | None = None
    compression: grpc.Compression | None = None


@dataclass
class Seen:
    """What the server saw of a call. `gone` is set when the call is over, however it ended."""

    method: str
    metadata: Metadata
    time_remaining: float | None
    messages: list[bytes] = field(default_factory=list)
    read_to_end: bool = False
    gone: threading.Event = field(default_factory=threading.Event)


class ScriptedServer(grpc.GenericRpcHandler):
    """Takes every method; it does not know which kind a client means, so it treats all as streams."""

    def __init__(self) -> None:
        self.script = Script()
        self.seen: list[Seen] = []
        self._arrived = threading.Condition()
        self._server = grpc.server(ThreadPoolExecutor(16), options=(*UNLIMITED, ("grpc.so_reuseport", 0)))
        self._server.add_generic_rpc_handlers((self,))
        self.target = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait(PATIENCE)

    def next_seen(self, before: int) -> Seen:
        """The call that arrived after `before` others."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.seen) > before, PATIENCE)
            return self.seen[before]

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(
            lambda requests, context: self._answer(details.method, requests, context)
        )

    def _answer(self, method: str, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        script = self.script
        metadata = tuple((key, value) for key, value in context.invocation_metadata() if key != "user-agent")
        remaining = context.time_remaining()
        seen = Seen(method, metadata, None if remaining is None or remaining > 1e8 else remaining)
        context.add_callback(seen.gone.set)
        with self._arrived:
            self.seen.append(seen)
            self._arrived.notify_all()
        if script.compression is not None:
            context.set_compression(script.compression)
        if script.initial or script.initial_first:
            context.send_initial_metadata(script.initial)
        for message in () if script.hang_up else requests:
            seen.messages.append(message)
            if script.echo:
                yield message
        seen.read_to_end = True
        if script.hold is not None:
            script.hold.wait(PATIENCE)
        yield from script.messages
        context.set_trailing_metadata(script.trailing)
        context.set_code(script.code)
        context.set_details(script.details)


@dataclass
class Answer:
    """Everything a client can see of an answer."""

    messages: list[bytes]
    code: grpc.StatusCode
    details: str
    initial: Metadata
    trailing: Metadata


@contextmanager
def channel_to(target: str, *options: tuple[str, Any]) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(
        target, options=(*UNLIMITED, ("grpc.use_local_subchannel_pool", 1), *options)
    ) as channel:
        yield channel


def start(channel: grpc.Channel, kind: str, method: str, messages: Iterable[bytes], **how: Any) -> Any:
    """A call under way: a grpc.Call that is also the iterator (streams) or future of its answer."""
    multicallable = getattr(channel, kind)(method)
    if kind.startswith("stream"):
        request: Any = iter(messages)
    else:
        (request,) = messages
    return multicallable(request, **how) if kind.endswith("stream") else multicallable.future(request, **how)


def finish(call: Any, kind: str = "stream_stream") -> Answer:
    """The whole answer, however it ends."""
    messages = []
    try:
        if kind.endswith("stream"):
            messages.extend(call)
        else:
            messages.append(call.result())
    except grpc.RpcError:
        pass
    return Answer(
        messages,
        call.code(),
        call.details(),
        tuple(map(tuple, call.initial_metadata())),
        tuple(map(tuple, call.trailing_metadata())),
    )


def ask(channel: grpc.Channel, kind: str, method: str, messages: Iterable[bytes], **how: Any) -> Answer:
    return finish(start(channel, kind, method, messages, **({"timeout": PATIENCE} | how)), kind)
