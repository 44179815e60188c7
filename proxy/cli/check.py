"""`tfs-proxy check`: would this request pass? Judged by the same gate as live traffic, without sending it.

Law: reads files, asks for the signature, shows the verdict as the client would see it. Modes (`observe`,
`off`) are left aside, severities are not: the question is whether the request is right.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import click

from proxy.cli.asking import UPSTREAM_SETTINGS, CannotAskError, ask
from proxy.cli.check_report import Finding, finding_form, show_finding
from proxy.cli.mended_files import NotMendedError, checked_output, mended_message, write
from proxy.cli.settings import CONTEXT, effective, takes
from proxy.cli.tables import open_console
from proxy.config import Settings
from proxy.core.policy import Mode, Policies, Policy
from proxy.core.types import ModelKey, Servable
from proxy.gate import PREDICT, Admit, Gate, Message, Refuse
from proxy.upstream.client import NoAnswerError, ServingClient
from proxy.upstream.signatures import Answer, Lookup
from proxy.wire.metadata import UnreadableMetadataError, servable_of_saved_model
from proxy.wire.request_files import Address, Format, UnreadableRequestError, message_of


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

    def judged(requests: Sequence[_File]) -> list[Finding]:
        return _by_saved_model(path, requests, settings) if path else _by_server(requests, settings)

    findings = judged(files_read)
    if out and form_of_out:
        findings = [_fixed(findings[0], files_read[0].message, out, form_of_out, judged)]
    if as_json:
        click.echo(json.dumps([finding_form(each) for each in findings], indent=2))
    else:
        console = open_console()
        for each in findings:
            show_finding(console, each)
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


def _by_saved_model(path: Path, files: Sequence[_File], settings: Settings) -> list[Finding]:
    try:
        servable = servable_of_saved_model(path, path.resolve().name)
    except UnreadableMetadataError as error:
        raise CannotAskError(str(error)) from error

    async def source(key: ModelKey) -> Lookup:
        return replace(servable, model=key.model)

    return asyncio.run(_judged(files, source, settings))


def _by_server(files: Sequence[_File], settings: Settings) -> list[Finding]:
    def question(server: ServingClient) -> Awaitable[list[Finding]]:
        return _judged(files, lambda key: server.lookup(key, tuple(settings.models)), settings)

    return ask(settings, question)


async def _judged(
    files: Sequence[_File], source: Callable[[ModelKey], Awaitable[Lookup]], settings: Settings
) -> list[Finding]:
    signatures = _Asked(source)
    gate = Gate(signatures, _policies(settings))
    findings = []
    for file in files:
        if file.problem:
            findings.append(Finding(file.name, problem=file.problem))
            continue
        decision = await gate.judge(Message(PREDICT, file.message))
        if signatures.silence is not None:
            raise signatures.silence
        if isinstance(decision, Admit) and decision.failed:
            findings.append(Finding(file.name, problem="cannot be judged; the proxy would forward it"))
        else:
            findings.append(Finding(file.name, decision))
    return findings


# === mending ===


def _fixed(
    finding: Finding,
    message: bytes,
    out: Path,
    form: Format,
    judged: Callable[[Sequence[_File]], list[Finding]],
) -> Finding:
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
