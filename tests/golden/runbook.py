"""The part of docs/runbook.md that is about reasons, by their table and by the alert rules; `make words` writes it."""

import re
from pathlib import Path
from typing import Any

import yaml

from proxy.core.reasons import About, Reason, Severity
from tests.golden.write import FAMILIES

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "runbook.md"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"

NAMED = re.compile(r'reason=~?"([A-Z_|]+)"')
EXCLUDED = re.compile(r'reason!~"([A-Z_|]+)"')
BY_OTHER_METRICS = {
    Reason.UPSTREAM_UNREACHABLE: "TfsProxyUpstreamDown",
    Reason.UPSTREAM_NAME_UNRESOLVED: "TfsProxyUpstreamDown",
    Reason.UPSTREAM_NOT_GRPC: "TfsProxyUpstreamDown",
    Reason.UPSTREAM_TLS_MISMATCH: "TfsProxyUpstreamDown",
    Reason.UPSTREAM_RESET: "TfsProxyUpstreamDied",
    Reason.MODEL_LOADING: "TfsProxyModelNotAvailable",
    Reason.MODEL_LOAD_FAILED: "TfsProxyModelLoadFailed",
}
"""Alerts that see what a reason is about without asking for the reason."""


def reasons() -> str:
    """A section for each reason, by family."""
    rules = [
        rule
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
    return "\n" + "\n".join(
        _section(reason, rules) for family in FAMILIES for reason in Reason if reason.about.family == family
    )


def _section(reason: Reason, rules: list[dict[str, Any]]) -> str:
    about = reason.about
    alerts = " ".join(f"[{name}](#{name.lower()})" for name in _alerts(reason, rules)) or "none of its own"
    return (
        f"## {reason}\n\n"
        f"**Means:** {about.meaning} Clients get `{about.code.name}`; an example stands in "
        f"[reasons.md](reasons.md#{reason.lower()}). Alerts: {alerts}.\n\n"
        f"**Look:** {_look(reason, about)}\n\n"
        f"**Do:** {about.remedy}\n\n"
        f"**Silence:** {_silence(reason, about)}\n"
    )


def _look(reason: Reason, about: About) -> str:
    if about.family == "upstream":
        return (
            f'`sum by (namespace, job, model) (rate(tfs_proxy_upstream_errors_total{{reason="{reason}"}}[5m]))`, '
            "and the log event `upstream_error`."
        )
    if about.severity is Severity.WARN:
        metric, where = "warnings", "the log event `request_warned`"
    else:
        metric, where = "violations", "`/api/refusals` for who sends it and what"
    return f'`sum by (namespace, job, model) (rate(tfs_proxy_{metric}_total{{reason="{reason}"}}[5m]))`, and {where}.'


def _silence(reason: Reason, about: About) -> str:
    if about.family == "upstream":
        return "the answer is the server's; `--no-diagnosis` leaves it unexplained."
    if about.family == "access":
        return "it holds in every mode: who may call is no matter of severity."
    if about.family == "admission":
        return "it holds in every mode; where the limit is a setting, raise it."
    if about.severity is Severity.OFF:
        return f"it is off unless a policy asks for it; leave `{reason}` out of `severities`."
    if about.severity is Severity.WARN:
        return f"`--severity {reason}=off`, for one model in `severities`."
    return (
        f"`--severity {reason}=warn` forwards such requests and counts them, for one model in `severities`."
    )


def _alerts(reason: Reason, rules: list[dict[str, Any]]) -> list[str]:
    named = [
        rule["alert"]
        for rule in rules
        if "alert" in rule and reason in "|".join(NAMED.findall(rule["expr"])).split("|")
    ]
    if reason in BY_OTHER_METRICS:
        named.append(BY_OTHER_METRICS[reason])
    left_out = "|".join(found for rule in rules for found in EXCLUDED.findall(rule["expr"])).split("|")
    refused = reason.about.family != "upstream" and reason.about.severity is Severity.REFUSE
    if refused and reason not in left_out:
        named.insert(0, "TfsProxyRefusalsHigh")
    return named
