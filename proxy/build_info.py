"""
What is running: the version of the package, and whether its hot path was compiled.

Law: reads how the package was installed; imports nothing of it and decides nothing.
"""

import platform
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final, NamedTuple

_ONE_OF_THE_HOT_PATH: Final = "proxy.core.rules"
"""Compiled with all others, or not at all (`[tool.hatch.build.targets.wheel.hooks.mypyc]` in pyproject.toml)."""


class Build(NamedTuple):
    """`hot_path` is "compiled" or "interpreted"."""

    version: str
    python: str
    hot_path: str

    def __str__(self) -> str:
        return f"{self.version} ({self.hot_path}, Python {self.python})"


def build() -> Build:
    """Tell the build that runs here."""
    spec = find_spec(_ONE_OF_THE_HOT_PATH)
    compiled = spec is not None and str(spec.origin).endswith(tuple(EXTENSION_SUFFIXES))
    return Build(_version(), platform.python_version(), "compiled" if compiled else "interpreted")


def _version() -> str:
    try:
        return version("tfs-proxy")
    except PackageNotFoundError:
        # The same package without TensorFlow (deploy/wheel/slim.py).
        return version("tfs-proxy-slim")
