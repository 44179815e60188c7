"""The process behind `serving.py`: a TF Serving that notes what it should never have been given, and can die of it.

Law: it judges by itself, with protobuf alone and nothing of the product's: what the proxy lets through is held
against the signature that the version had at the moment of the request. One JSON object a line: orders come on
stdin, each is answered on stdout, and between the answers stand the contradictions as they happen.
"""

import asyncio
import json
import math
import os
import sys
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from proxy.wire.protos import predict_pb2
from tests.fake_serving import DT_FLOAT, FakeServing, _AbortError, signature_def

DIED = 86
"""The exit code of a server that a request has killed."""

DT_STRING = 7
MOST_FILLED = 256 << 20
"""Octets that the tensors of one request may take without having been sent."""
STRING_SIZE = 24
UNREAD = "/some.other.Service/Unread"
READ = "/some.other.Service/Read"
"""Streams of which nothing is read, and all."""

WAIT, HELD, FAIL, PAD, LATE = "x-wait", "x-held", "x-fail", "x-pad", "x-late"
"""What a request may ask for in its metadata: seconds before the answer, to wait for `release`, a failure, octets
beside the answer, to wait for `release` between the answer and its status."""
MARK = "x-mark"
"""What comes back from the metadata: in front of the answer and behind it."""


def contradiction(request: predict_pb2.PredictRequest, signatures: Any) -> str:
    """What in a request contradicts the signature that it asks for; "": it fits."""
    signature = signatures.get(request.model_spec.signature_name or "serving_default")
    if signature is None:
        return "no such signature"
    if set(request.inputs) != set(signature.inputs):
        return f"inputs {sorted(request.inputs)[:3]} for {sorted(signature.inputs)}"
    filled = 0
    for alias, info in signature.inputs.items():
        tensor = request.inputs[alias]
        sizes = [dim.size for dim in tensor.tensor_shape.dim]
        wanted = [dim.size for dim in info.tensor_shape.dim]
        if tensor.dtype != info.dtype:
            return f"dtype {tensor.dtype} for {info.dtype}"
        if not info.tensor_shape.unknown_rank and (
            len(sizes) != len(wanted)
            or any(want not in {-1, size} for want, size in zip(wanted, sizes, strict=True))
        ):
            return f"shape {sizes[:9]} for {wanted}"
        elements = math.prod(sizes)
        sent = len(tensor.string_val) if info.dtype == DT_STRING else len(tensor.float_val)
        if tensor.tensor_content:
            if len(tensor.tensor_content) != 4 * elements:
                return f"{len(tensor.tensor_content)} octets for {elements} elements"
        elif sent not in {1, elements}:
            return f"{sent} values for {elements} elements"
        elif sent < elements:
            filled += elements * (STRING_SIZE if info.dtype == DT_STRING else 4)
    return f"{filled} octets filled" if filled > MOST_FILLED else ""


def mark_of(request: predict_pb2.PredictRequest) -> bytes:
    """What tells one request from another: the first octets of its tensors."""
    return b"".join(tensor.tensor_content[:12] for _, tensor in sorted(request.inputs.items()))


