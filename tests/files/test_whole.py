"""Files and folders that are there as a whole or not at all, whenever the process is killed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from smoacs.errors import InputError, ResourceError
from smoacs.files import (
    check_file,
    clear_leftovers,
    new_file,
    new_files,
    write_file,
)


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def killed(code, cwd):
    """Run code that kills itself, and say that it did."""
    source = f"import os, signal\nfrom pathlib import Path\nfrom smoacs.files import *\n{code}"
    done = subprocess.run([sys.executable, "-c", source], cwd=cwd, check=False)  # noqa: S603
    assert done.returncode == -9


DIE = "os.kill(os.getpid(), signal.SIGKILL)"


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "table.csv"
    write_file(path, "ü\n")
    write_file(path, b"b\n")
    assert path.read_bytes() == b"b\n"
    assert listing(tmp_path) == ["table.csv"]


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        check_file(tmp_path)
    with pytest.raises(InputError, match="mkdir -p"):
        check_file(tmp_path / "none" / "table.csv")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no file that can be replaced"):
        check_file(tmp_path / "pipe")


def test_a_block_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    write_file(path, "old")
    with pytest.raises(FileNotFoundError, match="new"), new_file(path):
        pass  # writes nothing
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["table.csv"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    write_file(path, "old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResourceError, match="disk is full, nothing was written"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert listing(tmp_path) == ["table.csv"]


def test_what_a_killed_writer_left_goes_with_the_next_one(tmp_path):
    killed(f"with new_file('a.txt') as new:\n  new.write_text('half')\n  {DIE}", tmp_path)
    assert listing(tmp_path) != []
    write_file(tmp_path / "other.txt", "whole")
    assert listing(tmp_path) == ["other.txt"]


def test_what_a_library_wrote_beside_its_file_goes_too(tmp_path):
    journal = "Path(f'{new}-journal').write_text('half')"
    killed(f"with new_file('a.db') as new:\n  {journal}\n  {DIE}", tmp_path)
    assert listing(tmp_path) != []
    write_file(tmp_path / "other.txt", "whole")
    assert listing(tmp_path) == ["other.txt"]


def test_a_file_that_has_come_meanwhile_is_kept_on_request(tmp_path):
    path = tmp_path / "a.txt"
    with new_file(path, replace=False) as new:
        new.write_text("first")
    assert path.read_text() == "first"
    with new_file(path, replace=False) as new:
        new.write_text("second")
    assert path.read_text() == "first"
    assert listing(tmp_path) == ["a.txt"]


def test_what_a_living_writer_has_begun_stays(tmp_path):
    with new_file(tmp_path / "a.txt") as new:
        new.write_text("a")
        write_file(tmp_path / "b.txt", "b")
        clear_leftovers(tmp_path)
    assert listing(tmp_path) == ["a.txt", "b.txt"]


def test_several_files_are_replaced_together(tmp_path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "kept").write_text("kept")
    with new_files(tmp_path) as new:
        (new / "a").write_text("new")
        (new / "b").write_text("new")
        assert (tmp_path / "a").read_text() == "old"
    assert listing(tmp_path) == ["a", "b", "kept"]
    assert (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize("moved", ["none", 0, 1, 2])
def test_a_kill_while_several_files_are_replaced(moved, tmp_path):
    """Before they are all complete, all are old; after it, the next command moves the others."""
    for name in "abc":
        (tmp_path / name).write_text("old")
    killed(
        f"""
moves = []
replace = Path.replace
def move(self, target):
    if len(moves) == {moved!r}:
        {DIE}
    moves.append(target)
    return replace(self, target)
Path.replace = move
with new_files('.') as new:
    for name in 'abc':
        (new / name).write_text('new')
    if {moved!r} == 'none':
        {DIE}
""",
        tmp_path,
    )
    clear_leftovers(tmp_path)
    texts = {name: (tmp_path / name).read_text() for name in "abc"}
    assert texts == dict.fromkeys("abc", "old" if moved == "none" else "new")
    assert listing(tmp_path) == ["a", "b", "c"]


def test_a_failure_while_several_files_are_replaced_is_made_good(tmp_path, monkeypatch):
    for name in "ab":
        (tmp_path / name).write_text("old")
    replace = Path.replace

    def write_both():
        with new_files(tmp_path) as new:
            for name in "ab":
                (new / name).write_text("new")

    def refuse(self, target):
        if self.name == "b":
            raise OSError(errno.EACCES, "Permission denied")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", refuse)
        with pytest.raises(OSError, match="Permission"):
            write_both()
    clear_leftovers(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in "ab"} == {"a": "new", "b": "new"}
    assert listing(tmp_path) == ["a", "b"]


@pytest.mark.parametrize("before", ["first", "second"])
def test_a_kill_while_a_folder_is_replaced(before, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "a").write_text("old")
    killed(
        f"""
renames = []
rename = Path.rename
def move(self, target):
    if len(renames) == {["first", "second"].index(before)}:
        {DIE}
    renames.append(target)
    return rename(self, target)
Path.rename = move
with new_folder('run') as new:
    (new / 'a').write_text('new')
""",
        tmp_path,
    )
    clear_leftovers(tmp_path)
    assert (tmp_path / "run" / "a").read_text() == ("old" if before == "first" else "new")
    assert listing(tmp_path) == ["run", "run/a"]


def test_leftovers_of_an_unwritable_folder_cost_nothing(tmp_path):
    clear_leftovers(tmp_path / "none")
