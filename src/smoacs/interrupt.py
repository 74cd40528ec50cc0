"""Ctrl-C, and the signals of Slurm: once to stop after the current step, twice to stop at once."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

log = logging.getLogger(__name__)

_SIGNALS: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Those that end a program and leave it time to say so; SIGHUP is not on Windows."""

_received: Final[list[int]] = []


@dataclass
class Interrupt:
    """Whether the user, or the system, has asked the program to end."""

    asked: bool = False


def last_signal() -> int:
    """Number of the last signal that was seen here; that of Ctrl-C if there was none."""
    return _received[-1] if _received else signal.SIGINT


@contextmanager
def ending_signals() -> Iterator[None]:
    """Let the signals raise KeyboardInterrupt, so that what is open is closed.

    Signals that something else handles, or that are ignored (`nohup`), stay as they are; so do all
    outside the main thread.
    """
    _received.clear()
    with _handled(_Handler(None)):
        yield


@contextmanager
def soft_interrupt() -> Iterator[Interrupt]:
    """Note the first signal instead of raising; the second raises KeyboardInterrupt.

    Where a signal does something else already, or outside the main thread, all stays as it is.
    """
    interrupt = Interrupt()
    with _handled(_Handler(interrupt)):
        yield interrupt


class _Handler:
    """Handles the signals that we may handle."""

    def __init__(self, interrupt: Interrupt | None) -> None:
        self._interrupt = interrupt

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        _received.append(number)
        _leave_terminal(number)
        if self._interrupt is None or self._interrupt.asked:
            raise KeyboardInterrupt
        self._interrupt.asked = True
        log.warning(
            "%s: stopping after this step, to write what there is; once more stops at once",
            "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name,
        )


_Old = Callable[[int, FrameType | None], Any] | int | None


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    """Handle the signals that nobody else does, and put the old handlers back in the end."""
    before: dict[int, _Old] = {}
    if threading.current_thread() is threading.main_thread():
        now = {number: signal.getsignal(number) for number in _SIGNALS}
        before = {number: old for number, old in now.items() if _is_free(old)}
    for number in before:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _is_free(handler: _Old) -> bool:
    return isinstance(handler, _Handler) or handler in (
        signal.SIG_DFL,
        signal.default_int_handler,
    )


def _leave_terminal(number: int) -> None:
    """Write no more to a terminal that has hung up: every try would be an error."""
    if number != getattr(signal, "SIGHUP", None):
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if stream.isatty():
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, stream.fileno())
                os.close(null)
