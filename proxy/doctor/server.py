"""The server as gRPC: does it answer, is it TensorFlow Serving, what else is on its port, how large may messages be.

Law: cheap questions only; a server that is busy with requests must not notice.
"""

from collections.abc import AsyncIterator
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from proxy.core.explain import escape
from proxy.core.reasons import Code
from proxy.diagnosis import Call, diagnose
from proxy.diagnosis.reach import ForwardProxy
from proxy.doctor.line import Line, diagnosed, fault, note, well
from proxy.upstream.channel import KEEPALIVE_SECONDS
from proxy.upstream.client import GET_MODEL_STATUS
from proxy.wire.metadata import status_request

PATIENCE: Final = 10.0
"""Seconds that each question may take."""

PROXY_PATIENCE: Final = 5.0

_HEALTH: Final = "/grpc.health.v1.Health/Check"
_LIST: Final = "/grpc.health.v1.Health/List"
_MODEL: Final = "model/"
"""What the names of models begin with in tfs-proxy's health service."""
_REFLECTION: Final = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
_LIST_SERVICES: Final = b"\x3a\x00"  # ServerReflectionRequest { list_services: "" }
_NOBODY: Final = "tfs-proxy-doctor"
_PADDING_BYTES: Final = 5 << 20
# An unknown field (1000, bytes), which every protobuf parser skips.
_PADDING: Final = b"\xc2\x3e" + b"\x80\x80\xc0\x02" + bytes(_PADDING_BYTES)

Status = tuple[int, str]


async def ask(channel: grpc.aio.Channel, method: str, message: bytes, seconds: float = PATIENCE) -> Status:
    """Code and text of one unary call."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
    try:
        await call(message, timeout=seconds)
    except grpc.aio.AioRpcError as error:
        return error.code().value[0], error.details() or ""
    return 0, ""


def shown(status: Status) -> str:
    """`UNAVAILABLE: Connection refused`, on one line."""
    name = next((code.name for code in grpc.StatusCode if code.value[0] == status[0]), str(status[0]))
    return f"{name}: {escape(' '.join(status[1].split()), 300)}" if status[1] else name


async def check_grpc(channel: grpc.aio.Channel) -> Line:
    """Whether TensorFlow Serving answers; a fault ends the questions to the server."""
    status = await ask(channel, GET_MODEL_STATUS, status_request(_NOBODY))
    if status[0] in {0, Code.NOT_FOUND}:
        return well("gRPC", "TensorFlow Serving answers (GetModelStatus)")
    if status[0] == Code.UNIMPLEMENTED:
        return fault(
            "gRPC",
            f"a gRPC server answers, but it is not TensorFlow Serving ({shown(status)})",
            "Name the port of tensorflow_model_server; a front must route /tensorflow.serving.* to it.",
            "F61 F75 F76",
        )
    why = diagnose(*status, Call(GET_MODEL_STATUS))
    if why is not None:
        return diagnosed("gRPC", why, shown(status))
    return fault("gRPC", f"GetModelStatus fails: {shown(status)}", "See the server's log.")


async def check_forward_proxy(proxy: ForwardProxy, through: grpc.aio.Channel | None, host: str) -> Line:
    """What the environment's forward proxy does to gRPC, where the server answers without it.

    `through` is a channel that obeys it; None: it cannot be tried, or does not apply.
    """
    named = f"{proxy.variable} names {proxy.address}"
    if not proxy.applies:
        return well("forward proxy", f"{named}, and {proxy.bypass} exempts {host}")
    todo = (
        f"Add {host} to no_proxy where clients run, or set their channel option grpc.enable_http_proxy=0; tfs-proxy "
        "leaves forward proxies aside unless told."
    )
    if through is None:
        return note("forward proxy", f"{named}: gRPC clients started here go through it", todo, "F60")
    status = await ask(through, GET_MODEL_STATUS, status_request(_NOBODY), PROXY_PATIENCE)
    if status[0] in {0, Code.NOT_FOUND}:
        return well("forward proxy", f"{named}, and gRPC gets through it")
    return fault(
        "forward proxy",
        f"{named}: gRPC clients started here go through it and get no answer ({shown(status)}); directly the server "
        "does answer",
        todo,
        "F60",
    )


async def check_services(channel: grpc.aio.Channel) -> AsyncIterator[Line]:
    """Health and reflection: optional, so that their absence is only told."""
    health = await ask(channel, _HEALTH, b"")
    if health[0] == 0:
        yield well("health", "grpc.health.v1 answers (it does not follow the models; tfs-proxy's does)")
    else:
        yield note(
            "health",
            f"no health service ({shown(health)}): it is off by default",
            "Start the server with --enable_grpc_healthcheck_service, or ask tfs-proxy for its own.",
        )
    if await _reflects(channel):
        yield well("reflection", "answers: grpcurl works without .proto files")
    else:
        yield note("reflection", "no reflection service", "Give grpcurl the .proto files, or ask tfs-proxy.")


async def models_seen(channel: grpc.aio.Channel) -> tuple[str, ...]:
    """The models that are served, as tfs-proxy tells; none where something else answers, which knows no such list."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_LIST)
    try:
        answer = health_pb2.HealthListResponse.FromString(await call(b"", timeout=PATIENCE))
    except (grpc.aio.AioRpcError, DecodeError):
        return ()
    serving = health_pb2.HealthCheckResponse.SERVING
    served = (name for name, health in answer.statuses.items() if health.status == serving)
    return tuple(sorted(name.removeprefix(_MODEL) for name in served if name.startswith(_MODEL)))


async def _reflects(channel: grpc.aio.Channel) -> bool:
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(_REFLECTION)
    call = method(iter([_LIST_SERVICES]), timeout=PATIENCE)
    try:
        return await anext(aiter(call), None) is not None
    except grpc.aio.AioRpcError:
        return False
    finally:
        call.cancel()


def keepalive() -> Line:
    """How connections are kept; a settings line, as whoever drops idle connections does not say so in advance."""
    return well(
        "keepalive",
        f"tfs-proxy pings a silent connection with calls after {KEEPALIVE_SECONDS} s; servers of gRPC's core take no "
        "more than one ping in 300 s, and balancers that drop idle connections sooner are met by a reconnect",
    )


async def check_message_size(channel: grpc.aio.Channel) -> Line:
    """Whether every hop takes more than the 4 MiB that is gRPC's default."""
    status = await ask(channel, GET_MODEL_STATUS, status_request(_NOBODY) + _PADDING)
    if status[0] in {0, Code.NOT_FOUND}:
        return well("message size", f"a request of {_PADDING_BYTES >> 20} MiB gets through")
    why = diagnose(*status, Call(GET_MODEL_STATUS, request_bytes=_PADDING_BYTES))
    if why is not None:
        return diagnosed(
            "message size",
            why,
            f"a request of {_PADDING_BYTES >> 20} MiB does not get through ({shown(status)})",
        )
    return fault(
        "message size",
        f"a request of {_PADDING_BYTES >> 20} MiB does not get through: {shown(status)}",
        "Raise the limit of the hop that stops it.",
        "F70",
    )
