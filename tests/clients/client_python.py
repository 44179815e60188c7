"""grpc's synchronous client: `python client_python.py ADDRESS`; script.py says what it reads and prints."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc

from tests.clients.telling import Told, answer, hello, read

OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


def play(channel: grpc.Channel, told: Told) -> str:
    how: dict[str, Any] = {"timeout": told.timeout, "metadata": told.metadata}
    if told.gzip:
        how["compression"] = grpc.Compression.Gzip
    messages: list[bytes] = []
    answered = threading.Semaphore(0)
    if told.kind == "unary":
        call: Any = channel.unary_unary(told.path).future(told.messages[0], **how)
    else:
        call = channel.stream_stream(told.path)(_sent(told, answered), **how)
    if told.cancel == "told":
        sys.stdin.readline()
    if told.cancel in ("told", "begun"):
        call.cancel()
    try:
        if told.kind == "unary":
            messages.append(call.result())
        else:
            for message in call:
                messages.append(message)
                answered.release()
                if told.cancel == "first":
                    call.cancel()
    except (grpc.RpcError, grpc.FutureCancelledError):
        pass
    return answer(
        told,
        call.code().value[0],
        call.details(),
        messages,
        call.initial_metadata() if told.cancel in ("never", "first") else (),
        call.trailing_metadata() or (),
    )


def _sent(told: Told, answered: threading.Semaphore) -> Iterator[bytes]:
    for message in told.messages:
        yield message
        if told.kind == "pingpong":
            answered.acquire(timeout=told.timeout)


def main() -> None:
    hello(f"grpcio {grpc.__version__}")
    with grpc.insecure_channel(sys.argv[1], OPTIONS) as channel:
        for line in sys.stdin:
            print(play(channel, read(line)), flush=True)


if __name__ == "__main__":
    main()
