"""One process at a time."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from smoacs.errors import InputError

_PATIENCE: Final = 0.1
"""Seconds for one who comes while another goes; nobody waits for the other's work."""


@contextmanager
def locked(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file `path`, which exists only meanwhile; a kill frees it, too.

    Where the file system has no locks (Lustre without `flock`), the file itself is the lock.

    Args:
        path: The lock file; its folder must exist.
        refusal: What to say where another process, or another part of this one, holds it.

    Raises:
        InputError: It is held, or cannot be made.
    """
    lock = FileLock(path, thread_local=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # says that the file itself is the lock
            lock.acquire(timeout=_PATIENCE, poll_interval=_PATIENCE / 5)
    except Timeout:
        raise InputError(refusal) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or "this platform has no locks"
        raise InputError(
            f"{path}: the lock that keeps others out cannot be made ({reason})"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held, so that nobody loses one; not so on Windows
            path.unlink()
        lock.release()
