"""A request that a person tries on the page: judged by the live gate, and sent only where the operator allows it.

Law: the verdict is that of a client's request. Nothing of it is counted, logged or kept; of an answer only dtypes,
shapes and the first values are told, to whoever asked.
"""

import struct
import time
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from proxy.core.explain import escape
from proxy.core.mending.remedies import plan_of
from proxy.core.reasons import Code
from proxy.core.types import DTYPES, dtype_name, shape_text
from proxy.core.verdict import Verdict, Violation
from proxy.gate import PREDICT, Decision, Judge, Message, Refuse
from proxy.upstream.control import ControlError, ControlPlane
from proxy.wire.protos import predict_pb2
from proxy.wire.status import sentence_of

_SEND_SECONDS: Final = 10.0
_FIRST: Final = 8
_TEXT_LENGTH: Final = 80
_MOST_OUTPUTS: Final = 64
_PACKED: Final = {
    "float32": "f",
    "float64": "d",
    "float16": "e",
    "bool": "?",
    **dict(zip(("int8", "int16", "int32", "int64"), "bhiq", strict=True)),
    **dict(zip(("uint8", "uint16", "uint32", "uint64"), "BHIQ", strict=True)),
}
"""How numbers lie in `tensor_content`, by dtype."""


class Trials:
    """Judges by `gate`; sends by `way` where `may_send`."""

    def __init__(self, gate: Judge, way: ControlPlane, *, may_send: bool) -> None:
        self._gate = gate
        self._way = way
        self._may_send = may_send

    async def attempt(self, message: bytes, send: bool) -> dict[str, Any]:
        """What comes of a request: the verdict in full, and where it was sent the answer."""
        decision = await self._gate.judge(Message(PREDICT, message), client=("trial",))
        told = decision_form(decision)
        if send and self._may_send and not isinstance(decision, Refuse):
            told["answer"] = await self._answer(message)
        return told

    async def _answer(self, message: bytes) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            answer = await self._way.ask(PREDICT, message, _SEND_SECONDS)
        except ControlError as error:
            return {"problem": f"{_code(error.code)}: {error.text[:1000]}", "seconds": None, "outputs": []}
        seconds = time.perf_counter() - began
        try:
            response = predict_pb2.PredictResponse.FromString(answer)
        except DecodeError:
            return {"problem": "the answer is no PredictResponse", "seconds": seconds, "outputs": []}
        outputs = [
            _output(alias, response.outputs[alias]) for alias in sorted(response.outputs)[:_MOST_OUTPUTS]
        ]
        return {"problem": "", "seconds": seconds, "outputs": outputs}


def decision_form(decision: Decision) -> dict[str, Any]:
    """A decision as plain data: what `tfs-proxy check --json` prints and the page shows."""
    verdict = decision.verdict or Verdict()
    refused = isinstance(decision, Refuse)
    return {
        "verdict": "refuse" if refused else "forward",
        "code": Code(decision.status.code).name if isinstance(decision, Refuse) else "OK",
        "text": decision.status.text if isinstance(decision, Refuse) else "",
        "model": verdict.model,
        "version": verdict.version,
        "signature": verdict.signature,
        "violations": [_violation_form(each) for each in verdict.violations],
        "warnings": [_violation_form(each) for each in verdict.warnings],
        "mending": _mending_form(verdict),
    }


def _mending_form(verdict: Verdict) -> dict[str, Any]:
    plan = plan_of(each.mending for each in verdict.violations)
    return {"certainty": plan.certainty.value, "steps": [step.form() for step in plan.steps]}


def _violation_form(violation: Violation) -> dict[str, Any]:
    return {
        "reason": violation.reason.value,
        "field": violation.field,
        "expected": violation.expected,
        "got": violation.got,
        "hint": violation.hint,
        "text": sentence_of(violation),
        "certainty": violation.mending.certainty.value,
        "remedies": [[step.form() for step in each.steps] for each in violation.mending.remedies],
    }


# === the answer ===


def _code(number: int) -> str:
    return next((code.name for code in Code if code == number), f"code {number}")


def _output(alias: str, tensor: Any) -> dict[str, Any]:
    dims = tuple(dim.size for dim in tensor.tensor_shape.dim)
    values, more = _first_values(tensor)
    return {
        "alias": escape(alias, 100),
        "tensor": f"{dtype_name(tensor.dtype)}{shape_text(dims)}",
        "values": [_shown(each) for each in values],
        "more": more,
    }


def _first_values(tensor: Any) -> tuple[Sequence[Any], bool]:
    dtype = DTYPES.get(tensor.dtype)
    if dtype is None:
        return (), False
    packed = _PACKED.get(dtype.name)
    if tensor.tensor_content and packed:
        count = len(tensor.tensor_content) // dtype.size
        return struct.unpack_from(f"<{min(count, _FIRST)}{packed}", tensor.tensor_content), count > _FIRST
    if tensor.tensor_content or dtype.field in {
        "float8_val",
        "half_val",
        "resource_handle_val",
        "variant_val",
    }:
        return ("not shown",), False
    values = getattr(tensor, dtype.field)
    return values[:_FIRST], len(values) > _FIRST


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"'{escape(value.decode(errors='backslashreplace'), _TEXT_LENGTH)}'"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
