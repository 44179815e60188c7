"""Lines of the log through pipes that are read, not read, and read no more."""

import json
import logging
import os
import threading

import pytest
import structlog

from proxy.observe.log import configure
from proxy.observe.log_handler import MOST_WAITING, Unhurried


@pytest.fixture
def pipe():
    """Both ends of a pipe as files; log and logging are as before afterwards."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    reading, writing = os.pipe()
    with os.fdopen(reading) as out, os.fdopen(writing, "w") as into:
        yield out, into
        for each in root.handlers:
            each.flush()
    root.handlers[:] = before
    root.setLevel(level)


def flood(lines: int, size: int = 1000) -> None:
    log = structlog.get_logger("tfs-proxy")
    for number in range(lines):
        log.info("line", number=number, text="x" * size)


def test_lines_come_in_their_order_whole_and_at_the_end_of_the_process_all_of_them(pipe):
    out, into = pipe
    configure("json", stream=into)
    flood(40)
    for each in logging.getLogger().handlers:
        each.flush()
    os.set_blocking(out.fileno(), False)
    assert [json.loads(line)["number"] for line in out.read().splitlines()] == list(range(40))


def test_who_logs_never_waits_for_a_reader_and_what_was_lost_is_told_when_there_is_one(pipe):
    out, into = pipe
    configure("json", stream=into)
    many = 2 * MOST_WAITING // 1000
    flooding = threading.Thread(target=flood, args=(many,), daemon=True)
    flooding.start()
    flooding.join(20)
    assert not flooding.is_alive()
    (handler,) = logging.getLogger().handlers
    assert handler._held <= MOST_WAITING
    lines, lost = 0, None
    while lost is None:
        line = json.loads(out.readline())
        lines += line["event"] == "line"
        lost = line.get("lines")
        if lost is not None:
            assert (line["event"], line["level"]) == ("log_lines_lost", "warning")
    assert lines + lost == many
    assert lines > 500


def test_a_reader_that_has_gone_is_missed_by_nobody(pipe):
    out, into = pipe
    configure("json", stream=into)
    out.close()
    flood(100)
    (handler,) = logging.getLogger().handlers
    handler.flush()
    assert not handler._held


def test_a_file_is_written_at_once_and_nothing_else_is(tmp_path, pipe):
    with (tmp_path / "log").open("w") as file:
        configure("json", stream=file)
        flood(1)
        assert (tmp_path / "log").read_text().count("\n") == 1
    configure("json", stream=pipe[1])
    assert [type(each) for each in logging.getLogger().handlers] == [Unhurried]
