"""A run directory is there as a whole or not at all, and never replaces what is no run."""

import errno
from pathlib import Path

import pytest

from smoacs.errors import InputError, ResourceError
from smoacs.files import check_file
from smoacs.runs import check_run_directory, run_directory
from smoacs.runs.marker import MARKER, mark_run


def write_run(out, text="new", *, force=False):
    with run_directory(out, force=force) as folder:
        (folder / "summary.json").write_text(text)
        (folder / "structures").mkdir()
        (folder / "structures" / "0001_NaCl.cif").write_text(text)
        mark_run(folder)


def write_half(out, error):
    with run_directory(out, force=True) as folder:
        (folder / "summary.json").write_text("half")
        raise error


RUN = sorted(
    ["run", "run/structures", "run/structures/0001_NaCl.cif", "run/summary.json", f"run/{MARKER}"]
)


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("existing", [False, True])
def test_a_new_or_empty_folder_is_filled(existing, tmp_path):
    out = tmp_path / "run"
    if existing:
        out.mkdir()
    check_run_directory(out, force=False)
    write_run(out)
    assert listing(tmp_path) == RUN


def test_force_replaces_a_run(tmp_path):
    out = tmp_path / "run"
    write_run(out, "old")
    (out / "report.html").write_text("old")
    check_run_directory(out, force=True)
    write_run(out, force=True)
    assert listing(tmp_path) == RUN
    assert (out / "summary.json").read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_everything_as_it_was(error, tmp_path):
    out = tmp_path / "run"
    write_run(out, "old")
    with pytest.raises(error):
        write_half(out, error())
    assert listing(tmp_path) == RUN
    assert (out / "summary.json").read_text() == "old"


def test_a_failed_replacement_puts_the_old_run_back(tmp_path, monkeypatch):
    out = tmp_path / "run"
    write_run(out, "old")
    rename = Path.rename

    def refuse(self, target):
        if self.name == "new" and Path(target) == out:
            raise OSError(errno.EIO, "input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ResourceError, match="input/output"):
        write_run(out, force=True)
    assert (out / "summary.json").read_text() == "old"
    assert listing(tmp_path) == RUN


def make_run(out):
    write_run(out)


def make_file(out):
    out.write_text("")


def make_other(out):
    out.mkdir()
    (out / "thesis.tex").write_text("")


def make_results(out):
    """Somebody's own files, with names that runs have, too."""
    out.mkdir()
    (out / "results.csv").write_text("mine")
    (out / "config.toml").write_text("mine")


def make_run_with(*path):
    def make(out):
        write_run(out)
        (out.joinpath(*path[:-1])).mkdir(exist_ok=True)
        (out.joinpath(*path)).write_text("mine")

    return make


def make_run_with_link(out):
    write_run(out)
    (out / "structures" / "data").symlink_to(out.parent)


def make_run_with_folder(out):
    write_run(out)
    (out / "later").mkdir()


REFUSED = {
    "a run": (make_run, False, "already holds a run.*--force"),
    "a file": (make_file, True, "is a file"),
    "other files": (make_other, True, "not of a run, such as 'thesis.tex'"),
    "files with our names": (make_results, True, "not of a run, such as 'config.toml'"),
    "a file in it": (make_run_with("mine.txt"), True, "such as 'mine.txt'"),
    "a structure": (make_run_with("structures", "mine.txt"), True, "'structures/mine.txt'"),
    "a check": (make_run_with("checks", "thesis.tex"), True, "'checks/thesis.tex'"),
    "a link": (make_run_with_link, True, "'structures/data'"),
    "a folder": (make_run_with_folder, True, "'later'"),
    "a damaged marker": (make_run_with(MARKER), True, "is damaged"),
    "no parent": (lambda out: out.parent.rmdir(), False, "mkdir -p"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_in_the_way_is_named_and_kept(name, tmp_path):
    prepare, force, message = REFUSED[name]
    out = tmp_path / "parent" / "out"
    out.parent.mkdir()
    prepare(out)
    before = listing(tmp_path)
    with pytest.raises(InputError, match=message):
        check_run_directory(out, force=force)
    with pytest.raises(InputError, match=message):
        write_run(out, force=force)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "path",
    ["report.html", "relaxed.extxyz", "checks/relaxation.jsonl", "checks/dft_gpaw.jsonl"],
)
def test_what_checks_and_reports_add_is_replaced_with_the_run(path, tmp_path):
    make_run_with(*path.split("/"))(tmp_path / "run")
    write_run(tmp_path / "run", force=True)
    assert listing(tmp_path) == RUN


def test_the_working_directory_is_not_replaced_from_inside(tmp_path, monkeypatch):
    out = tmp_path / "run"
    write_run(out, "old")
    for inside in (out, out / "structures"):
        monkeypatch.chdir(inside)
        with pytest.raises(InputError, match=r"is the working directory.*\(cd \.\.\)"):
            check_run_directory(out, force=True)
        with pytest.raises(InputError, match=r"is the working directory.*\(cd \.\.\)"):
            write_run(out, force=True)
    assert (out / "summary.json").read_text() == "old"


def test_a_users_file_that_comes_while_a_run_is_written_is_kept(tmp_path):
    out = tmp_path / "run"
    write_run(out, "old")

    def write_while_a_file_comes():
        with run_directory(out, force=True) as folder:
            mark_run(folder)
            (out / "mine.txt").write_text("mine")

    with pytest.raises(InputError, match=r"'mine\.txt'"):
        write_while_a_file_comes()
    assert (out / "mine.txt").read_text() == "mine"
    assert (out / "summary.json").read_text() == "old"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_run(Path("~/run"))
    assert listing(tmp_path) == RUN
    with pytest.raises(InputError, match="is no path"):
        write_run(Path("~nobody-of-this-name/run"))


def test_the_root_is_no_place_for_a_run():
    with pytest.raises(InputError, match="root of all files"):
        check_run_directory("/", force=True)


def test_a_parent_with_spaces_is_quoted(tmp_path):
    with pytest.raises(InputError, match=r"mkdir -p '.*my runs'"):
        check_run_directory(tmp_path / "my runs" / "run", force=False)


@pytest.mark.parametrize(
    ("number", "raised", "message"),
    [
        (errno.EACCES, InputError, "cannot be written .Permission denied"),
        (errno.EROFS, InputError, "cannot be written .Read-only"),
        (errno.ENOSPC, ResourceError, "disk is full"),
    ],
)
def test_a_folder_that_cannot_be_written_is_found_at_once(
    number, raised, message, tmp_path, monkeypatch
):
    def refuse(self, *args):
        raise OSError(number, {13: "Permission denied"}.get(number, "Read-only file system"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    for check in (
        lambda: check_run_directory(tmp_path / "r", force=False),
        lambda: check_file(tmp_path / "t.csv"),
    ):
        with pytest.raises(raised, match=message):
            check()


def test_a_disk_that_fills_up_leaves_nothing(tmp_path):
    with pytest.raises(ResourceError, match="disk is full"):
        write_half(tmp_path / "run", OSError(errno.ENOSPC, "No space left on device"))
    assert listing(tmp_path) == []
