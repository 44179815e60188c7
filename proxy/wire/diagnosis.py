"""Diagnosis → what is added to an upstream's error answer: to the text, the details, and as a trailing sentence.

Law: the upstream's code and text stay; words are only added behind them. Details that are already there are
kept, and stay exactly as they are where they cannot be read or would outgrow the budget.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from google.protobuf.any_pb2 import Any as AnyProto
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from proxy.core.explain import escape
from proxy.diagnosis import Diagnosis
from proxy.wire.status import DETAILS_BUDGET, DOMAIN

TRAILER: Final = "tfs-proxy-diagnosis"
"""The trailing metadata key that carries the sentence."""


class Annotated(NamedTuple):
    """An upstream's answer with our words added; `details` goes into `grpc-status-details-bin`."""

    text: str
    details: bytes
    sentence: str


def annotate(
    code: int,
    text: str,
    details: bytes,
    diagnosis: Diagnosis,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> Annotated:
    """Add `diagnosis` to an upstream's status.

    `facts` (model, version, signature) go into ErrorInfo.metadata. The text changes only where the original
    is empty or misleads, and then the one inside the details changes with it.
    """
    words = f"{diagnosis.sentence}. {diagnosis.remedy}"
    new_text = text
    if diagnosis.append:
        new_text = f"{text} [{DOMAIN}: {words}]" if text else f"{DOMAIN}: {words}"
    sentence = f"{diagnosis.reason.value}: {words}"
    return Annotated(new_text, _details(code, text, new_text, details, diagnosis, facts), sentence)


def _details(
    code: int, text: str, new_text: str, details: bytes, diagnosis: Diagnosis, facts: Mapping[str, str]
) -> bytes:
    status = status_pb2.Status(code=code, message=text)
    if details:
        try:
            status = status_pb2.Status.FromString(details)
        except DecodeError:
            return details
    if status.message == text:
        status.message = new_text
    info = error_details_pb2.ErrorInfo(reason=diagnosis.reason.value, domain=DOMAIN)
    info.metadata["diagnosis"] = diagnosis.sentence
    if diagnosis.failures:
        info.metadata["failures"] = " ".join(diagnosis.failures)
    for name, value in facts.items():
        info.metadata[name] = escape(value, 200)
    link = error_details_pb2.Help.Link(
        description=diagnosis.remedy, url=f"docs/reasons.md#{diagnosis.reason.value.lower()}"
    )
    for message in (info, error_details_pb2.Help(links=[link])):
        packed = AnyProto()
        packed.Pack(message, deterministic=True)
        status.details.append(packed)
    added = status.SerializeToString()
    return added if len(added) <= DETAILS_BUDGET else details
