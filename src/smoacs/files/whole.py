"""Files and folders that are there as a whole or not at all, whenever the process is killed.

What is new is written in a workspace: the hidden folder `.NAME.HEX.smoacs` beside the target
`NAME`, on the same disk. It holds

- `lock`: held by its process, so that the others tell a living workspace from a dead one;
- `new`: what is being written, a file or a folder;
- `old`: a folder that is being replaced, until the new one stands;
- `ready`: several new files, complete, on their way to their places.

Whoever makes a workspace clears the dead ones beside it; one whose process was killed after all was
complete is brought to its end.
"""

import errno
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import BaseFileLock, FileLock, Timeout

from smoacs.errors import InputError, ResourceError

_FULL: Final = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would be larger than allowed (ulimit -f)",
    errno.EIO: "the disk does not work as it should (input/output error)",
}
_WORKSPACE: Final = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.smoacs", re.DOTALL)
_SEVERAL: Final = "files"
"""Stands for the name of a target in a workspace for several files, which lies in their folder."""


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk or a quota is full, or takes no more for another reason."""
    return isinstance(error, OSError) and error.errno in _FULL


def why_full(error: OSError) -> str:
    """The reason of an error that `is_disk_full`, in words."""
    return _FULL.get(error.errno or 0, "the disk is full")


def is_workspace(path: Path) -> bool:
    """Whether a path is a workspace, living or dead, by its name."""
    return _WORKSPACE.fullmatch(path.name) is not None


def user_path(path: str | Path) -> Path:
    """The absolute path that a user means: `~` is the home folder.

    Raises:
        InputError: There is no such home folder, or the path is no place for a file or a folder.
    """
    try:
        absolute = Path(path).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: is no path that can be written to ({reason})") from error
    if not absolute.name:
        raise InputError(f"{path}: is the root of all files; name a folder or file in it")
    return absolute


def check_file(path: str | Path, option: str = "--out") -> None:
    """Check that a file can be written, without leaving a trace.

    Args:
        path: The file.
        option: What named it, for the message.

    Raises:
        InputError: It is a folder, its parent is missing, or it may not be written.
        ResourceError: The disk is full.
    """
    with _workspace(_file_target(path, option)):
        pass


def check_folder(path: str | Path) -> None:
    """Check that a folder, new or not, can be written, without leaving a trace.

    Raises:
        InputError: Its parent is missing or may not be written.
        ResourceError: The disk is full.
    """
    with _workspace(user_path(path)):
        pass


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a file that is there as a whole or not at all; text as UTF-8.

    Raises:
        InputError: As in `check_file`.
        ResourceError: The disk is full.
    """
    with new_file(path) as new:
        new.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def new_file(path: str | Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a path to write to, which becomes the file `path` when the block ends well.

    Args:
        path: The file.
        replace: Whether it takes the place of one that is there, or has come meanwhile.

    Raises:
        InputError: As in `check_file`.
        ResourceError: The disk is full.
    """
    path = _file_target(path)
    with _workspace(path) as space:
        new = space / "new"
        yield new
        _flush(new)
        if replace:
            new.replace(path)
            return
        with suppress(FileExistsError):
            os.link(new, path)


@contextmanager
def new_files(folder: str | Path) -> Iterator[Path]:
    """Give a folder whose files replace those of the same names when the block ends well.

    They do so together or not at all: what a kill leaves half done is finished by the next call of
    this or of `clear_leftovers`.

    Args:
        folder: Where they go; it exists.

    Raises:
        InputError: The folder may not be written.
        ResourceError: The disk is full; all files are the old ones.
    """
    folder = Path(folder).resolve()
    with _workspace(folder / _SEVERAL) as space:
        new = space / "new"
        new.mkdir()
        yield new
        for file in new.iterdir():
            _flush(file)
        new.rename(space / "ready")


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder that becomes `path`, or replaces it, when the block ends well.

    Raises:
        InputError: The parent is missing or may not be written.
        ResourceError: The disk is full; everything is as it was.
    """
    path = user_path(path)
    with _workspace(path) as space:
        new, old = space / "new", space / "old"
        new.mkdir()
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            with suppress(OSError):
                old.rename(path)
            raise


def clear_leftovers(folder: str | Path) -> None:
    """Bring to an end, or remove, what killed processes left in a folder; reading comes after it.

    What may not be written stays as it is.
    """
    with suppress(OSError):
        for space in [path for path in Path(folder).iterdir() if is_workspace(path)]:
            if _is_dead(space):
                _end(space)


def _file_target(path: str | Path, option: str = "--out") -> Path:
    path = user_path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; {option} must name a file here")
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file that can be replaced, but a device; name a file")
    return path


@contextmanager
def _workspace(target: Path) -> Iterator[Path]:
    """Make a workspace beside a target and remove it in the end; a full disk becomes a sentence."""
    clear_leftovers(target.parent)
    try:
        space, lock = _made(target)
    except OSError as error:
        parent = target.parent
        if not parent.is_dir():
            raise InputError(
                f"{target}: its folder does not exist; make it: mkdir -p {shlex.quote(str(parent))}"
            ) from error
        if is_disk_full(error):
            raise ResourceError(f"{target}: {why_full(error)}") from error
        raise InputError(
            f"{target}: cannot be written ({error.strerror}); choose a folder that you may write to"
        ) from error
    try:
        yield space
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise ResourceError(f"{target}: {why_full(error)}, nothing was written") from error
    finally:
        lock.release()
        _end(space)


def _made(target: Path) -> tuple[Path, BaseFileLock]:
    """Make a workspace and take its lock."""
    while True:
        space = target.with_name(f".{target.name}.{secrets.token_hex(4)}.smoacs")
        space.mkdir()
        lock = FileLock(space / "lock", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:  # another process took it for a dead one: once more
            continue
        except OSError:
            shutil.rmtree(space, ignore_errors=True)
            raise
        return space, lock


def _is_dead(space: Path) -> bool:
    """Whether nobody has the lock of a workspace."""
    file = space / "lock"
    try:
        if not file.exists():  # not yet, or not any more: empty, and whoever needs it makes it anew
            space.rmdir()
            return False
        with FileLock(file, blocking=False, thread_local=False):
            return True
    except (Timeout, OSError):
        return False


def _end(space: Path) -> None:
    """Finish what was complete in a workspace and remove it.

    Raises:
        OSError: Something may not be written; then the workspace stays.
    """
    name = _WORKSPACE.fullmatch(space.name)
    target = space.with_name(name["name"] if name else "")
    new, old, ready = space / "new", space / "old", space / "ready"
    if ready.is_dir():
        for file in ready.iterdir():
            file.replace(target.with_name(file.name))
    elif old.exists() and not target.exists():
        (new if new.exists() else old).rename(target)
    rest = list(space.iterdir()) if space.is_dir() else []
    for path in (
        path for path in rest if path.name != "lock"
    ):  # whatever a library has put beside what it writes, such as a journal
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    with suppress(OSError):
        (space / "lock").unlink(missing_ok=True)  # last of all
        space.rmdir()


def _flush(file: Path) -> None:
    """Have the disk hold what a file holds."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
