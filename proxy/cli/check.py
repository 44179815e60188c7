"""`tfs-proxy check`: would this request pass? Judged by the same gate as live traffic, without sending it.

Law: reads files, asks for the signature, shows the verdict as the client would see it. Modes (`observe`,
`off`) are left aside, severities are not: the question is whether the request is right.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.text import Text

from proxy.cli.asking import UPSTREAM_SETTINGS, CannotAskError, ask
from proxy.cli.mended_files import NotMendedError, checked_output, mended_message, write
from proxy.cli.request_files import Address, Format, UnreadableRequestError, message_of
from proxy.cli.settings import CONTEXT, effective, takes
from proxy.cli.tables import open_console
from proxy.config import Settings
from proxy.core.explain import escape
from proxy.core.mending.remedies import plan_of
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.reasons import Code
from proxy.core.types import ModelKey, Servable
from proxy.core.verdict import Verdict, Violation
from proxy.gate import PREDICT, Admit, Decision, Gate, Refuse
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.signatures import Answer, Lookup
from proxy.wire.metadata import UnreadableMetadataError, servable_of_saved_model
from proxy.wire.status import sentence_of


@dataclass(frozen=True, slots=True)
class _Finding:
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


class _Asked:
    """Servables for the gate, asked for per request; `silence` says why one could not be had."""

    def __init__(self, source: Callable[[ModelKey], Awaitable[Lookup]]) -> None:
        self._source = source
        self.silence: NoAnswerError | None = None

    def peek(self, _key: ModelKey) -> Servable | None:
        return None

    async def lookup(self, key: ModelKey, _timeout: float | None, _client: Hashable) -> Answer:
        # A command waits longer than traffic may; the source has its own patience.
        try:
            return await self._source(key)
        except NoAnswerError as error:
            self.silence = error
            return error.unanswered

    async def recheck(
        self, _key: ModelKey, seen: Lookup, _timeout: float | None, _arrived: float, _client: Hashable
    ) -> Answer:
        return seen


_EPILOG = """\
\b
Exit code: 0 every request would be forwarded (with --fix: or was mended),
1 one would be refused, 2 a file could not be read or the server not be asked.

\b
Examples:
  tfs-proxy check request.pb
  tfs-proxy check request.json --upstream tfs.example:8500
  tfs-proxy check batch.npz --model detector --path /models/detector
  my-client --dump | tfs-proxy check - --json
  tfs-proxy check request.pb --fix mended.pb
