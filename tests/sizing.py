"""The figures of docs/sizing.md, taken out of docs/performance.md.

Law: says nothing that the bench has not written; a CPU time is turned into a rate, and that is all.
"""

# ruff: noqa: RUF001  the multiplication sign stands in the titles of the bench

import re
from collections.abc import Iterator
from typing import NamedTuple

OURS = ("tfs-proxy, compiled", "tfs-proxy, native edge")
"""What is looked for: the build that is shipped, or else the interpreted one."""
OWN_CORE = ", with a core of its own"
SLOW = "Memory before a slow server"


class Figures(NamedTuple):
    """One process under one load."""

    load: str
    per_cpu_second: str
    peak_mb: str


def figures(performance: str) -> str:
    """The part of docs/sizing.md that `make words` writes."""
    ours = next((name for name in OURS if f"| {name} |" in performance), None)
    if ours is None:
        raise ValueError("docs/performance.md measures none of our builds")
    facts = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", performance, re.MULTILINE))
    rows = [
        f"| {each.load} | {each.per_cpu_second} | {each.peak_mb} |" for each in _throughput(performance, ours)
    ]
    text = (
        f"*{ours}*, one process, on {facts['processor']} ({facts['measured']}). "
        "“270 KB × 32” is 32 calls at a time with requests of that size.\n\n"
        "| load | requests per CPU second | peak MB |\n|---|---:|---:|\n" + "\n".join(rows) + "\n"
    )
    slow = _section(performance, SLOW)
    if slow is not None:
        words = " ".join(slow.partition(";")[0].split())
        text += f"\nBefore a server that is slow ({words}): {_table(slow)[ours]['peak MB']} MB at most.\n"
    return text


def _throughput(performance: str, ours: str) -> Iterator[Figures]:
    titles = re.findall(r"^### (.+)$", performance, re.MULTILINE)
    # Once the bench tells settings apart, those with a core of their own; and h2load's alone, which has many at a time.
    own = [title for title in titles if title.endswith(OWN_CORE)] or titles
    for title in own:
        load = title.removesuffix(OWN_CORE)
        row = _table(_section(performance, title, "###") or "").get(ours)
        if row is None or "client" in load:
            continue
        if "requests per CPU s" in row:
            per_second = row["requests per CPU s"]
        else:
            per_second = f"{1000 / float(row['CPU s / 1 000']):,.0f}".replace(",", " ")
        yield Figures(load, per_second, row["peak MB"])


def _section(text: str, title: str, level: str = "##") -> str | None:
    _, found, rest = text.partition(f"{level} {title}\n\n")
    return re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0] if found else None


def _table(section: str) -> dict[str, dict[str, str]]:
    """Rows by their name, columns by theirs; of columns with one name the first."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    if not lines:
        return {}
    header, _, *rows = lines
    return {row[0]: dict(reversed([*zip(header, row, strict=True)])) for row in rows}
