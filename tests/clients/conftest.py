"""Clients of other makes, built or installed once and kept in pytest's cache."""

import pytest

from tests.clients.programs import PROGRAMS, MissingError, Program
from tests.conftest import Kept


@pytest.fixture(scope="session", params=PROGRAMS, ids=lambda program: program.name)
def program(request: pytest.FixtureRequest, kept: Kept) -> Program:
    """Each client that can be had here."""
    try:
        request.param.make(kept)
        request.param.environment(kept)
    except MissingError as missing:
        pytest.skip(str(missing))
    return request.param
