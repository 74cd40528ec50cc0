"""`smoacs report`."""

from pathlib import Path
from typing import Annotated

import typer

from smoacs.commands.imports import quick_imports


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that --out named.")],
) -> None:
    """Write report.html of a run again, with all that has joined its table since.

    One page to look at the candidates in a browser. It needs no network.
    """
    with quick_imports():
        from smoacs.runs import write_report

    typer.echo(write_report(folder))
