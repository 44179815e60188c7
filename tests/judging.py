"""Requests, servables and a source of signatures for tests of the judge."""

from collections.abc import Mapping

from proxy.core.availability import Absence, VersionStatus
from proxy.core.policy import Policies
from proxy.core.types import DTYPES, ModelKey, RequestView, Servable, Shape, Signature, TensorSpec, TensorView
from proxy.core.verdict import Verdict
from proxy.gate import PREDICT, Decision, Gate, Message, Refuse
from proxy.wire.protos import predict_pb2, tensor_pb2
from proxy.wire.request import parse_predict

NUMBERS = {kind.name: kind.number for kind in DTYPES.values()}
"""Dtype name → number."""

NO_DTYPE = max(DTYPES) + 1
"""The number that TensorFlow's next dtype may get."""


def spec(alias: str, dtype: str, shape: Shape | None, graph_name: str = "") -> TensorSpec:
    return TensorSpec(
        alias, NUMBERS[dtype] if dtype else 0, shape, graph_name or f"serving_default_{alias}:0"
    )


def signature(
    inputs: Mapping[str, tuple[str, Shape | None]],
    outputs: Mapping[str, tuple[str, Shape | None]] | None = None,
    *,
    name: str = "serving_default",
    method: str = "tensorflow/serving/predict",
    defaults: frozenset[str] = frozenset(),
) -> Signature:
    """A signature of tensors given as alias → (dtype name, shape)."""
    outputs = outputs or {"y": ("float32", (-1,))}
    return Signature(
        name,
        method,
        {alias: spec(alias, *each) for alias, each in inputs.items()},
        {alias: spec(alias, *each, "StatefulPartitionedCall:0") for alias, each in outputs.items()},
        defaults,
    )


def servable(*signatures: Signature, model: str = "m", version: int = 1) -> Servable:
    return Servable(model, version, {each.name: each for each in signatures})


def tensor(dtype: str | int, dims: Shape = (), **fields: object) -> tensor_pb2.TensorProto:
    """A TensorProto; without fields it has zeroed content of the right length."""
    number = NUMBERS[dtype] if isinstance(dtype, str) else dtype
    proto = tensor_pb2.TensorProto(dtype=number, **fields)
    proto.tensor_shape.SetInParent()
    count = 1
    for size in dims:
        proto.tensor_shape.dim.add(size=size)
        count *= size
    if not fields and DTYPES[number].size:
        proto.tensor_content = bytes(count * DTYPES[number].size)
    return proto


def predict(model: str = "m", signature_name: str = "", outputs=(), **inputs) -> predict_pb2.PredictRequest:
    request = predict_pb2.PredictRequest(output_filter=outputs)
    request.model_spec.name = model
    request.model_spec.signature_name = signature_name
    for alias, proto in inputs.items():
        request.inputs[alias].CopyFrom(proto)
    return request


def view_of(proto: tensor_pb2.TensorProto, alias: str = "x") -> TensorView:
    """What the wire says of one tensor."""
    (view,) = parse_predict(predict(**{alias: proto}).SerializeToString()).inputs
    return view


def view_of_request(request: predict_pb2.PredictRequest) -> RequestView:
    return parse_predict(request.SerializeToString())


class FixedSignatures:
    """A source of signatures that never has to wait: servables by model, and absences."""

    def __init__(self, *servables: Servable, versions: tuple[VersionStatus, ...] = ()) -> None:
        self.servables = {each.model: each for each in servables}
        self.versions = versions
        self.asked_again = 0

    def peek(self, key: ModelKey) -> Servable | None:
        found = self.servables.get(key.model)
        return found if found and key.label is None and key.version in (None, found.version) else None

    async def lookup(self, key: ModelKey, timeout: float | None, client=None) -> Absence:
        found = self.servables.get(key.model)
        versions = self.versions or ((VersionStatus(found.version, "AVAILABLE"),) if found else ())
        return Absence(key, versions, tuple(self.servables))

    async def recheck(self, key, seen, timeout, arrived, client=None):
        self.asked_again += 1
        return seen


def decide(gate: Gate, message: bytes, method: str = PREDICT) -> Decision:
    """The gate's decision where its source of signatures never waits, so that no event loop is needed."""
    now = gate.judge_now(Message(method, message))
    if now is not None:
        return now
    try:
        gate.judge(Message(method, message)).send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the gate waits for something")


def verdict_on(request: predict_pb2.PredictRequest | bytes, *servables: Servable, policies=None) -> Verdict:
    """The verdict of the whole gate."""
    message = request if isinstance(request, bytes) else request.SerializeToString()
    decision = decide(Gate(FixedSignatures(*servables), policies or Policies()), message)
    assert isinstance(decision, Refuse) or not decision.failed
    return decision.verdict
