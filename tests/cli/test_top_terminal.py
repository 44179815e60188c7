import os
import threading

import pytest

from proxy.cli.top_terminal import Terminal, keys_of


@pytest.mark.parametrize(
    ("octets", "keys"),
    [
        (b"q", ["q"]),
        (b"jk", ["j", "k"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1bOB", ["up", "down"]),
        (b"\r\n", ["enter", "enter"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[1;5Cq", ["q"]),
        (b"\x1b[3~m", ["m"]),
        (b"\x1b[", []),
        ("é".encode(), []),
    ],
)
def test_keys_are_told_by_name_and_sequences_of_others_are_passed_over(octets, keys):
    assert list(keys_of(octets)) == keys


@pytest.fixture
def pipe():
    reads, writes = os.pipe()
    yield reads, writes
    os.close(reads)


def test_keys_and_wakes_end_the_wait(pipe):
    reads, writes = pipe
    terminal = Terminal(reads)
    os.write(writes, b"j\x1b[A")
    assert terminal.wait() == ["j", "up"]
    threading.Thread(target=terminal.wake).start()
    assert terminal.wait() == []
    for _ in range(100_000):
        terminal.wake()
    assert terminal.wait() == []
    os.close(writes)
    # As when the window is closed.
    while (keys := terminal.wait()) == []:
        pass
    assert keys == ["q"]
    terminal.wake()
    assert terminal.wait() == []
    terminal.close()


def test_without_a_keyboard_it_is_woken_all_the_same():
    terminal = Terminal(None)
    terminal.wake()
    assert terminal.wait() == []
    terminal.close()
