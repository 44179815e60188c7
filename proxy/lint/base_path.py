"""A model's base path: the directory whose numbered children are its versions.

Law: a name is a version where TF Serving reads it as a number (`file_system_storage_path_source.cc`);
whatever else lies there is ignored by the server in silence, so it is told only where it looks like a version.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from proxy.core.explain import quote
from proxy.lint.finding import Finding, finding

GRAPH_FILES: Final = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb", "model.tflite")
"""Any of them makes a directory a model that the server may load."""

_VERSION = re.compile(r"[+-]?\d+", re.ASCII)
_LIKE_A_VERSION = re.compile(r"(v|ver|version)?[-_.]?\d+([-_.]\d+)*", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Disk:
    """Where the server's file system is seen from here. `root` stands for its `/`; `look` False: not at all."""

    root: Path = Path("/")
    look: bool = True

    def look_up(self, path: str) -> Path | None:
        """The place of an absolute path of the server's, or None when the disk is left alone."""
        return self.root / path.lstrip("/") if self.look else None


def versions_of(base_path: Path) -> dict[int, Path]:
    """The version directories under a base path; empty when it is not there."""
    if not base_path.is_dir():
        return {}
    return {
        int(child.name): child
        for child in sorted(base_path.iterdir())
        if _VERSION.fullmatch(child.name) and child.is_dir()
    }


def is_model(directory: Path) -> bool:
    """Whether a graph lies directly in this directory."""
    return any((directory / name).is_file() for name in GRAPH_FILES)


def check_base_path(base_path: Path) -> Iterator[Finding]:
    """What keeps the server from finding the versions under `base_path`."""
    if not base_path.is_dir():
        yield finding("base-path-not-found", base_path, "there is no such directory")
        return
    if base_path.name == "variables" and is_model(base_path.parent):
        yield finding("base-path-is-version", base_path, "this is the variables directory inside a version")
        return
    if is_model(base_path):
        what = "a version" if _VERSION.fullmatch(base_path.name) else "an export without a version directory"
        rule = "base-path-is-version" if _VERSION.fullmatch(base_path.name) else "base-path-no-version"
        yield finding(rule, base_path, f"this is {what}, not the directory that holds versions")
        return
    numbers: dict[int, str] = {}
    strays: list[str] = []
    for child in sorted(each for each in base_path.iterdir() if each.is_dir()):
        if not _VERSION.fullmatch(child.name):
            if _LIKE_A_VERSION.fullmatch(child.name) or is_model(child):
                strays.append(child.name)
        elif int(child.name) in numbers:
            yield finding(
                "version-duplicate",
                child,
                f"{quote(child.name)} and {quote(numbers[int(child.name)])} are the same version: one is ignored",
            )
        else:
            numbers[int(child.name)] = child.name
    for name in strays:
        yield finding(
            "version-not-numeric", base_path / name, f"directory {quote(name)} is not named by a number"
        )
    if not numbers:
        hint = f"; it has {', '.join(quote(name) for name in strays[:3])}" if strays else ""
        yield finding("base-path-no-version", base_path, f"no directory here is named by a number{hint}")
