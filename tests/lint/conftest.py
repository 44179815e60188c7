"""Version directories for every lint test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lint.exports import good_saved_model, write_version

Spoil = Callable[..., Path]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A good version directory, `m/1`."""
    return write_version(tmp_path / "m" / "1")


@pytest.fixture
def spoilt(tmp_path: Path) -> Spoil:
    """Write a version whose meta graph a function has changed first; returns the directory."""

    def write(change):
        saved_model = good_saved_model()
        change(saved_model.meta_graphs[0])
        return write_version(tmp_path / "m" / "1", saved_model)

    return write
