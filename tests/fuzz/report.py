"""What the runs showed, by target.

Law: sums of what the runs left, and what of it is measured: coverage only where it guided.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.target import CORPUS, Target
from tests.trust.result import NOT_COMPILED, Table

_COLUMNS = (
    *("target", "what is held true", "coverage-guided", "a second", "edges", "mutated, compiled", "a second"),
    *("mutated, interpreted", "inputs kept", "findings, mended"),
)


def of_runs(
    targets: Sequence[Target], runs: Sequence[Mapping[str, Any]], folder: Path
) -> tuple[dict[str, str], Table, list[str]]:
    """Figures, the table, and what could not be done."""
    rows = []
    for target in targets:
        own = [each for each in runs if each["target"] == target.name]
        guided = [each for each in own if each["mode"] == "guided"]
        compiled = [each for each in own if each["mode"] == "mutated" and each["compiled"]]
        plain = [each for each in own if each["mode"] == "mutated" and not each["compiled"]]
        edges = [each["edges"] for each in guided if each["edges"]]
        kept = folder / "corpus" / target.name
        mended = len(list((CORPUS / target.name).glob("found-*")))
        rows.append(
            (
                target.name,
                target.about,
                *(
                    _count(guided),
                    _rate(guided),
                    f"{max(edges):,}" if edges else "",
                    _count(compiled),
                    _rate(compiled),
                ),
                *(_count(plain), f"{len(list(kept.glob('*'))):,}" if kept.exists() else "", str(mended)),
            )
        )
    total = sum(each["executions"] for each in runs)
    guided_total = sum(each["executions"] for each in runs if each["mode"] == "guided")
    dates = sorted({each["date"] for each in runs})
    figures = {
        "executions": f"{total:,}",
        "of these guided by coverage (atheris)": f"{guided_total:,}",
        "of these by mutation alone, without coverage": f"{total - guided_total:,}",
        "targets": f"{len({each['target'] for each in runs})} of {len(targets)}",
        "time of cores": f"{sum(each['seconds'] for each in runs) / 60:.0f} min",
        "runs": f"{len({each['run'] for each in runs})}, {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"
        if dates
        else "0",
        "commits they ran on": ", ".join(dict.fromkeys(each["commit"] for each in runs)),
        "findings that were mended": f"{len(list(CORPUS.glob('*/found-*')))}, each kept in tests/fuzz/corpus and replayed by make test",
    }
    skipped = []
    if not guided_total:
        skipped.append(
            "coverage guidance: atheris was not installed (make trust does so where it has a wheel)"
        )
    if not any(each["compiled"] for each in runs):
        skipped.append(NOT_COMPILED)
    return figures, Table("Executions by target:", _COLUMNS, rows), skipped


def as_text(figures: Mapping[str, str], table: Table) -> str:
    """The same for a terminal."""
    lines = [f"{name}: {figure}" for name, figure in figures.items()]
    lines.append("by target: " + ", ".join(table.columns[2:]))
    lines += [f"  {row[0]:16} {' | '.join(row[2:])}" for row in table.rows if any(row[2:-2])]
    return "\n".join(lines)


def _count(runs: Sequence[Mapping[str, Any]]) -> str:
    executions = sum(each["executions"] for each in runs)
    return f"{executions:,}" if executions else ""


def _rate(runs: Sequence[Mapping[str, Any]]) -> str:
    seconds = sum(each["seconds"] for each in runs)
    return f"{sum(each['executions'] for each in runs) / seconds:,.0f}" if seconds else ""
