"""Clients of other makes, built or installed once and kept in pytest's cache."""

import pytest

from tests.clients.programs import PROGRAMS, Program, here
from tests.conftest import Kept


@pytest.fixture(scope="session", params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest, kept: Kept) -> Program:
    """Each client that can be had here."""
    _, missing = here([request.param], kept)
    for why in missing.values():
        pytest.skip(why)
    return request.param
