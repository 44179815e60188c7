"""Captures are bounded, rotated, never half written, and for the owner only."""

import stat

import pytest

from proxy.capture.files import MOST_RECORDS, OneFile, RotatingFolder, Turn
from proxy.wire.tfrecord import frame, read_records


def pieces(payload: bytes) -> tuple[bytes, ...]:
    before, behind = frame((payload,))
    return before, payload, behind


def payloads(path) -> list[bytes]:
    with path.open("rb") as file:
        return list(read_records(file))


def test_a_file_never_holds_more_records_than_tf_serving_takes(tmp_path):
    folder = RotatingFolder(tmp_path, 1 << 20)
    for number in range(MOST_RECORDS + 1):
        assert folder.record("m", pieces(b"%d" % number))
    first, second = sorted(tmp_path.glob("*.tfrecord"))
    assert payloads(first) == [b"%d" % number for number in range(MOST_RECORDS)]
    assert payloads(second) == [b"%d" % MOST_RECORDS]


def test_the_oldest_files_make_room(tmp_path):
    folder = RotatingFolder(tmp_path, 80_000)
    for number in range(500):
        assert folder.record("ab"[number % 2], pieces(b"%04d" % number * 100))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 80_000
    kept = [payload for path in tmp_path.iterdir() for payload in payloads(path)]
    assert 100 < len(kept) < 200
    # What is left is the newest, without a gap.
    assert sorted(kept) == [b"%04d" % number * 100 for number in range(500 - len(kept), 500)]


def test_a_record_larger_than_all_room_is_not_written(tmp_path):
    folder = RotatingFolder(tmp_path, 10_000)
    assert folder.record("m", pieces(b"small"))
    assert not folder.record("m", pieces(b"x" * 10_000))
    assert [payloads(path) for path in tmp_path.iterdir()] == [[b"small"]]


def test_refusals_have_room_of_their_own(tmp_path):
    folder = RotatingFolder(tmp_path, 100_000)
    assert folder.record("m", pieces(b"request"))
    for _ in range(1000):
        assert folder.refused(b"{}" * 100 + b"\n")
    assert payloads(tmp_path / "m.000001.tfrecord") == [b"request"]
    assert sum(path.stat().st_size for path in tmp_path.glob("refused.*.jsonl")) <= 100_000 // 8


def test_files_of_an_earlier_run_are_kept_apart_and_count(tmp_path):
    RotatingFolder(tmp_path, 10_000).record("m", pieces(b"1" * 6000))
    (tmp_path / "notes.tfrecord").write_bytes(b"not ours")
    again = RotatingFolder(tmp_path, 10_000)
    again.record("m", pieces(b"2"))
    assert payloads(tmp_path / "m.000002.tfrecord") == [b"2"]
    again.record("m", pieces(b"3" * 6000))
    assert not (tmp_path / "m.000001.tfrecord").exists()
    assert (tmp_path / "notes.tfrecord").read_bytes() == b"not ours"


@pytest.mark.parametrize("model", ["../up", "a/b", "..", "ü\n", "x" * 500])
def test_no_model_name_leaves_the_folder(tmp_path, model):
    inside = tmp_path / "captures"
    RotatingFolder(inside, 1 << 20).record(model, pieces(b"r"))
    assert [path.name for path in tmp_path.iterdir()] == ["captures"]
    (file,) = inside.iterdir()
    assert payloads(file) == [b"r"]


def test_long_names_that_begin_alike_have_files_of_their_own(tmp_path):
    folder = RotatingFolder(tmp_path, 1 << 20)
    folder.record("x" * 500 + "a", pieces(b"a"))
    folder.record("x" * 500 + "b", pieces(b"b"))
    assert len(list(tmp_path.iterdir())) == 2


def test_only_the_owner_may_read(tmp_path):
    folder = tmp_path / "captures"
    RotatingFolder(folder, 1 << 20).record("m", pieces(b"r"))
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_one_file_appears_when_it_is_complete(tmp_path):
    full = []
    one = OneFile(tmp_path / "out", 2, 1 << 20, lambda: full.append(True))
    assert one.record("m", pieces(b"1"))
    assert not full
    assert one.record("m", pieces(b"2"))
    assert full == [True]
    assert not one.record("m", pieces(b"3"))
    assert full == [True]
    assert not (tmp_path / "out").exists()
    one.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert payloads(tmp_path / "out") == [b"1", b"2"]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600


def test_one_file_is_full_when_a_record_does_not_fit(tmp_path):
    full = []
    one = OneFile(tmp_path / "out", 10, 100, lambda: full.append(True))
    assert one.record("m", pieces(b"1"))
    assert not one.record("m", pieces(b"2" * 100))
    assert full == [True]
    one.close()
    assert payloads(tmp_path / "out") == [b"1"]


def test_nothing_captured_leaves_no_file(tmp_path):
    OneFile(tmp_path / "out", 10, 100, lambda: None).close()
    assert list(tmp_path.iterdir()) == []


def test_several_who_record_into_one_folder_touch_none_of_anothers_files(tmp_path):
    folders = [RotatingFolder(tmp_path, 10_000, Turn(which, 3)) for which in range(3)]
    for _ in range(2):
        for folder in folders:
            for _ in range(4):
                assert folder.record("m", pieces(b"1" * 900))
        folders = [RotatingFolder(tmp_path, 10_000, Turn(which, 3)) for which in range(3)]
    numbers = {which: set() for which in range(3)}
    for path in tmp_path.glob("*.tfrecord"):
        number = int(path.name.split(".")[1])
        numbers[number % 3].add(number)
    assert all(numbers.values())
    # One makes room: the others' files stay.
    others = {path: path.stat().st_size for path in tmp_path.iterdir() if int(path.name.split(".")[1]) % 3}
    for _ in range(50):
        assert folders[0].record("m", pieces(b"2" * 900))
    assert {path: path.stat().st_size for path in others} == others
    assert sum(path.stat().st_size for path in tmp_path.iterdir() if path not in others) <= 10_000


def test_the_numbers_of_a_turn_are_its_own_and_the_nearest():
    assert [Turn().after(number) for number in range(3)] == [1, 2, 3]
    for of in range(1, 5):
        for number in range(10):
            after = {Turn(which, of).after(number) for which in range(of)}
            assert after == set(range(number + 1, number + 1 + of))
            assert all(Turn(which, of).takes(Turn(which, of).after(number)) for which in range(of))


def test_a_full_disk_leaves_no_empty_file_and_the_next_record_is_written(tmp_path):
    folder = RotatingFolder(tmp_path, 1 << 20)
    (tmp_path / "m.000001.tfrecord").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        folder.record("m", pieces(b"lost"))
    assert not list(tmp_path.iterdir())
    assert folder.record("m", pieces(b"kept"))
    (file,) = tmp_path.iterdir()
    assert payloads(file) == [b"kept"]


def test_a_folder_that_was_away_is_written_to_once_it_is_back(tmp_path):
    place = tmp_path / "captures"
    folder = RotatingFolder(place, 1 << 20)
    place.rmdir()
    with pytest.raises(FileNotFoundError):
        folder.record("m", pieces(b"lost"))
    place.mkdir()
    assert folder.record("m", pieces(b"kept"))
    (file,) = place.iterdir()
    assert payloads(file) == [b"kept"]
