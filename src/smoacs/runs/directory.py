"""A run directory: there as a whole or not at all.

Everything is written to a hidden folder beside the final one, which is renamed at the end. While a
design goes on, another hidden folder keeps what it takes to go on (see `checkpoint`).
"""

import errno
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smoacs.errors import InputError, ResourceError

CHECKS_FOLDER = "checks"
"""Folder of a run directory that keeps the findings of its checks."""

RUN_FILES = frozenset(
    {
        CHECKS_FOLDER,
        "config.toml",
        "decorations.csv",
        "decorations.png",
        "designs.db",
        "history.parquet",
        "history.png",
        "relaxed.extxyz",
        "report.html",
        "results.csv",
        "structures",
        "structures.extxyz",
        "summary.json",
    }
)
"""What a run directory holds; `--force` replaces a folder of these and no other."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


def check_run_directory(out: str | Path, *, force: bool) -> None:
    """Check that a run can be written to a folder, without leaving a trace.

    Args:
        out: The folder; it need not exist, but its parent must.
        force: Whether an existing run may be replaced, finished or not.

    Raises:
        InputError: It is a file, holds a run (without force) or other files, its parent is
            missing, or it may not be written.
        ResourceError: The disk is full.
    """
    out = Path(out).resolve()
    if not force and is_unfinished(out):
        raise InputError(
            f"{out} is a run that is not finished; go on with it ({resume_command(out)}), choose "
            "another folder or replace it (--force)"
        )
    check_contents(out, force=force)
    _make_sibling(out).rmdir()


@contextmanager
def run_directory(out: str | Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary folder that becomes the run directory when the block ends well.

    If the block raises, the temporary folder is removed and `out` stays as it was.

    Args:
        out: The final folder; see `check_run_directory`.
        force: Whether an existing run may be replaced.

    Raises:
        InputError: As in `check_run_directory`.
        ResourceError: The disk is full.
    """
    out = Path(out).resolve()
    check_contents(out, force=force)
    temporary = _make_sibling(out)
    try:
        yield temporary
        _move_into_place(temporary, out)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ResourceError(f"{out}: the disk is full, nothing was written") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def unfinished_folder(out: Path) -> Path:
    """Where the run whose final folder is `out` keeps what it takes to go on."""
    return out.with_name(f".{out.name}.partial")


def is_unfinished(out: Path) -> bool:
    """Whether there is a run to go on with, or one that only has to be moved to its place."""
    folder = unfinished_folder(out)
    return (folder / "config.toml").is_file() or (folder / "result").is_dir()


def resume_command(out: str | Path) -> str:
    """What to type to go on with a run."""
    return f"smoacs resume {shlex.quote(str(out))}"


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def check_contents(out: Path, *, force: bool) -> None:
    """Check that nothing is at `out`, or with `force` at most a run.

    Raises:
        InputError: It is a file, holds a run (without force) or other files, or its parent is
            missing.
    """
    if not out.parent.is_dir():
        raise InputError(f"{out}: its parent folder does not exist; make it: mkdir -p {out.parent}")
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file; --out must name a folder, which may be a new one")
    try:
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise InputError(f"{out}: cannot be read ({error.strerror})") from error
    foreign = sorted(names - RUN_FILES)
    if foreign:
        raise InputError(
            f"{out} holds files that are not of a run, such as {foreign[0]!r}; "
            "choose another folder or move them away"
        )
    if names and not force:
        raise InputError(
            f"{out} already holds a run; choose another folder or replace it (--force)"
        )


def _make_sibling(out: Path) -> Path:
    """Make a hidden, empty folder beside `out`, on the same disk."""
    sibling = out.parent / f".{out.name}.{secrets.token_hex(4)}"
    try:
        sibling.mkdir()
    except OSError as error:
        if error.errno in _FULL:
            raise ResourceError(f"{out}: the disk is full") from error
        raise InputError(
            f"{out}: cannot be written ({error.strerror}); choose a folder that you may write to"
        ) from error
    return sibling


def _move_into_place(temporary: Path, out: Path) -> None:
    """Rename; a run that is replaced is removed only once the new one stands."""
    if not out.exists():
        temporary.rename(out)
        return
    old = out.with_name(f"{temporary.name}.old")
    out.rename(old)
    try:
        temporary.rename(out)
    except OSError:
        with suppress(OSError):
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_file(path: str | Path) -> None:
    """Check that a file can be written, without leaving a trace.

    Raises:
        InputError: It is a folder, its parent is missing, or it may not be written.
        ResourceError: The disk is full.
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise InputError(f"{path} is a folder; --out must name a file here")
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it: mkdir -p {path.parent}")
    _make_sibling(path).rmdir()


def write_file(path: str | Path, text: str) -> None:
    """Write a text file that is there as a whole or not at all.

    Raises:
        InputError: As in `check_file`.
        ResourceError: The disk is full.
    """
    path = Path(path).resolve()
    check_file(path)
    folder = _make_sibling(path)
    try:
        (folder / path.name).write_text(text, encoding="utf-8")
        (folder / path.name).replace(path)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ResourceError(f"{path}: the disk is full, nothing was written") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
