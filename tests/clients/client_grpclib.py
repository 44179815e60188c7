"""grpclib, gRPC over python-hyper's h2 without any of gRPC's own code: `python client_grpclib.py ADDRESS`."""

import asyncio
import sys
from typing import Any

import grpclib
from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.clients.telling import Told, answer, hello, read

CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE = 1, 4, 14


class Raw(CodecBase):
    """Messages are octets."""

    __content_subtype__ = "proto"

    def encode(self, message: bytes, _: Any) -> bytes:
        return message

    def decode(self, data: bytes, _: Any) -> bytes:
        return data


class RawDetails(StatusDetailsCodecBase):
    """And so is what stands in `grpc-status-details-bin`."""

    def encode(self, _: Any, __: Any, details: bytes) -> bytes:
        return details

    def decode(self, _: Any, __: Any, data: bytes) -> bytes:
        return data


async def play(channel: Channel, told: Told) -> str:
    messages: list[bytes] = []
    heard: dict[str, Any] = {}
    calling = asyncio.ensure_future(_call(channel, told, messages, heard))
    if told.cancel == "told":
        await asyncio.to_thread(sys.stdin.readline)
        calling.cancel()
    code, text, details = 0, "", b""
    try:
        await calling
    except GRPCError as error:
        code, text, details = error.status.value, error.message or "", error.details or b""
    except asyncio.CancelledError:
        code = CANCELLED
    except TimeoutError:
        code = DEADLINE_EXCEEDED
    except (OSError, StreamTerminatedError) as error:
        code, text = UNAVAILABLE, str(error)
    initial, trailing = (
        list((getattr(heard.get("stream"), f"{name}_metadata", None) or {}).items())
        for name in ("initial", "trailing")
    )
    return answer(told, code, text, messages, initial, [*trailing, ("grpc-status-details-bin", details)])


async def _call(channel: Channel, told: Told, messages: list[bytes], heard: dict[str, Any]) -> None:
    cardinality = Cardinality.UNARY_UNARY if told.kind == "unary" else Cardinality.STREAM_STREAM
    opened = channel.request(
        told.path, cardinality, bytes, bytes, timeout=told.timeout, metadata=dict(told.metadata)
    )
    async with opened as stream:
        heard["stream"] = stream
        await stream.send_request()
        if told.cancel == "begun":
            await stream.cancel()
            raise asyncio.CancelledError
        for number, message in enumerate(told.messages, 1):
            await stream.send_message(message, end=number == len(told.messages) and told.kind != "pingpong")
            if told.kind == "pingpong":
                messages.append(await stream.recv_message())
        if told.kind == "pingpong" or not told.messages:
            await stream.end()
        while (message := await stream.recv_message()) is not None:
            messages.append(message)
            if told.cancel == "first":
                await stream.cancel()
                raise asyncio.CancelledError
            if told.kind == "unary":
                break


async def main() -> None:
    hello(f"grpclib {grpclib.__version__}")
    host, _, port = sys.argv[1].rpartition(":")
    channel = Channel(host, int(port), codec=Raw(), status_details_codec=RawDetails())
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(await play(channel, read(line)), flush=True)
    channel.close()


if __name__ == "__main__":
    asyncio.run(main())
