"""Models as the server has them: versions and their states, signatures and what is odd about them, a request of zeros.

Law: says what the server says, in its own words first, then what they mean.
"""

import time
from collections.abc import AsyncIterator, Iterator
from math import prod
from typing import Final

import grpc
import grpc.aio

from proxy.client_code.request import NoExampleError, example_request
from proxy.client_code.server import Server
from proxy.core.availability import AVAILABLE, LOADING_STATES, Absence, VersionStatus, judge_absence
from proxy.core.components import described, families
from proxy.core.explain import quote
from proxy.core.reasons import Reason
from proxy.core.types import DT_STRING, DTYPES, ModelKey, Servable, Signature, TensorSpec
from proxy.diagnosis import Call, diagnose, diagnose_load_error
from proxy.doctor.line import Line, Mark, diagnosed, fault, note, well
from proxy.doctor.server import PATIENCE, shown
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.control import ChannelControl
from proxy.wire.protos import predict_pb2
from proxy.wire.request import parse_predict
from proxy.wire.status import sentence_of

_PREDICT: Final = "/tensorflow.serving.PredictionService/Predict"
_CLIENT_LIMIT: Final = 4 << 20
"""What gRPC clients receive at most unless told otherwise, in bytes."""
_LARGEST_PROBE: Final = 64 << 20
_STRING_BYTES: Final = 256
"""More than any string of an example has."""
_VERSIONS_SHOWN: Final = 5
_MAY_BE_THE_VALUES: Final = frozenset({Reason.UPSTREAM_REQUEST_FAULT, Reason.UPSTREAM_GRAPH_FAULT})
_RAISE_LIMIT: Final = (
    "Raise grpc.max_receive_message_length in every client (Python: the channel's options), or ask for fewer outputs "
    "with output_filter."
)


async def check_model(
    channel: grpc.aio.Channel, key: ModelKey, known: tuple[str, ...], *, probe: bool
) -> AsyncIterator[Line]:
    """Everything about one model; `known` are the names for did-you-mean. `probe` sends a request of zeros."""
    topic = f"model {key.model}"
    client = ServingClient(ChannelControl(channel), PATIENCE)
    try:
        versions = await client.versions(key.model)
    except NoAnswerError as error:
        yield fault(topic, f"GetModelStatus gives no answer: {error}", "See the server's log.")
        return
    for status in versions[:_VERSIONS_SHOWN]:
        line = _of_version(topic, status)
        if line is not None:
            yield line
    verdict = judge_absence(Absence(key, versions, known))
    if verdict is not None:
        # A state that a line above has told of already needs no second one.
        violation = verdict.violations[0]
        if violation.reason not in {Reason.MODEL_LOADING, Reason.MODEL_LOAD_FAILED}:
            about = violation.reason.about
            yield Line(topic, Mark.FAULT, sentence_of(violation), about.remedy, about.failures)
        return
    try:
        found = await client.lookup(key, known)
    except NoAnswerError as error:
        yield fault(
            topic,
            f"GetModelMetadata gives no answer: {error}",
            "See the server's log; old servers have known faults here.",
            "F51",
        )
        return
    if isinstance(found, Absence):
        yield fault(
            topic,
            "the server says NOT_FOUND of it, yet GetModelStatus says AVAILABLE: two servers may share one port",
            "Stop one of them; start servers with --grpc_channel_arguments=grpc.so_reuseport=0.",
            "F42",
        )
        return
    async for line in _check_signatures(channel, key, found, probe=probe):
        yield line


def _of_version(topic: str, status: VersionStatus) -> Line | None:
    what = f"version {status.version} is {status.state}"
    if status.state == AVAILABLE:
        return well(topic, what)
    if status.state in LOADING_STATES:
        return fault(
            topic,
            f"{what}: it is still loading, or a load that fails is tried again",
            "Wait; if it stays so for minutes, the server's log says why. --file_system_poll_wait_seconds sets how often it looks.",
            "F50",
        )
    if status.error_message or status.error_code:
        seen = f"version {status.version} failed to load, the server says: {quote(status.error_message, 300)}"
        why = diagnose_load_error(status.error_code, status.error_message)
        if why is not None:
            return diagnosed(topic, why, seen)
        return fault(topic, seen, Reason.MODEL_LOAD_FAILED.about.remedy, "F53")
    return note(topic, f"{what}: unloaded")


async def _check_signatures(
    channel: grpc.aio.Channel, key: ModelKey, servable: Servable, *, probe: bool
) -> AsyncIterator[Line]:
    if not servable.signatures:
        yield fault(
            f"model {key.model}",
            "it has no signatures: nothing can be asked of it",
            "Export it with signatures=...",
            "F09",
        )
    for name, signature in sorted(servable.signatures.items()):
        topic = f"signature {key.model}/{name}"
        yield well(topic, f"version {servable.version}: {signature}")
        for line in odd(topic, signature):
            yield line
        if probe:
            yield await _send_example(channel, topic, key, servable, signature)


