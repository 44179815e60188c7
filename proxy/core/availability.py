"""Which NOT_FOUND it is: TF Serving says the same of a wrong name, a wrong version, loading, failed, unloaded.

Law: decides from what GetModelStatus said (measured: only it tells these apart), never asks anyone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from proxy.core.explain import closest, quote
from proxy.core.policy import DEFAULT_SEVERITIES
from proxy.core.reasons import Code, Reason, Severity
from proxy.core.types import ModelKey
from proxy.core.verdict import Verdict, Violation

LOADING_STATES = frozenset({"START", "LOADING"})
AVAILABLE = "AVAILABLE"

RETRY_SECONDS = 1.0
"""What a client is told to wait for a model that is loading."""


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version in a GetModelStatus answer. `state` is the proto's name: START … AVAILABLE … END."""

    version: int
    state: str
    error_code: int = 0
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class Absence:
    """The server has no servable for `key`. `versions` is its GetModelStatus answer, empty where it said
    that it has no versions of the model. `known` are model names the proxy has seen served.
    """

    key: ModelKey
    versions: tuple[VersionStatus, ...] = ()
    known: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The server did not say whether it has a servable. `why` is a short phrase for the client, `code` the status
    code of its answer (UNAVAILABLE where there was none).

    `kept`: it answers, and keeps the metadata unknown (no such method, not allowed, not readable): to wait or to
    ask again would change nothing.
    """

    why: str
    kept: bool = False
    code: int = Code.UNAVAILABLE


def _listing(versions: Collection[VersionStatus]) -> str:
    return ", ".join(f"{status.version} {status.state}" for status in versions) or "none"


def judge_absence(
    absence: Absence, severities: Mapping[Reason, Severity] = DEFAULT_SEVERITIES
) -> Verdict | None:
    """The verdict on a request for an absent servable, or None when the answers contradict each other.

    Where the reason's severity is not `refuse`, the verdict is a warning or empty, and TF Serving answers.
    """
    verdict = _refusal(absence)
    if verdict is None:
        return None
    severity = severities[verdict.violations[0].reason]
    if severity is Severity.REFUSE:
        return verdict
    return verdict._replace(violations=(), warnings=verdict.violations if severity is Severity.WARN else ())


def _refusal(absence: Absence) -> Verdict | None:
    key, versions = absence.key, absence.versions
    if not versions:
        return _refuse(key, _unknown_model(absence))
    if key.label is not None and any(status.state == AVAILABLE for status in versions):
        return _refuse(key, _unknown_label(key, versions))
    asked = [status for status in versions if key.version is None or status.version == key.version]
    if any(status.state == AVAILABLE for status in asked):
        return None
    loading = [status for status in asked if status.state in LOADING_STATES]
    if loading:
        status = max(loading, key=lambda each: each.version)
        violation = Violation(
            Reason.MODEL_LOADING,
            "model_spec",
            f"model {quote(key.model)}",
            "a loaded version",
            f"version {status.version} still {status.state}",
            f"retry in {RETRY_SECONDS:g} s; a model that stays LOADING for minutes may be failing and retried, see the server's log",
        )
        return _refuse(key, violation, RETRY_SECONDS)
    failed = [status for status in asked if status.error_code or status.error_message]
    if failed:
        status = max(failed, key=lambda each: each.version)
        violation = Violation(
            Reason.MODEL_LOAD_FAILED,
            "model_spec",
            f"model {quote(key.model)}",
            "a loaded version",
            f"version {status.version} failed to load, the server says: {quote(status.error_message, 300)}",
            "mend the export and put it in place again",
        )
        return _refuse(key, violation)
    if key.version is not None:
        return _refuse(key, _unknown_version(key, versions))
    violation = Violation(
        Reason.MODEL_NOT_FOUND,
        "model_spec.name",
        f"model {quote(key.model)}",
        "a loaded version",
        f"all versions unloaded ({_listing(versions)})",
        "put a version directory back under the model's base path, or add the model to the server's config",
    )
    return _refuse(key, violation)


def _refuse(key: ModelKey, violation: Violation, retry_seconds: float | None = None) -> Verdict:
    # The model name stays out of Verdict.model where the server has not confirmed it.
    confirmed = key.model if violation.reason is not Reason.MODEL_NOT_FOUND else None
    return Verdict(violations=(violation,), model=confirmed, retry_seconds=retry_seconds)


def _unknown_model(absence: Absence) -> Violation:
    name = absence.key.model
    # A name that somebody configured is known, and can be as wrong as the one that was asked for: it may be the same.
    known = sorted(set(absence.known) - {name})
    suggestion = closest(name, known)
    if suggestion is not None:
        hint = f"did you mean {quote(suggestion)}?"
    elif known:
        hint = f"models seen here: {', '.join(quote(each) for each in known[:5])}"
    else:
        hint = "names are case-sensitive; compare with the server's --model_name or model config file"
    return Violation(
        Reason.MODEL_NOT_FOUND,
        "model_spec.name",
        "model",
        "a model that the server has",
        quote(name),
        hint,
    )


def _unknown_version(key: ModelKey, versions: tuple[VersionStatus, ...]) -> Violation:
    available = [str(status.version) for status in versions if status.state == AVAILABLE]
    return Violation(
        Reason.VERSION_NOT_FOUND,
        "model_spec.version",
        f"model {quote(key.model)}",
        f"version {' or '.join(available)}" if available else "an available version",
        f"version {key.version}",
        f"the server has {_listing(versions)}; leave version unset for the latest",
    )


def _unknown_label(key: ModelKey, versions: tuple[VersionStatus, ...]) -> Violation:
    empty = " (an empty label is not the same as none)" if key.label == "" else ""
    return Violation(
        Reason.VERSION_LABEL_NOT_FOUND,
        "model_spec.version_label",
        f"model {quote(key.model)}",
        "a label assigned to a loaded version",
        f"label {quote(key.label or '')}{empty}",
        f"labels are case-sensitive and assigned in the server's model config; versions: {_listing(versions)}",
    )
