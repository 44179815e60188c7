"""Every file, or part of one, that is written by a program: `make words` writes them anew.

Read the difference before it is committed: these texts are what clients, operators and readers see.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from proxy.client_code import go, grpcurl, java, node
from proxy.config import DECLARED, about
from proxy.core.reasons import Reason, Severity
from proxy.core.types import ModelKey
from tests.client_code.test_other_languages import DETECTOR, example
from tests.golden.cases import cases
from tests.golden.runbook import RUNBOOK, reasons
from tests.golden.write import DOCS, FAMILIES, STATUSES, reasons_md, statuses_yaml

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
EXAMPLES = {go: "go", java: "java", node: "js", grpcurl: "sh"}


def readme() -> str:
    """README with the parts between its marks as they must be."""
    return _filled(README, settings=_settings(), reasons=_reasons())


def runbook() -> str:
    """docs/runbook.md with its reasons as they must be; the alerts are written by hand."""
    return _filled(RUNBOOK, reasons=reasons())


def _filled(path: Path, **parts: str) -> str:
    text = path.read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{part}{end}{rest.partition(end)[2]}"
    return text


def _settings() -> str:
    rows = ["| flag | default | |", "|---|---|---|"]
    for setting in DECLARED:
        declared = about(setting)
        default = setting.default
        if isinstance(default, bool):
            shown = "on" if default else "off"
        else:
            shown = declared.shown or (f"{default:g}" if isinstance(default, float) else default or "")
        told = f"`{shown}`" if shown and not declared.multiple else ""
        rows.append(f"| `--{declared.flag}` | {told} | {declared.help.replace('|', '/')} |")
    return "\n".join(rows) + "\n"


def _reasons() -> str:
    """The reasons of refusals by family."""
    families = []
    for family in FAMILIES:
        reasons = [reason for reason in Reason if reason.about.family == family]
        names = " ".join(f"`{reason}`" for reason in reasons)
        off = all(reason.about.severity is Severity.OFF for reason in reasons)
        families.append(f"{names} (off unless a policy asks)" if off else names)
    return " · ".join(families[: list(FAMILIES).index("upstream")]) + "\n"


def _example(language, *, tls: bool) -> Callable[[], str]:
    key = ModelKey("detector", None, "canary") if tls else DETECTOR
    return lambda: language.render(example(tls=tls, key=key))


WORDS: Mapping[Path, Callable[[], str]] = {
    STATUSES: statuses_yaml,
    DOCS: reasons_md,
    README: readme,
    RUNBOOK: runbook,
    **{
        ROOT / "tests" / "client_code" / "golden" / f"example{'-tls' if tls else ''}.{suffix}": _example(language, tls=tls)
        for language, suffix in EXAMPLES.items()
        for tls in (False, True)
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
