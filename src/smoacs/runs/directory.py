"""A run directory: there as a whole or not at all.

Everything is written to a hidden folder beside the final one (`smoacs.files.new_folder`), which is
renamed at the end. While a design goes on, another hidden folder keeps what it takes to go on (see
`checkpoint`).
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smoacs.errors import InputError
from smoacs.files import check_folder, is_workspace, new_folder, user_path
from smoacs.runs.marker import foreign_entries, is_run


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
    out = user_path(out)
    if not force and is_unfinished(out):
        raise InputError(
            f"{out} is a run that is not finished; go on with it ({resume_command(out)}), choose "
            "another folder or replace it (--force)"
        )
    check_contents(out, force=force)
    _check_not_inside(out)
    check_folder(out)


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
    out = user_path(out)
    check_contents(out, force=force)
    _check_not_inside(out)
    with new_folder(out) as new:
        yield new
        check_contents(out, force=force)  # nothing that has come meanwhile is lost


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


def check_contents(out: Path, *, force: bool) -> None:
    """Check that nothing is at `out`, or with `force` at most a run.

    Raises:
        InputError: It is a file, holds a run (without force) or other files, or its parent is
            missing.
    """
    if not out.parent.is_dir():
        parent = shlex.quote(str(out.parent))
        raise InputError(f"{out}: its parent folder does not exist; make it: mkdir -p {parent}")
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"{out} is a file; --out must name a folder, which may be a new one")
    try:
        names = sorted(path.name for path in out.iterdir() if not is_workspace(path))
    except OSError as error:
        raise InputError(f"{out}: cannot be read ({error.strerror})") from error
    if not names:
        return
    if not is_run(out):
        raise InputError(
            f"{out} holds files that are not of a run, such as {names[0]!r}; "
            "choose another folder or move them away"
        )
    if not force:
        raise InputError(
            f"{out} already holds a run; choose another folder or replace it (--force)"
        )
    foreign = foreign_entries(out)
    if foreign:
        raise InputError(
            f"{out} holds what is not of the run, such as {foreign[0]!r}, and would be lost with "
            "it: move that away or choose another folder"
        )


def _check_not_inside(out: Path) -> None:
    """Check that the working directory is not the run that is to be replaced.

    Raises:
        InputError: It is, or is inside.
    """
    if Path.cwd().is_relative_to(out) and is_run(out):
        raise InputError(
            f"{out} is the working directory, and would be gone with the run: work from elsewhere "
            "(cd ..)"
        )
