"""What design and resume show: a progress bar, and at the end what came out."""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from smoacs.commands.bars import bars

if TYPE_CHECKING:
    from smoacs.search import ProgressEvent

EXIT_NO_SUCCESS = 1
EXIT_INTERRUPTED = 130


class _Aloud(logging.Handler):
    """Says what is logged, and remembers it."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Say it to whoever sits before the terminal."""
        self.said.append(record.getMessage())
        typer.echo(self.said[-1], err=True)


@contextmanager
def announced() -> Iterator[list[str]]:
    """Say at once what a search has to tell, and give what was said."""
    log = logging.getLogger("smoacs.search")
    aloud, level = _Aloud(), log.level
    log.addHandler(aloud)
    log.setLevel(logging.INFO)
    try:
        yield aloud.said
    finally:
        log.removeHandler(aloud)
        log.setLevel(level)


def tell_results(out: Path, told: Collection[str] = ()) -> int:
    """Print the summary of a run directory and return the exit code.

    Args:
        out: The run directory.
        told: Notes on the search that need not be told again.
    """
    from smoacs.errors import InputError
    from smoacs.runs import read_summary, resume_command, summary_text

    summary = read_summary(out)
    try:
        text = summary_text(summary, out)
    except KeyError as error:
        raise InputError(f"{out / 'summary.json'}: is damaged: {error} is missing") from error
    notes = str(summary.get("search", {}).get("note", "")).split("; ")
    for note in notes:
        if note and note not in told:
            typer.echo(note, err=True)
    if every := summary.get("search", {}).get("notes"):
        typer.echo(f"all {len(every):,} of these notes are in summary.json", err=True)
    typer.echo(text)
    if summary.get("interrupted"):
        steps = f"interrupted after {summary['steps']} of {summary['config']['steps']} steps"
        typer.echo(f"{steps}; go on with: {resume_command(out)}")
        return EXIT_INTERRUPTED
    return 0 if summary["success_rate"] else EXIT_NO_SUCCESS


@contextmanager
def progress_bar() -> "Iterator[Callable[[ProgressEvent], None] | None]":
    """Give a callback that moves a progress bar; None where nobody watches."""
    with bars("success {task.fields[success]:.0%}") as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("starting", total=None, success=0.0)

        def show(event: "ProgressEvent") -> None:
            bar.update(
                task,
                description=event.stage,
                completed=event.step,
                total=event.n_steps,
                success=event.success_rate,
            )

        yield show
