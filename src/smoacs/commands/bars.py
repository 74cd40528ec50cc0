"""Progress bars on standard error, where somebody watches."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

PATIENCE = 1.0
"""Seconds of work before a bar appears."""


@contextmanager
def bars(extra: str = "") -> "Iterator[Progress | None]":
    """Give bars to add tasks to; None where standard error is no terminal.

    Args:
        extra: Format of a further column, such as "{task.fields[success]:.0%}".
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        *([TextColumn(extra)] if extra else []),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield progress


@contextmanager
def counted(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give what is told how many of a total are done; a bar shows it if the work takes a while.

    Args:
        description: What is done, such as "judging".
        total: Of how many.
    """
    begin = time.perf_counter()
    with ExitStack() as stack:
        shown: list[tuple[Progress, TaskID]] = []

        def tell(done: int) -> None:
            if not shown and done < total and time.perf_counter() - begin > PATIENCE:
                bar = stack.enter_context(bars())
                if bar is not None:
                    shown.append((bar, bar.add_task(description, total=total)))
            for bar, task in shown:
                bar.update(task, completed=done)

        yield tell
