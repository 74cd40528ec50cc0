"""Ctrl-C, once to stop after the current step, twice to stop at once."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

log = logging.getLogger(__name__)


@dataclass
class Interrupt:
    """Whether the user has pressed Ctrl-C."""

    asked: bool = False


@contextmanager
def soft_interrupt() -> Iterator[Interrupt]:
    """Note the first Ctrl-C instead of raising; the second raises KeyboardInterrupt.

    Where Ctrl-C does something else already, or outside the main thread, all stays as it is.
    """
    interrupt = Interrupt()

    def note(_number: int, _frame: FrameType | None) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        log.warning("stopping after this step, to write what there is; Ctrl-C again stops at once")

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