class Counting(FakeServing):
    """`mortal`: a request whose rank is wrong ends the process, as a batchless image ends the genuine server."""

    def __init__(self, address: str, *, mortal: bool) -> None:
        super().__init__(address)
        self.requests = deque(maxlen=0)  # of hundreds of thousands none is kept
        self.mortal = mortal
        self.delays: dict[str, float] = {}
        self.under_way = 0
        self._gate = asyncio.Event()
        self._held: set[str] = set()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method == UNREAD:
            return grpc.stream_stream_rpc_method_handler(self._unread)
        if method == READ:
            return grpc.stream_stream_rpc_method_handler(self._read)
        handler = super().service(handler_call_details)
        if handler is None:
            return None
        name = method.rpartition("/")[2]
        metadata = dict(handler_call_details.invocation_metadata or ())

        async def call(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
            self.under_way += 1
            try:
                return await self._answer(name, data, metadata, context)
            finally:
                self.under_way -= 1

        async def late(data: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
            yield await call(data, context)
            self.calls["held"] += 1
            self.under_way += 1
            try:
                await self._gate.wait()
            finally:
                self.under_way -= 1

        if LATE in metadata:
            return grpc.unary_stream_rpc_method_handler(late)
        return grpc.unary_unary_rpc_method_handler(call)

    async def _answer(
        self, method: str, data: bytes, metadata: dict[str, Any], context: grpc.aio.ServicerContext
    ) -> bytes:
        try:
            settled: bytes | _AbortError = self._settle(method, data)
        except _AbortError as abort:
            settled = abort
        mark = ((MARK, metadata[MARK]),) if MARK in metadata else ()
        if mark:
            await context.send_initial_metadata(mark)
            context.set_trailing_metadata(mark)
        seconds = float(metadata.get(WAIT, 0)) if method == "Predict" else self.delays.get(method, 0)
        if seconds:
            await asyncio.sleep(seconds)
        self.calls["held"] += HELD in metadata
        if method in self._held or HELD in metadata:
            await self._gate.wait()
        if FAIL in metadata:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, metadata[MARK])
        if isinstance(settled, _AbortError):
            await context.abort(settled.code, settled.text)
        if PAD in metadata and method == "Predict":
            response = predict_pb2.PredictResponse.FromString(settled)
            response.outputs["pad"].tensor_content = bytes(int(metadata[PAD]))
            settled = response.SerializeToString()
        return settled

    def _settle(self, method: str, data: bytes) -> bytes:
        answer = super()._settle(method, data)
        if method != "Predict" or method in self._raw:
            return answer
        request = predict_pb2.PredictRequest.FromString(data)
        _, version = self._resolve(request.model_spec)
        wrong = contradiction(request, version.signatures)
        if wrong:
            deadly = self.mortal and wrong.startswith("shape")
            mark = int.from_bytes(mark_of(request), "big")
            tell({"ran": f"{request.model_spec.name}: {wrong}", "mark": mark})
            if deadly:
                os._exit(DIED)
        response = predict_pb2.PredictResponse.FromString(answer)
        response.outputs["mark"].tensor_content = mark_of(request)
        return response.SerializeToString()

    async def _unread(self, _requests: Any, context: grpc.aio.ServicerContext) -> None:
        await context.send_initial_metadata(())
        await asyncio.Event().wait()

    async def _read(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        self.under_way += 1
        try:
            await context.send_initial_metadata(())
            octets = 0
            async for each in requests:
                octets += len(each)
            yield str(octets).encode()
        finally:
            self.under_way -= 1

    # === orders ===

    def do_load(self, model: str, version: int, inputs: dict[str, Any], state: str = "AVAILABLE") -> None:
        self.load(model, version, signatures_of(inputs), state)

    def do_swap(self, model: str, version: int, inputs: dict[str, Any]) -> None:
        self.swap(model, version, signatures_of(inputs))

    def do_unload(self, model: str) -> None:
        self.models.pop(model, None)

    def do_delay(self, method: str, seconds: float) -> None:
        self.delays[method] = seconds

    def do_hold(self, method: str) -> None:
        self._held.add(method)

    def do_release(self) -> None:
        """Let go of whatever is held now."""
        self._held.clear()
        self._gate.set()
        self._gate = asyncio.Event()

    def do_fail(self, method: str, code: str, text: str = "") -> None:
        self.fail(method, grpc.StatusCode[code], text)

    def do_answer(self, method: str, octets: str, times: int = 1) -> None:
        """Hexadecimal, so many times."""
        self.answer(method, bytes.fromhex(octets) * times)

    def do_mend(self, method: str) -> None:
        self.delays.pop(method, None)
        self.mend(method)

    def do_calls(self) -> dict[str, int]:
        return {name: count for name, count in self.calls.items() if isinstance(name, str)}

    def do_under_way(self) -> int:
        return self.under_way


def signatures_of(inputs: dict[str, Any]) -> dict[str, Any]:
    """One signature by alias → [dtype, shape]; aliases "signature/alias" make several."""
    by_name: dict[str, dict[str, Any]] = {}
    for alias, (dtype, shape) in inputs.items():
        signature, _, name = alias.rpartition("/")
        tensor = dtype, None if shape is None else tuple(shape)
        by_name.setdefault(signature or "serving_default", {})[name] = tensor
    return {name: signature_def(tensors, {"y": (DT_FLOAT, (-1,))}) for name, tensors in by_name.items()}


def tell(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def main(serving: Counting) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        order = json.loads(line)
        name = order.pop("do")
        if name == "start":  # what is loaded before is there from the first call on
            await serving.start()
            tell({"done": serving.target})
        else:
            tell({"done": getattr(serving, f"do_{name}")(**order)})


if __name__ == "__main__":
    asyncio.run(main(Counting(sys.argv[1], mortal="mortal" in sys.argv[2:])))