def odd(topic: str, signature: Signature) -> Iterator[Line]:
    """What about a signature gives trouble sooner or later, and which of its inputs belong together."""
    for family in families(signature.inputs):
        yield well(topic, described(family))
    if not signature.method:
        yield note(
            topic,
            "its method_name is empty",
            "Servers with --enable_signature_method_name_check refuse it; export with tensorflow/serving/predict.",
            "F12",
        )
    nameless = sorted(
        spec.alias
        for spec in (*signature.inputs.values(), *signature.outputs.values())
        if not spec.graph_name
    )
    if nameless:
        yield fault(
            topic,
            f"{', '.join(map(quote, nameless))} names no dense tensor (sparse or ragged): every call of it fails",
            "Export dense tensors (tf.sparse.to_dense, RaggedTensor.to_tensor).",
            "F13",
        )
    fixed = [spec for spec in signature.inputs.values() if spec.shape and spec.shape[0] == 1]
    if fixed and len(fixed) == len(signature.inputs):
        yield note(
            topic,
            "it was exported with a fixed batch of 1: only one example fits into a request",
            "Export with a free batch dimension (None) for more.",
            "F30",
        )
    free = any(spec.shape and spec.shape[0] < 0 for spec in signature.inputs.values())
    unbatched = sorted(
        spec.alias
        for spec in signature.outputs.values()
        if spec.shape is not None and (not spec.shape or spec.shape[0] >= 0)
    )
    if free and unbatched:
        yield note(
            topic,
            f"outputs {', '.join(map(quote, unbatched))} do not begin with the batch: with --enable_batching calls fail",
            "Export outputs whose first dimension is the batch, or serve without batching.",
            "F83",
        )
    size = sum(_least_bytes(spec) for spec in signature.outputs.values())
    if size > _CLIENT_LIMIT:
        yield fault(
            topic,
            f"the answer for one example has {_mib(size)} at least; gRPC clients receive 4 MiB unless told otherwise",
            _RAISE_LIMIT,
            "F69",
        )


def _least_bytes(spec: TensorSpec) -> int:
    """The bytes of a tensor with one element along every free dimension; 0 where nothing is known."""
    kind = DTYPES.get(spec.dtype)
    if kind is None or spec.shape is None:
        return 0
    return kind.size * prod(1 if dim < 0 else dim for dim in spec.shape)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


async def _send_example(
    channel: grpc.aio.Channel, topic: str, key: ModelKey, servable: Servable, signature: Signature
) -> Line:
    try:
        message = example(key, servable, signature)
    except NoExampleError as error:
        return note(topic, f"no request was sent: {error}")
    if message is None:
        return note(topic, "no request was sent: an input is too large for a probe")
    predict: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_PREDICT)
    began = time.monotonic()
    try:
        answer = await predict(message, timeout=PATIENCE)
    except grpc.aio.AioRpcError as error:
        status = error.code().value[0], error.details() or ""
        call = Call(_PREDICT, parse_predict(message), servable, request_bytes=len(message))
        why = diagnose(*status, call)
        strings = any(spec.dtype == DT_STRING for spec in signature.inputs.values())
        guessed = strings or families(signature.inputs)
        if guessed and (why is None or why.reason in _MAY_BE_THE_VALUES):
            return note(
                topic,
                f"a made-up request is not one that this graph can read ({shown(status)})",
                "Nothing need be wrong; try a real request with `tfs-proxy check` or `tfs-proxy example`.",
            )
        if why is not None:
            return diagnosed(topic, why, f"a request of zeros fails ({shown(status)})")
        return fault(topic, f"a request of zeros fails: {shown(status)}", "See the server's log.")
    took = time.monotonic() - began
    if len(answer) > _CLIENT_LIMIT:
        return fault(
            topic,
            f"the answer to a request of zeros has {_mib(len(answer))}; gRPC clients receive 4 MiB unless told otherwise",
            _RAISE_LIMIT,
            "F69",
        )
    return well(topic, f"a request of zeros is answered in {took:.3g} s with {len(answer)} bytes")


def example(key: ModelKey, servable: Servable, signature: Signature) -> bytes | None:
    """The request that `tfs-proxy example` writes a program for; None: it is too large. Raises NoExampleError."""
    chosen = example_request(servable, key, signature.name, Server(""))
    if sum(each.count * (each.dtype.size or _STRING_BYTES) for each in chosen.inputs) > _LARGEST_PROBE:
        return None
    request = predict_pb2.PredictRequest()
    request.model_spec.name = key.model
    request.model_spec.signature_name = signature.name
    if key.version is not None:
        request.model_spec.version.value = key.version
    for each in chosen.inputs:
        tensor = request.inputs[each.alias]
        tensor.dtype = each.dtype.number
        tensor.tensor_shape.SetInParent()
        for size in each.dims:
            tensor.tensor_shape.dim.add(size=size)
        if each.element is not None:
            tensor.string_val.extend([each.element] * each.count)
        else:
            tensor.tensor_content = each.content
    return bytes(request.SerializeToString())
