"""Rows for the state of the server: which models it has, what it runs out of, batching, configuration."""

import re
from dataclasses import replace
from typing import Final

from proxy.core.availability import Absence, judge_absence
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey
from proxy.diagnosis.answer import Call, Diagnosis, Row, row
from proxy.diagnosis.device_faults import DEVICE_FAULTS
from proxy.diagnosis.export_faults import EXPORT_FAULTS
from proxy.diagnosis.facts import contradictions, told

_EMPTY: Final = r"\A\Z"
_DEADLINE, _EXHAUSTED, _UNIMPLEMENTED = frozenset({4}), frozenset({8}), frozenset({12})
_LARGE: Final = 4 * 1024 * 1024


def _which_not_found(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """TF Serving says the same of a wrong name, loading, failed and unloaded: only GetModelStatus tells."""
    key = ModelKey(found["model"], int(found["version"]) if found["version"] else None)
    if call.versions is None:
        return diagnosis if key.version is None else replace(diagnosis, reason=Reason.VERSION_NOT_FOUND)
    verdict = judge_absence(Absence(key, call.versions, call.known))
    if verdict is None:
        return replace(
            diagnosis.saying(
                "the server says NOT_FOUND, yet GetModelStatus says AVAILABLE: two servers may share one port and answer "
                "in turn, or the version was swapped this moment",
                Reason.UPSTREAM_CONTRADICTORY,
            ),
            failures=("F42",),
        )
    violation = verdict.violations[0]
    return diagnosis.saying(told(violation), violation.reason)


def _load_error(found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """Explain the error that kept the model from loading."""
    for each in (*EXPORT_FAULTS, *DEVICE_FAULTS):
        inner = each.match(0, found["error"], call)
        if inner is not None:
            return diagnosis.saying(f"{diagnosis.sentence}: {inner.sentence}", remedy=inner.remedy)
    return diagnosis


def _deadline(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    """A request for nothing is never answered by a batching 2.20 server (measured)."""
    for violation in contradictions(call):
        if violation.reason is Reason.BATCH_EMPTY:
            return diagnosis.saying(
                "the batch is empty: servers with --enable_batching from 2.20 on never answer such a request",
                Reason.BATCH_EMPTY,
            )
    return diagnosis


def _method(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    if call.method.startswith("/grpc.health."):
        return diagnosis.saying(
            "the server's health service is off by default",
            remedy="Start it with --enable_grpc_healthcheck_service, or ask this proxy, whose health follows the models.",
        )
    return diagnosis


def _thread_or_size(_found: "re.Match[str]", call: Call, diagnosis: Diagnosis) -> Diagnosis:
    if call.request_bytes is not None and call.request_bytes >= _LARGE:
        return diagnosis.saying(
            f"{diagnosis.sentence}; or a hop in between limits messages (this request has {call.request_bytes} bytes)"
        )
    return diagnosis


SERVER_FAULTS: Final[tuple[Row, ...]] = (
    # Models, versions, labels.
    row(
        r"Servable not found for request: (?:Latest|Specific)\((?P<model>.*?)(?:, (?P<version>\d+))?\)",
        Reason.MODEL_NOT_FOUND,
        "model {model} is not served; the same text stands for a wrong name, a version not loaded, still loading, failed "
        "and unloaded: GetModelStatus tells them apart",
        "F41 F43 F45",
        append=True,
        refine=_which_not_found,
    ),
    row(
        r"Could not find any versions of model",
        Reason.MODEL_NOT_FOUND,
        "the server has never seen a version of this model: the name is wrong, or its base path holds no numbered directory",
        "F41 F45 F46",
        "Compare the name, and see that base_path is the parent of directories named 1, 2, ... that the server can read.",
        append=True,
    ),
    row(
        r"Could not find version \d+ of model",
        Reason.VERSION_NOT_FOUND,
        "the model is known, this version of it is not",
        "F43",
    ),
    row(
        r"Unrecognized servable version label",
        Reason.VERSION_LABEL_NOT_FOUND,
        "the label is not assigned to a version of this model, or there is no such model: the text blames the label alike",
        "F44",
        append=True,
    ),
    row(
        r"Model labels does not init yet",
        Reason.VERSION_LABEL_NOT_FOUND,
        "the server has no labels yet: they are assigned once the model is loaded",
        "F44",
        append=True,
    ),
    row(
        r"Request to assign label to version (?P<version>-?\d+) of model (?P<model>.*?), which is not currently available",
        Reason.UPSTREAM_CONFIG_FAULT,
        "a label was given to version {version} of {model} before that version is loaded",
        "F44",
        "Load the version first and label it then, or set --allow_version_labels_for_unavailable_models.",
    ),
    row(
        r"did not become available: \{+name: (?P<model>.*?) version: (?P<version>\d+)\} due to error: (?P<error>.*)",
        Reason.MODEL_LOAD_FAILED,
        "model {model} version {version} does not load",
        "F47 F53 F54 F55",
        append=True,
        refine=_load_error,
    ),
    # What the server runs out of: three kinds of RESOURCE_EXHAUSTED and more.
    row(
        r"Server Threadpool Exhausted",
        Reason.UPSTREAM_THREADS_EXHAUSTED,
        "all threads of the server are busy (default 4 x CPUs, one of them listens); it refuses at once, without a queue",
        "F80",
        append=True,
    ),
    row(
        _EMPTY,
        Reason.UPSTREAM_THREADS_EXHAUSTED,
        "RESOURCE_EXHAUSTED with no text is the server's thread quota: all threads are busy (default 4 x CPUs)",
        "F80",
        append=True,
        codes=_EXHAUSTED,
        refine=_thread_or_size,
    ),
    row(
        r"(?P<way>Received|Sent) message larger than max \((?P<size>\d+) vs\.? (?P<limit>\d+)\)",
        Reason.UPSTREAM_MESSAGE_TOO_LARGE,
        "a message of {size} bytes met a limit of {limit} at the end that reports it; 4194304 is the default of gRPC clients, "
        "TF Serving itself takes 2 GiB",
        "F69",
        append=True,
    ),
    row(
        r"received \w* ?metadata size exceeds \w* ?limit \((?:\w+ length )?(?P<size>\d+) vs\.? (?P<limit>\d+)\)",
        Reason.UPSTREAM_METADATA_TOO_LARGE,
        "the call's metadata (headers: cookies, tokens, tracing) has {size} bytes, the server's limit is {limit}",
        "F120",
        append=True,
    ),
    row(
        r"OOM when allocating|std::bad_alloc|[Ff]ailed to allocate|[Uu]nable to allocate|[Oo]ut of (?:\w+ )?memory|OUT_OF_MEMORY"
        r"|ALLOC_FAILED|[Rr]an out of (?:GPU )?memory|[Ee]xceed(?:ed|s) (?:the )?memory limit|Dst tensor is not initialized",
        Reason.UPSTREAM_OUT_OF_MEMORY,
        "the server has no memory left for this request: not a thread quota and not a message limit",
        "F88 F89 F90",
        append=True,
    ),
    # Batching.
    row(
        r"Task size (?P<size>\d+) is larger than maximum input batch size (?P<limit>\d+)",
        Reason.BATCH_TOO_LARGE,
        "a batch of {size} is more than the server's max_batch_size of {limit}",
        "F81",
        "Split the batch, or raise max_batch_size in the server's batching parameters.",
    ),
    row(
        r"must have equal 0th-dimension size",
        Reason.BATCH_MISMATCH,
        "with --enable_batching every input must have the same leading dimension",
        "F82",
        append=True,
    ),
    row(
        r"input tensors must have at least one dimension",
        Reason.RANK_MISMATCH,
        "with --enable_batching no input may be a scalar",
        "F36",
        "Send [n] with n values, or serve this model without batching.",
        append=True,
    ),
    row(
        r"from different tasks have different shapes and padding is turned off",
        Reason.UPSTREAM_BATCHING,
        "this request was batched with one of other lengths: it may well succeed alone",
        "F84",
        "Pad all requests to one length in the client, or set pad_variable_length_inputs (which pads with the first element).",
        append=True,
    ),
    row(
        r"Tensor (concat|split) operation failed",
        Reason.UPSTREAM_BATCHING,
        "this request was batched with one it does not fit, such as an empty one still queued: another request may be the cause",
        "F82 F84",
        append=True,
    ),
    row(
        r"would start a fresh batch, but all batch threads are busy|batch scheduling queue .* is full",
        Reason.UPSTREAM_QUEUE_FULL,
        "the server's batch queue is full",
        "F86",
        append=True,
    ),
    # Configuration, as HandleReloadConfigRequest answers.
    row(
        r"allowed_batch_sizes",
        Reason.UPSTREAM_CONFIG_FAULT,
        "the batching parameters contradict each other: allowed_batch_sizes must increase and end with max_batch_size",
        "F87",
    ),
    row(
        r"Illegal to list model|to have an absolute path or URI|requests unsupported platform|"
        r"ModelServerConfig::model_(type|platform)|ServerModelConfig type not supported|Invalid protobuf file",
        Reason.UPSTREAM_CONFIG_FAULT,
        "the server refuses the model configuration",
        "F48",
    ),
    # Methods and time.
    row(
        _EMPTY,
        Reason.UPSTREAM_METHOD_UNKNOWN,
        "UNIMPLEMENTED with no text: the server has no such method; names are case-sensitive and carry the package",
        "F76",
        append=True,
        codes=_UNIMPLEMENTED,
        refine=_method,
    ),
    row(
        r"\A(Deadline Exceeded)?\Z",
        Reason.UPSTREAM_DEADLINE_EXCEEDED,
        "the deadline passed before the server answered",
        "F58 F71 F72 F78",
        codes=_DEADLINE,
        refine=_deadline,
    ),
)
"""The first match counts."""
