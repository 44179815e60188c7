"""`tfs-proxy check FILE --fix OUT`: the request in FILE, mended, in a file of its own.

Law: writes only a request that was judged again and is right, whole or not at all, and never over FILE. Where the
client has to choose, nothing is chosen: it is told why.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import click
from google.protobuf import json_format, text_format

from proxy.core.mending.remedies import Certainty, plan_of
from proxy.core.verdict import Verdict
from proxy.wire.mended import CannotApplyError, mended
from proxy.wire.protos import predict_pb2
from proxy.wire.request_files import SUFFIXES, Format


class NotMendedError(ValueError):
    """Nothing was written; the text says why, to follow "not mended: "."""


def checked_output(out: Path, files: Sequence[IO[bytes]]) -> Format:
    """The form in which `out` is to be written. Raises click.UsageError, before anything is asked or read."""
    if len(files) != 1:
        raise click.UsageError("--fix mends one FILE at a time")
    form = SUFFIXES.get(out.suffix.lower())
    if form is None or form is Format.NPZ:
        raise click.UsageError(f"--fix {out}: name it .pb, .pbtxt or .json, which says how it is written")
    source = Path(files[0].name)
    if out.exists() and source.exists() and out.samefile(source):
        raise click.UsageError("--fix would write over FILE: name another file")
    if out.exists() and not out.is_file():
        raise click.UsageError(f"--fix {out}: that is no file but a pipe, a device or the like")
    if not out.absolute().parent.is_dir():
        raise click.UsageError(f"--fix {out}: there is no directory {out.absolute().parent}")
    return form


def mended_message(message: bytes, verdict: Verdict) -> bytes:
    """`message` after the steps that `verdict` knows to be the mending. Raises NotMendedError."""
    plan = plan_of(each.mending for each in verdict.violations)
    if plan.certainty is Certainty.ONE_OF:
        raise NotMendedError("what was meant is not certain: the hints name what may be done")
    if plan.certainty is Certainty.NONE:
        raise NotMendedError("nothing in the request tells what was meant")
    request = predict_pb2.PredictRequest.FromString(message)
    try:
        return bytes(mended(request, [step.form() for step in plan.steps]).SerializeToString())
    except CannotApplyError as error:
        raise NotMendedError(str(error)) from error


def write(out: Path, form: Format, message: bytes) -> None:
    """`message` in `form`, whole or not at all. Raises NotMendedError where the disk does not take it."""
    request = predict_pb2.PredictRequest.FromString(message)
    data = {
        Format.BINARY: lambda: message,
        Format.TEXT: lambda: text_format.MessageToString(request).encode(),
        Format.JSON: lambda: json_format.MessageToJson(request).encode() + b"\n",
    }[form]()
    # Where a link points, as `open` would have it; the link stays.
    place = Path(os.path.realpath(out))
    try:
        handle, name = tempfile.mkstemp(prefix=".tfs-proxy.", dir=place.parent)
    except OSError as error:
        raise NotMendedError(f"{out} cannot be written: {(error.strerror or str(error)).lower()}") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # As `open` would have made it; mkstemp makes files for their owner alone.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(place)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise NotMendedError(f"{out} cannot be written: {(error.strerror or str(error)).lower()}") from error
