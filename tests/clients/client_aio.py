"""grpc.aio: `python client_aio.py ADDRESS`; script.py says what it reads and prints."""

import asyncio
import contextlib
import sys
from typing import Any

import grpc
import grpc.aio

from tests.clients.client_python import OPTIONS
from tests.clients.telling import Told, answer, hello, read


async def play(channel: grpc.aio.Channel, told: Told) -> str:
    how: dict[str, Any] = {"timeout": told.timeout, "metadata": told.metadata}
    if told.gzip:
        how["compression"] = grpc.Compression.Gzip
    messages: list[bytes] = []
    if told.kind == "unary":
        call: Any = channel.unary_unary(told.path)(told.messages[0], **how)
    else:
        call = channel.stream_stream(told.path)(**how)
    if told.cancel == "begun":
        call.cancel()
    reading = asyncio.ensure_future(_converse(call, told, messages))
    if told.cancel == "told":
        await asyncio.to_thread(sys.stdin.readline)
        call.cancel()
        # Who waits in write() when a call is cancelled may wait for ever (seen with grpcio 1.85, without any proxy).
        reading.cancel()
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError, asyncio.InvalidStateError):
        await reading
    code = await call.code()
    return answer(
        told,
        code.value[0],
        await call.details(),
        messages,
        await call.initial_metadata() if told.cancel in ("never", "first") else (),
        await call.trailing_metadata() or (),
    )


async def _converse(call: Any, told: Told, messages: list[bytes]) -> None:
    if told.kind == "unary":
        messages.append(await call)
        return
    for message in told.messages:
        await call.write(message)
        if told.kind == "pingpong":
            messages.append(await call.read())
    await call.done_writing()
    while (message := await call.read()) is not grpc.aio.EOF:
        messages.append(message)
        if told.cancel == "first":
            call.cancel()


async def main() -> None:
    hello(f"grpc.aio {grpc.__version__}")
    async with grpc.aio.insecure_channel(sys.argv[1], OPTIONS) as channel:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(await play(channel, read(line)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
