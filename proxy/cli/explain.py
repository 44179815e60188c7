"""`tfs-proxy explain`: what a reason or a failure's number means, and what to do.

Law: shows docs/reasons.md and docs/failures.md, which travel with the package; nothing is said here that does not
stand there or in the vocabulary itself.
"""

import re
from typing import NamedTuple

import click

from proxy.cli.tables import open_console, say, show_table
from proxy.core.explain import closest, quote
from proxy.core.reasons import REASONS, Reason
from proxy.documents import document, section
from proxy.lint.finding import RULES

_EPILOG = """\
\b
Exit code: 0 explained, 2 there is no such reason or failure.

\b
Examples:
  tfs-proxy explain                  every reason and every failure, a line each
  tfs-proxy explain SHAPE_MISMATCH
  tfs-proxy explain F34
"""

_FAILURE = re.compile(r"^\| (F\d+) \| ([^|]+) \| ([^|]+) \|", re.MULTILINE)
_FENCE = "```"
_FAILURES_OF = "- Failures it answers:"


class Failure(NamedTuple):
    """A row of docs/failures.md: what users meet, and what the proxy says then."""

    met: str
    told: str


@click.command("explain", context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.argument("topic", required=False, metavar="[REASON|F-NUMBER]")
def explain(topic: str | None) -> None:
    """Say what a reason or the number of a failure means, and what to do.

    Reasons stand in statuses, logs and metrics (such as RANK_MISMATCH), numbers of failures (such as F34) in
    the output of doctor and lint. Without either: list them all.
    """
    if topic is None:
        _list_all()
        return
    name = re.sub(r"[\s-]", "_", topic.strip().upper())
    number = re.fullmatch(r"F0*(\d+)", name)
    failure = f"F{int(number[1]):02}" if number else ""
    if failure in failures():
        _explain_failure(failure)
    elif name in Reason.__members__:
        _explain_reason(Reason(name))
    else:
        near = closest(name, [*Reason, *failures()])
        hint = f"did you mean {near}? " if near else ""
        raise click.UsageError(
            f"{quote(topic)} is neither a reason nor the number of a failure; {hint}"
            "`tfs-proxy explain` lists them all"
        )


def failures() -> dict[str, Failure]:
    """Every catalogued failure by its number."""
    rows = _FAILURE.findall(document("failures.md"))
    return {number: Failure(*(_plain(text) for text in texts)) for number, *texts in rows}


def _list_all() -> None:
    console = open_console()
    show_table(console, ("reason", "meaning"), [(each, about.meaning) for each, about in REASONS.items()])
    rows = [(number, failure.met) for number, failure in failures().items()]
    show_table(console, ("failure", "what users meet"), rows)


def _explain_reason(reason: Reason) -> None:
    console = open_console()
    say(console, reason, "bold")
    for line in section("reasons.md", f"### {reason}").splitlines():
        if line.startswith(_FAILURES_OF):
            say(console, _FAILURES_OF)
            for number in reason.about.failures:
                say(console, f"    {number}: {failures()[number].met}")
        elif not line.startswith(_FENCE):
            say(console, _plain(line))


def _explain_failure(number: str) -> None:
    console = open_console()
    failure = failures()[number]
    say(console, f"{number}: {failure.met}", "bold")
    say(console, f"tfs-proxy says: {failure.told}")
    for name, reason in Reason.__members__.items():
        if re.search(rf"\b{name}\b", failure.told):
            say(console, f"\n{name}: {reason.about.meaning} {reason.about.remedy}")
    for name, rule in RULES.items():
        if re.search(rf"\blint {name}(?![\w-])", failure.told):
            say(console, f"\nlint {name}: {rule.remedy}")


def _plain(markdown: str) -> str:
    """A line or cell of our documents as a terminal shows it."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown.replace("`", "")).strip()