"""


@click.command("check", context_settings=CONTEXT, epilog=_EPILOG)
@click.argument("files", nargs=-1, required=True, type=click.File("rb", lazy=True), metavar="FILE...")
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    metavar="SAVED_MODEL",
    allow_from_autoenv=False,
    help="Judge by a SavedModel directory (or a model's base path: its newest version) instead of a server. "
    "It stands for whatever model and version the request names.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([each.value for each in Format]),
    allow_from_autoenv=False,
    help="What FILE holds, where neither its name nor its content tells.",
)
@click.option(
    "--model",
    "npz_model",
    metavar="NAME",
    default="",
    allow_from_autoenv=False,
    help="For .npz: the model that the arrays are for.",
)
@click.option(
    "--signature", metavar="NAME", default="", allow_from_autoenv=False, help="For .npz: its signature."
)
@click.option(
    "--version",
    type=click.IntRange(min=0),
    metavar="N",
    allow_from_autoenv=False,
    help="For .npz: its version.",
)
@takes(*UPSTREAM_SETTINGS, "severities", "max_batch")
@click.option(
    "--fix",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    allow_from_autoenv=False,
    help="Write the mended request to OUT (.pb, .pbtxt or .json), where there is only one way to mend it that "
    "keeps its values; else say why not. FILE is left as it is.",
)
@click.option(
    "--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print JSON, one object per FILE."
)
def check(
    files: Sequence[IO[bytes]],
    path: Path | None,
    form: str | None,
    npz_model: str,
    signature: str,
    version: int | None,
    out: Path | None,
    as_json: bool,
    **_: object,
) -> None:
    """Judge PredictRequests from files as the proxy would, without sending them.

    FILE is a serialised PredictRequest (.pb), its text (.pbtxt) or JSON form (.json, proto3 mapping), or
    numpy arrays by input alias (.npz, with --model). Other names are recognised by content; - is stdin.
    """
    reading = _Reading(
        Format(form) if form else None,
        Address(npz_model, signature, version),
        path.resolve().name if path else "",
    )
    form_of_out = checked_output(out, files) if out else None
    files_read = [reading.of(file) for file in files]
    settings = effective().settings

    def judged(requests: Sequence[_File]) -> list[_Finding]:
        return _by_saved_model(path, requests, settings) if path else _by_server(requests, settings)

    findings = judged(files_read)
    if out and form_of_out:
        findings = [_fixed(findings[0], files_read[0].message, out, form_of_out, judged)]
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in findings], indent=2))
    else:
        console = open_console()
        for each in findings:
            _show(console, each)
    click.get_current_context().exit(max(each.exit_code for each in findings))


# === files ===


@dataclass(frozen=True, slots=True)
class _File:
    """A file's name and the message in it, or what is wrong with the file."""

    name: str
    message: bytes = b""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the command line says that files are to be read."""

    form: Format | None
    address: Address
    default_model: str

    def of(self, file: IO[bytes]) -> _File:
        name = "<stdin>" if file.name == "-" else str(file.name)
        try:
            message = message_of(name, file.read(), self.form, self.address, self.default_model)
        except (UnreadableRequestError, click.FileError) as error:
            return _File(name, problem=str(error))
        except OSError as error:
            return _File(name, problem=f"cannot be read: {(error.strerror or str(error)).lower()}")
        return _File(name, message)


# === judgement ===


def _policies(settings: Settings) -> Policies:
    def enforced(policy: Policy) -> Policy:
        return replace(policy, mode=Mode.ENFORCE)

    policies = settings.policies
    own = {model: enforced(policy) for model, policy in policies.models.items()}
    return Policies(enforced(policies.default), own)


def _by_saved_model(path: Path, files: Sequence[_File], settings: Settings) -> list[_Finding]:
    try:
        servable = servable_of_saved_model(path, path.resolve().name)
    except UnreadableMetadataError as error:
        raise CannotAskError(str(error)) from error

    async def source(key: ModelKey) -> Lookup:
        return replace(servable, model=key.model)

    return asyncio.run(_judged(files, source, settings))


def _by_server(files: Sequence[_File], settings: Settings) -> list[_Finding]:
    def question(server: ServingClient) -> Awaitable[list[_Finding]]:
        return _judged(files, lambda key: server.lookup(key, tuple(settings.models)), settings)

    return ask(settings, question)


async def _judged(
    files: Sequence[_File], source: Callable[[ModelKey], Awaitable[Lookup]], settings: Settings
) -> list[_Finding]:
    signatures = _Asked(source)
    gate = Gate(signatures, _policies(settings))
    findings = []
    for file in files:
        if file.problem:
            findings.append(_Finding(file.name, problem=file.problem))
            continue
        decision = await gate.judge(PREDICT, file.message)
        if signatures.silence is not None:
            raise signatures.silence
        if isinstance(decision, Admit) and decision.failed:
            findings.append(_Finding(file.name, problem="cannot be judged; the proxy would forward it"))
        else:
            findings.append(_Finding(file.name, decision))
    return findings


# === mending ===


def _fixed(
    finding: _Finding,
    message: bytes,
    out: Path,
    form: Format,
    judged: Callable[[Sequence[_File]], list[_Finding]],
) -> _Finding:
    decision = finding.decision
    if decision is None:
        return finding
    if not isinstance(decision, Refuse) or decision.verdict is None:
        return replace(finding, not_mended=f"there is nothing to mend; {out} was not written")
    try:
        result = mended_message(message, decision.verdict)
        (again,) = judged([_File(str(out), result)])
        if not again.exit_code:
            write(out, form, result)
    except NotMendedError as error:
        return replace(finding, not_mended=str(error))
    if again.exit_code:
        return replace(finding, not_mended="with every hint obeyed it would still be refused")
    return replace(finding, mended=str(out))


# === what is shown ===


def _show(console: Console, finding: _Finding) -> None:
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


def _as_json(finding: _Finding) -> dict[str, Any]:
    decision = finding.decision
    if decision is None:
        return {"file": finding.name, "verdict": "unreadable", "problem": finding.problem}
    verdict = decision.verdict or Verdict()
    return {
        "file": finding.name,
        "verdict": "refuse" if isinstance(decision, Refuse) else "forward",
        "code": Code(decision.status.code).name if isinstance(decision, Refuse) else "OK",
        "text": decision.status.text if isinstance(decision, Refuse) else "",
        "model": verdict.model,
        "version": verdict.version,
        "signature": verdict.signature,
        "violations": [_violation_as_json(each) for each in verdict.violations],
        "warnings": [_violation_as_json(each) for each in verdict.warnings],
        "mending": _mending_as_json(verdict),
        **({"mended": finding.mended} if finding.mended else {}),
        **({"not_mended": finding.not_mended} if finding.not_mended else {}),
    }


def _mending_as_json(verdict: Verdict) -> dict[str, Any]:
    plan = plan_of(each.mending for each in verdict.violations)
    return {"certainty": plan.certainty.value, "steps": [step.form() for step in plan.steps]}


def _violation_as_json(violation: Violation) -> dict[str, Any]:
    return {
        "reason": violation.reason.value,
        "field": violation.field,
        "expected": violation.expected,
        "got": violation.got,
        "hint": violation.hint,
        "text": sentence_of(violation),
        "certainty": violation.mending.certainty.value,
        "remedies": [[step.form() for step in each.steps] for each in violation.mending.remedies],
    }
