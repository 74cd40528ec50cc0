"""`smoacs show` and `smoacs report`: a run in the terminal, and as a page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from smoacs.commands.options import quick_imports


def show(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    number: Annotated[
        str | None, typer.Argument(metavar="ID", help="Id of one candidate, such as 3 or 0003.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column to sort the candidates by; -COLUMN for the largest first [best first].",
        ),
    ] = None,
    everything: Annotated[
        bool | None,
        typer.Option(
            "--all/--success",
            help="List all candidates, or one success for each distinct design [--success; --all "
            "where none succeeds].",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="Candidates to list.")] = 10,
) -> None:
    """Show what a run gave, or one of its crystals."""
    with quick_imports():
        from rich.console import Console

        from smoacs.runs import read_run
        from smoacs.runs.views import design_view, run_view

    run = read_run(folder)
    if number is None:
        view = run_view(run, sort=sort, everything=everything, limit=limit)
    else:
        view = design_view(run, number)
    # A program that reads the output wants whole lines, however long.
    Console(highlight=False, width=None if sys.stdout.isatty() else 1000).print(view)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that --out named.")],
) -> None:
    """Write report.html of a run again, with all that has joined its table since.

    One page to look at the candidates in a browser. It needs no network.
    """
    with quick_imports():
        from smoacs.runs import write_report

    typer.echo(write_report(folder))
