import logging

import pytest
import structlog

from proxy.observe.levels import level, set_level


@pytest.fixture
def restored_level():
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)


@pytest.mark.parametrize(("before", "after"), [("info", "debug"), ("debug", "error"), ("error", "warning")])
def test_a_change_of_the_level_is_said_whichever_is_the_quieter(restored_level, before, after):
    logging.getLogger().setLevel(before.upper())
    with structlog.testing.capture_logs() as lines:
        set_level(after)
    assert level() == after
    assert [(line["event"], line["before"], line["after"]) for line in lines] == [
        ("log_level_changed", before, after)
    ]


def test_the_level_that_holds_already_is_no_change(restored_level):
    with structlog.testing.capture_logs() as lines:
        set_level(level())
    assert lines == []
