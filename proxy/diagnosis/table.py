"""The whole table, and the two questions one asks of it."""

from typing import Final

from proxy.core.reasons import Reason
from proxy.diagnosis.answer import Call, Diagnosis, Row, row
from proxy.diagnosis.device_faults import DEVICE_FAULTS
from proxy.diagnosis.export_faults import EXPORT_FAULTS
from proxy.diagnosis.request_faults import REQUEST_FAULTS
from proxy.diagnosis.server_faults import SERVER_FAULTS
from proxy.diagnosis.transport_faults import TRANSPORT_FAULTS

_TEXT_READ: Final = 1024
"""Characters of a text that are matched: where TF Serving cuts its own, and a bound on what a text can cost."""

_NODE: Final = r"\[\[\{\{(?:function_node [^}]*\}\}\{\{)?node (?P<node>.+?)\}\}"

_IN_GRAPH: Final[tuple[Row, ...]] = (
    row(
        _NODE,
        Reason.UPSTREAM_REQUEST_FAULT,
        "the model's own graph failed at node {node}: TF Serving accepted the request as fitting the signature",
        "",
        "Find the node in the model's code; compare shapes and values with those of training.",
        append=True,
    ),
    row(
        _NODE,
        Reason.UPSTREAM_GRAPH_FAULT,
        "the model's own graph failed at node {node}; the code does not say that the request is why",
        "",
        append=True,
    ),
)

_NOT_OF_A_CALL: Final = frozenset(
    {Reason.UPSTREAM_EXPORT_FAULT, Reason.UPSTREAM_OUT_OF_MEMORY, Reason.UPSTREAM_DEVICE_FAULT}
)

# Loading failures quote other texts, so the server's rows come first; transport texts are the loosest.
TABLE: Final[tuple[Row, ...]] = (
    *SERVER_FAULTS,
    *EXPORT_FAULTS,
    *REQUEST_FAULTS,
    *DEVICE_FAULTS,
    *TRANSPORT_FAULTS,
    *_IN_GRAPH,
)


def diagnose(code: int, text: str, call: Call | None = None) -> Diagnosis | None:
    """What the upstream's status (`code` is gRPC's number) means, or None where no row knows it."""
    call = call or Call()
    text = text[:_TEXT_READ]
    for each in TABLE:
        diagnosis = each.match(code, text, call)
        if diagnosis is not None:
            return diagnosis
    return None


def diagnose_load_error(code: int, text: str) -> Diagnosis | None:
    """What the error of a model version in GetModelStatus means.

    A text that is a call's error at other times comes from the model's warm-up requests here (measured: a
    warm-up record of the wrong dtype ends the load with `Expects arg[0] ...`).
    """
    diagnosis = diagnose(code, text)
    if diagnosis is None or diagnosis.reason in _NOT_OF_A_CALL:
        return diagnosis
    return diagnosis.saying(
        f"a warm-up request of the model fails: {diagnosis.sentence}",
        Reason.UPSTREAM_EXPORT_FAULT,
        "Mend assets.extra/tf_serving_warmup_requests or remove it; `tfs-proxy lint` reads it.",
    )
