"""What a path given to lint is: a configuration file, a SavedModel, a model's base path, or a tree of them."""

from collections.abc import Iterator
from pathlib import Path

from proxy.lint.base_path import Disk, check_base_path, is_model, versions_of
from proxy.lint.configs import Kind, check_config
from proxy.lint.finding import Finding, finding
from proxy.lint.saved_model import check_saved_model
from proxy.lint.warmup import check_warmup

_PARTS_OF_A_MODEL = ("variables", "assets", "assets.extra")


def lint(path: Path, kind: Kind | None = None, disk: Disk | None = None) -> Iterator[Finding]:
    """Every fault of what lies at `path`, the models that a models.config lists included.

    Raises UnknownKindError where a file's kind is not given and cannot be told.
    """
    try:
        if path.is_dir():
            yield from _directory(path)
        elif path.name == "saved_model.pb":
            yield from check_saved_model(path.parent)
        elif path.name == "tf_serving_warmup_requests":
            yield from check_warmup(path, path.parent.parent)
        else:
            yield from check_config(path, kind, disk or Disk())
    except OSError as error:
        yield finding("unreadable", Path(error.filename or path), f"cannot be read: {error.strerror}")


def _directory(path: Path) -> Iterator[Finding]:
    if is_model(path) or any((path / part).is_dir() for part in _PARTS_OF_A_MODEL):
        yield from check_saved_model(path)
        return
    children = sorted(child for child in path.iterdir() if child.is_dir())
    if versions_of(path) or not any(versions_of(child) for child in children):
        yield from _base_path(path)
        return
    for child in children:
        yield from _base_path(child)


def _base_path(path: Path) -> Iterator[Finding]:
    yield from check_base_path(path)
    for version in versions_of(path).values():
        yield from check_saved_model(version)
