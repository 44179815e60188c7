"""Verdict → gRPC status: the code, one line of text, and google.rpc details, within a byte budget.

Law: words only what the verdict says. The text inside the details is byte-identical to the plain one. gRPC
metadata has an 8 KiB soft limit and base64 adds a third, so the budgets leave room for the client's own.
"""

import json
from typing import Any, Final, NamedTuple

from google.protobuf.any_pb2 import Any as AnyProto
from google.rpc import error_details_pb2, status_pb2

from proxy.core.explain import escape
from proxy.core.mending.remedies import plan_of
from proxy.core.validate import MAX_UNKNOWN
from proxy.core.verdict import Verdict, Violation

DOMAIN: Final = "tfs-proxy"
"""ErrorInfo.domain of every refusal."""

TEXT_BUDGET: Final = 1024
"""Bytes of the status text; TF Serving cuts its own at 1024 too (failures.md §12)."""

DETAILS_BUDGET: Final = 4096
"""Bytes of the serialised google.rpc.Status."""

_SIGNATURE_BUDGET: Final = 320
_MENDING_BUDGET: Final = 1536


class Status(NamedTuple):
    """A gRPC status: `details` goes into `grpc-status-details-bin`."""

    code: int
    text: str
    details: bytes


def status_of(verdict: Verdict) -> Status:
    """The status of a refusal; `verdict` has at least one violation."""
    text = text_of(verdict)
    code = int(verdict.status_code)
    status = status_pb2.Status(code=code, message=text)
    first = verdict.violations[0]
    info = error_details_pb2.ErrorInfo(reason=first.reason.value, domain=DOMAIN)
    for name, value in (
        ("model", verdict.model),
        ("version", verdict.version),
        ("signature", verdict.signature),
    ):
        if value not in (None, ""):
            info.metadata[name] = escape(str(value), 200)
    info.metadata.update(_mending(verdict.violations))
    _pack(status, info)
    if verdict.retry_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(verdict.retry_seconds * 1e9))
        _pack(status, retry)
    link = error_details_pb2.Help.Link(
        description=first.reason.about.remedy, url=f"docs/reasons.md#{first.reason.value.lower()}"
    )
    _pack(status, error_details_pb2.Help(links=[link]))
    bad_request = _bad_request(verdict.violations, DETAILS_BUDGET - status.ByteSize() - 80)
    if bad_request.field_violations:
        _pack(status, bad_request)
    return Status(code, text, status.SerializeToString())


def _mending(violations: tuple[Violation, ...]) -> dict[str, str]:
    """How the request becomes right, for a machine: `certainty`, and as JSON `steps` or `options`.

    Where it is "the", `steps` are to be applied in order. Else `options` name a violation's field and `any_of` its
    remedies, each a list of steps; they are left out where nothing is known and where they would be long.
    """
    options = [
        {
            "field": each.field,
            "certainty": each.mending.certainty,
            "any_of": [[step.form() for step in remedy.steps] for remedy in each.mending.remedies],
        }
        for each in violations
        if any(remedy.steps for remedy in each.mending.remedies)
    ]
    if not options:
        return {}
    plan = plan_of(each.mending for each in violations)
    told = {"certainty": plan.certainty.value}
    steps = [step.form() for step in plan.steps]
    found = json.dumps(steps or options, separators=(",", ":"))
    if len(found) <= _MENDING_BUDGET:
        told["steps" if steps else "options"] = found
    return told


def text_of(verdict: Verdict) -> str:
    """One line of printable ASCII: how many problems, each of them, and what the signature accepts."""
    violations, tail = verdict.violations, ""
    if verdict.accepts:
        version = f" version {verdict.version}" if verdict.version is not None else ""
        tail = f" Model '{escape(verdict.model or '')}'{version} accepts {escape(verdict.accepts, _SIGNATURE_BUDGET)}"
    room = TEXT_BUDGET - len(tail)
    if len(violations) == 1:
        return _cut(_ended(violations[0]), room) + tail
    text = f"{len(violations)}{' or more' if len(violations) >= MAX_UNKNOWN else ''} problems:"
    for number, violation in enumerate(violations, 1):
        part = f" ({number}) {_ended(violation)}"
        if len(text) + len(part) > room - 20 and number > 1:
            text += f" and {len(violations) - number + 1} more."
            break
        text += part
    return _cut(text, room) + tail


def sentence_of(violation: Violation) -> str:
    """One violation as *where: expected, got; hint*, in printable ASCII."""
    hint = f"; {violation.hint}" if violation.hint else ""
    sentence = f"{violation.where}: expected {violation.expected}, got {violation.got}{hint}"
    return escape(sentence, TEXT_BUDGET).replace("\\\\", "\\")


def _ended(violation: Violation) -> str:
    sentence = sentence_of(violation)
    return sentence if sentence.endswith("?") else f"{sentence}."


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 3]}..."


def _bad_request(violations: tuple[Violation, ...], room: int) -> error_details_pb2.BadRequest:
    bad_request = error_details_pb2.BadRequest()
    for violation in violations:
        if not violation.field:
            continue
        entry = bad_request.field_violations.add(
            field=violation.field, description=sentence_of(violation), reason=violation.reason.value
        )
        room -= entry.ByteSize() + 3
        if room < 0:
            del bad_request.field_violations[-1]
            break
    return bad_request


def _pack(status: Any, message: Any) -> None:
    packed = AnyProto()
    packed.Pack(message, deterministic=True)
    status.details.append(packed)
