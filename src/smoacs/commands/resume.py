"""`smoacs resume`."""

from pathlib import Path
from typing import Annotated

import typer

from smoacs.commands.options import quick_imports
from smoacs.commands.outcome import announced, progress_bar, tell_results


def resume(
    out: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="What --out of `smoacs design` named, there or not."),
    ],
) -> None:
    """Go on with a design that was killed or interrupted.

    It ends with the results that it would have had. A complete run stays as it is.
    """
    with quick_imports():
        from smoacs.runs import resume as resume_run

    with announced() as told, progress_bar() as progress:
        written = resume_run(out, progress=progress)
    code = tell_results(written, told)  # not `out`: the working directory may have been replaced
    if code:
        raise typer.Exit(code)
