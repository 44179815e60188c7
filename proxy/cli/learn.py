"""`tfs-proxy learn`: recorded requests → a policy to review.

Law: reads captures and prints; what is proposed is proxy/capture/learning.py's business.
"""

from itertools import chain
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track

from proxy.capture.learning import Learner
from proxy.cli.asking import CannotAskError
from proxy.gate import PREDICT
from proxy.replay.records import UnreadableCaptureError, recorded_requests
from proxy.wire.fields import MalformedRequestError, TooComplexError
from proxy.wire.values import require_numpy

_HEAD = """\
# Proposed by tfs-proxy learn from {requests} recorded Predict requests; review it before you use it:
#   tfs-proxy serve --config THIS_FILE
"""

_EPILOG = """\
FILE is a capture (`tfs-proxy capture`, `serve --capture`) or any warm-up file. Requests that Predict does not
make are passed over. The proposal has no effect until it is given to `serve --config`, and then warns only.

\b
Exit code: 0 proposed, 2 a file cannot be read, or there is nothing to learn from.

\b
Examples:
  tfs-proxy learn warmup
  tfs-proxy learn captures/*.tfrecord --out policy.yaml
"""


@click.command("learn", context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write there instead of printing; must not exist yet.",
)
def learn(files: tuple[Path, ...], out: Path | None) -> None:
    """Propose a policy from recorded requests, for a person to review.

    Tells per model the largest batch and per input the range of its values and what its strings are (images,
    serialised tf.Examples, base64), as YAML for --config.
    """
    if out is not None and out.exists():
        raise click.UsageError(f"{out} exists: move it away, or name another file")
    try:
        require_numpy()
    except ModuleNotFoundError as error:
        raise CannotAskError("learning needs numpy: pip install numpy") from error
    learner = Learner()
    console = Console(stderr=True)
    recorded = chain.from_iterable(map(recorded_requests, files))
    try:
        for each in track(
            recorded, "looking", console=console, transient=True, disable=not console.is_terminal
        ):
            if each.method == PREDICT:
                learner.add(each.request)
    except (UnreadableCaptureError, MalformedRequestError, TooComplexError) as error:
        raise CannotAskError(str(error)) from error
    if not len(learner):
        raise CannotAskError(f"no Predict requests in {', '.join(map(str, files))}")
    text = _HEAD.format(requests=len(learner)) + learner.proposal()
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CannotAskError(f"cannot write {out}: {(error.strerror or str(error)).lower()}") from error
