"""What `tfs-proxy check` says of each file, for people and for machines.

Law: shows findings and judges nothing.
"""

from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from proxy.core.explain import escape
from proxy.core.reasons import Code
from proxy.core.verdict import Verdict
from proxy.gate import Decision, Refuse
from proxy.trial import decision_form


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one file: a decision, or why there is none; with --fix, where the mended request is or why not."""

    name: str
    decision: Decision | None = None
    problem: str = ""
    mended: str = ""
    not_mended: str = ""

    @property
    def exit_code(self) -> int:
        if self.decision is None:
            return 2
        return int(isinstance(self.decision, Refuse) and not self.mended)


def show_finding(console: Console, finding: Finding) -> None:
    decision = finding.decision
    if decision is None:
        console.print(Text.assemble((finding.name, "bold"), (": " + finding.problem, "red")), soft_wrap=True)
        return
    verdict = decision.verdict or Verdict()
    if isinstance(decision, Refuse):
        console.print(Text.assemble((finding.name, "bold"), ": ", ("refused", "red")), soft_wrap=True)
        # One line whatever the width, as it stands in the client's log.
        console.print(f"  {Code(decision.status.code).name}: {decision.status.text}", soft_wrap=True)
    else:
        by = f" by {verdict.model} version {verdict.version}, signature {verdict.signature}"
        console.print(Text.assemble((finding.name, "bold"), ": ", ("accepted", "green"), by), soft_wrap=True)
    for kind, violations in (("", verdict.violations), ("warning: ", verdict.warnings)):
        for each in violations:
            console.print(
                Text(f"  - {kind}{each.reason} at {each.field or 'message'}", "yellow" if kind else "")
            )
            for label, text in (("expected", each.expected), ("got", each.got), ("hint", each.hint)):
                if text:
                    console.print(f"      {label:<9} {escape(text, 1000)}")
    if finding.mended:
        console.print(
            Text.assemble((finding.mended, "bold"), ": ", ("mended", "green"), ", would be forwarded"),
            soft_wrap=True,
        )
    if finding.not_mended:
        console.print(f"  not mended: {escape(finding.not_mended, 1000)}", soft_wrap=True)


def finding_form(finding: Finding) -> dict[str, Any]:
    if finding.decision is None:
        return {"file": finding.name, "verdict": "unreadable", "problem": finding.problem}
    return {
        "file": finding.name,
        **decision_form(finding.decision),
        **({"mended": finding.mended} if finding.mended else {}),
        **({"not_mended": finding.not_mended} if finding.not_mended else {}),
    }
