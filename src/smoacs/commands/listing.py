"""`smoacs predictors` and `smoacs templates`."""

import sys
from collections.abc import Sequence

import typer


def predictors() -> None:
    """List the installed predictors: properties, units, accuracy, elements."""
    from smoacs.runs import predictor_rows

    _print_rows(predictor_rows())


def templates() -> None:
    """List the templates: formula, sites, and the compound whose structure they have.

    Sites are those of one cell. A structure file is a template, too.
    """
    from smoacs.templates import template_rows

    _print_rows(template_rows())


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Print a heading and rows: as a table to people, with tabs to programs."""
    if not sys.stdout.isatty():
        typer.echo("\n".join("\t".join(row) for row in rows))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*rows[0], box=None)
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)
