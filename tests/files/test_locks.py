"""One process at a time, on file systems with and without locks."""

import errno
import subprocess
import sys

import pytest

from smoacs.errors import InputError
from smoacs.files import locked

HOLD = """
import sys
from pathlib import Path
from smoacs.files import locked
with locked(Path(sys.argv[1]), ""):
    print("held", flush=True)
    sys.stdin.read()
"""


def take(path):
    with locked(path, "somebody is here"):
        assert path.exists()


def test_only_one_process_has_it_and_a_kill_frees_it(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match="somebody is here"):
            take(path)
        other.kill()
    take(path)
    assert list(tmp_path.iterdir()) == []


def test_twice_in_one_process(tmp_path):
    with locked(tmp_path / "lock", ""), pytest.raises(InputError, match="somebody is here"):
        take(tmp_path / "lock")
    take(tmp_path / "lock")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows' own locks are no flock")
def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def missing(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", missing)
    with locked(tmp_path / "lock", ""), pytest.raises(InputError, match="somebody is here"):
        take(tmp_path / "lock")
    take(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_made_is_one_sentence(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(InputError, match=r"cannot be made \(No locks available\)"):
        take(tmp_path / "lock")
