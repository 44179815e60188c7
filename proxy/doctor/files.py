"""What lies on disk: the server's model configuration and SavedModels, as `proxy.lint` reads them."""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf import text_format

from proxy.doctor.line import Line, Mark, well
from proxy.lint.base_path import Disk
from proxy.lint.configs import Kind
from proxy.lint.finding import Level
from proxy.lint.paths import lint

# isort: split
from tensorflow_serving.config import model_server_config_pb2

_MARKS = {Level.ERROR: Mark.FAULT, Level.WARNING: Mark.FAULT, Level.NOTE: Mark.NOTE}


def check_config(path: Path, root: Path) -> Iterator[Line]:
    """Every fault of a models.config and of what its base paths hold under `root`."""
    return _check("config", path, Kind.MODELS, Disk(root))


def check_saved_model(path: Path) -> Iterator[Line]:
    """Every fault of a SavedModel, or of a model's base path."""
    return _check("files", path, None, Disk())


def _check(topic: str, path: Path, kind: Kind | None, disk: Disk) -> Iterator[Line]:
    sound = True
    for finding in lint(path, kind, disk):
        mark = _MARKS[finding.rule.level]
        sound = sound and mark is not Mark.FAULT
        seen = f"{finding.place}: {finding.message} [{finding.rule.id}]"
        yield Line(topic, mark, seen, finding.rule.remedy, finding.rule.failures)
    if sound:
        yield well(topic, f"{path} is sound")


def names_in(path: Path) -> tuple[str, ...]:
    """The models that a models.config lists; none where it cannot be read."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), config)
    except (OSError, UnicodeDecodeError, text_format.ParseError):
        return ()  # check_config says so
    return tuple(dict.fromkeys(each.name for each in config.model_config_list.config if each.name))
