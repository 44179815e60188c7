"""A proxy that is killed leaves its sockets behind until the next one starts, and nobody loses those in use."""

import os
import shutil
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from proxy.edge.private_folder import PrivateFolder
from tests.proxy_process import ProxyProcess
from tests.test_app import start


def running(folder: Path, workers: str) -> ProxyProcess:
    return ProxyProcess(*("--upstream", "127.0.0.1:1", "--workers", workers), env={"TMPDIR": str(folder)})


def folders(parent: Path) -> set[Path]:
    return set(parent.glob("tfs-proxy-*"))


@pytest.fixture
def short():
    """A folder whose path leaves room for that of a socket."""
    with TemporaryDirectory(prefix="tests-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_where_the_path_of_a_socket_would_be_too_long_one_sentence_says_so(tmp_path, monkeypatch, workers):
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    done = start("--workers", workers)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "set TMPDIR to a shorter one" in line
    assert not list(folder.iterdir())


def test_what_a_killed_proxy_left_goes_when_the_next_one_starts_and_what_is_in_use_stays(short):
    killed = running(short, "1")
    left = folders(short)
    assert len(left) == 1
    killed.stop(signal.SIGKILL)
    assert folders(short) == left
    with running(short, "1") as first:
        (of_first,) = folders(short)
        assert left != {of_first}
        with running(short, "2"):
            assert of_first / "local.sock" in set(of_first.iterdir())
            assert len(folders(short)) == 2
        assert folders(short) == {of_first}
        assert first.process.poll() is None
    assert not folders(short)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def marked(path):
    """A folder as one that was made here."""
    path.mkdir(mode=0o700)
    (path / ".made-by-tfs-proxy").touch()
    return path


def test_only_its_owner_may_enter_it(temporary):
    with PrivateFolder() as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
    assert not folder.path.exists()
    folder.remove()


def test_a_folder_that_others_may_enter_or_a_link_is_none_of_ours(temporary):
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (temporary / "tfs-proxy-private-link").symlink_to(elsewhere)
    (temporary / "tfs-proxy-private-file").touch(mode=0o600)
    marked(temporary / "tfs-proxy-private-open").chmod(0o755)
    with PrivateFolder():
        pass
    assert len(list(temporary.iterdir())) == 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of others")
def test_a_folder_of_another_user_is_not_touched(temporary):
    other = marked(temporary / "tfs-proxy-private-other")
    shutil.chown(other, 12345)
    with PrivateFolder():
        pass
    assert other.exists()


def test_what_is_locked_stays_and_what_is_not_goes(temporary):
    marked(temporary / "tfs-proxy-private-abandoned")
    with PrivateFolder() as one, PrivateFolder() as other:
        assert set(temporary.iterdir()) == {one.path, other.path}


@pytest.mark.parametrize("name", ["tfs-proxy-demo-x", "tfs-proxy-private-notes", "tfs-proxy-configs"])
def test_a_folder_that_someone_made_for_something_else_is_not_touched(temporary, name):
    theirs = temporary / name
    theirs.mkdir(mode=0o700)
    (theirs / "local.sock").touch()
    with PrivateFolder():
        pass
    assert (theirs / "local.sock").exists()
