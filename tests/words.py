"""Every file, or part of one, that is written by a program: `make words` writes them anew.

Read the difference before it is committed: these texts are what clients, operators and readers see.
"""

from collections.abc import Callable, Mapping
from dataclasses import Field
from itertools import groupby
from pathlib import Path
from textwrap import indent
from typing import Any

from proxy.client_code import go, grpcurl, java, node
from proxy.config import DECLARED, about
from proxy.config.settings import Reload
from proxy.core.reasons import Reason
from proxy.core.types import ModelKey
from tests.client_code.test_other_languages import DETECTOR, SERVERS, example
from tests.golden.cases import cases
from tests.golden.runbook import RUNBOOK, reasons
from tests.golden.write import DOCS, STATUSES, reasons_md, statuses_yaml
from tests.sizing import figures
from tests.supply.locks import licences_table

ROOT = Path(__file__).parent.parent
SETTINGS = ROOT / "docs" / "settings.md"
SIZING = ROOT / "docs" / "sizing.md"
LICENCES = ROOT / "docs" / "licences.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
PROMETHEUS_RULE = ROOT / "deploy" / "kubernetes" / "monitoring" / "prometheusrule.yaml"
EXAMPLES = {go: "go", java: "java", node: "js", grpcurl: "sh"}


def _filled(path: Path, **parts: str) -> str:
    """A file with the parts between its marks as they must be."""
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{part}{end}{rest.partition(end)[2]}"
    return text


def settings_tables() -> str:
    """Every setting, a table for each group."""
    parts = []
    for group, settings in groupby(DECLARED, key=lambda setting: about(setting).group):
        rows = "".join(map(_row, settings))
        parts.append(f"## {group}\n| flag | default | reload | |\n|---|---|---|---|\n{rows}")
    return "\n".join(parts)


RELOADS: Mapping[Reload, str] = {"": "", "native": "native", "always": "yes"}


def _row(setting: "Field[Any]") -> str:
    declared = about(setting)
    default = setting.default
    if isinstance(default, bool):
        shown = "on" if default else "off"
    else:
        shown = declared.shown or (f"{default:g}" if isinstance(default, float) else default or "")
    told = f"`{shown}`" if shown and not declared.multiple else ""
    return (
        f"| `--{declared.flag}` | {told} | {RELOADS[declared.reload]} | {declared.help.replace('|', '/')} |\n"
    )


def prometheus_rule() -> str:
    """The alert rules as an object of the Prometheus Operator."""
    _, groups, rules = RULES.read_text(encoding="utf-8").partition("groups:\n")
    return _PROMETHEUS_RULE + indent(groups + rules, "  ")


_PROMETHEUS_RULE = """\
# Written by `make words` from deploy/prometheus/rules.yml, where the rules are changed and tested.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tfs-proxy
spec:
"""


def _example(language, asks: str) -> Callable[[], str]:
    key = ModelKey("detector", None, "canary") if asks else DETECTOR
    return lambda: language.render(example(server=SERVERS[asks], key=key))


WORDS: Mapping[Path, Callable[[], str]] = {
    STATUSES: statuses_yaml,
    DOCS: reasons_md,
    SETTINGS: lambda: _filled(SETTINGS, settings=settings_tables()),
    SIZING: lambda: _filled(SIZING, figures=figures(PERFORMANCE.read_text(encoding="utf-8"))),
    LICENCES: lambda: _filled(LICENCES, licences=licences_table()),
    PROMETHEUS_RULE: prometheus_rule,
    RUNBOOK: lambda: _filled(RUNBOOK, reasons=reasons()),
    **{
        ROOT / "tests" / "client_code" / "golden" / f"example{asks}.{suffix}": _example(language, asks)
        for language, suffix in EXAMPLES.items()
        for asks in SERVERS
    },
}  # fmt: skip
"""File → what must be in it."""


if __name__ == "__main__":
    caseless = set(Reason) - set(cases())
    if caseless:
        raise SystemExit(f"first a case in tests/golden/cases.py for {', '.join(sorted(caseless))}")
    for path, text in [(path, write()) for path, write in WORDS.items()]:
        if text != path.read_text(encoding="utf-8"):
            print(f"wrote {path.relative_to(ROOT)}")
            path.write_text(text, encoding="utf-8")
