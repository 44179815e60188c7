"""docs/reliability.md, of what the parts have kept.

Law: nothing stands in it that a part has not written; a part that was not run says so.
"""

from collections.abc import Iterable, Sequence

from tests.trust.parts import PARTS, Part
from tests.trust.result import ROOT, Result, Table

DOCUMENT = ROOT / "docs" / "reliability.md"

_HEAD = """\
# What it survives

Written by `make trust`, nothing by hand: each section says what was asked, when and of which commit, and what was found. `make trust T=minutes` runs it all again; the fast part of each is in `make test`. What is not promised stands in [limits.md](limits.md), how security is thought of in [SECURITY.md](../SECURITY.md).
"""


def document(results: Sequence[Result | None]) -> str:
    """The whole report in Markdown; `results` in the order of PARTS, None for what was not run."""
    found = list(zip(PARTS, results, strict=True))
    overview = Table(
        "",
        ("part", "found", "commit", "date"),
        [
            (
                f"[{part.title}](#{_anchor(part.title)})",
                *(
                    (_verdict(each), each.circumstances["commit"], each.circumstances["date"])
                    if each
                    else ("not run", "", "")
                ),
            )
            for part, each in found
        ],
    )
    return "\n".join(
        [_HEAD, *_table(overview), *(line for part, each in found for line in _section(part, each))]
    )


def _verdict(result: Result) -> str:
    wrong = len(result.failures)
    if not wrong and not result.figures:
        return "could not be run"
    return f"{wrong} wrong" if wrong else "nothing wrong"


def _section(part: Part, result: Result | None) -> Iterable[str]:
    yield f"## {part.title}\n\n{part.about}\n"
    if result is None:
        yield "Not run.\n"
        return
    told = result.circumstances
    if result.figures:
        yield f"`{result.command}`, {_duration(result.seconds)}, {told['date']}, commit {told['commit']}, Python {told['Python']}, {told['machine']}.\n"
        yield from _table(Table("", ("what", "figure"), list(result.figures.items())))
    for table in result.tables:
        yield from _table(table)
    for picture in result.pictures:
        yield f"![{picture.caption}](pictures/{picture.file})\n\n*{picture.caption}*\n"
    yield from _listed("Wrong:", result.failures)
    yield from _listed("Not shown:", result.skipped)


def _listed(title: str, lines: Sequence[str]) -> Iterable[str]:
    if lines:
        yield "\n".join([title, "", *(f"- {line}" for line in lines)]) + "\n"


def _table(table: Table) -> Iterable[str]:
    lines = [f"{table.caption}\n"] if table.caption else []
    lines.append(_row(table.columns))
    lines.append(_row(["---"] * len(table.columns)))
    lines += [_row(row) for row in table.rows]
    yield "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _anchor(title: str) -> str:
    return "".join(each for each in title.lower().replace(" ", "-") if each.isalnum() or each == "-")
