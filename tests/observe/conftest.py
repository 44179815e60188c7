"""Problems whose clock is a test's."""

import pytest

from proxy.observe.problems import Problems
from tests.observe.mistaken import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def problems(clock) -> Problems:
    return Problems(clock=clock)
