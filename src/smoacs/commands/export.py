"""`smoacs export`: designs as input of other programs."""

from pathlib import Path
from typing import Annotated

import typer

from smoacs.commands.options import quick_imports


def export(
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    to: Annotated[str, typer.Option(help="vasp, qe, gpaw, cif, poscar or extxyz.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A new folder [beside the run, such as DIR-vasp]."),
    ] = None,
    ids: Annotated[
        str | None, typer.Option("--id", help='These candidates, such as "3,17".')
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all/--success",
            help="All candidates, or one success for each distinct design [--success].",
            show_default=False,
        ),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="At most so many, the best first [all].")
    ] = None,
    pseudo_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pseudopotentials, for qe [names such as Ti.upf, in ../pseudo]."
        ),
    ] = None,
) -> None:
    """Write designs as structure files, or as input to run with VASP, Quantum ESPRESSO or GPAW.

    Nothing is replaced. designs.csv in the new folder says what the designs are.
    """
    with quick_imports():
        from smoacs.errors import InputError
        from smoacs.export import export_designs

    chosen = None if ids is None else [part for part in ids.replace(",", " ").split() if part]
    if chosen is not None and (everything or not chosen):
        raise InputError('give either --id with numbers, such as --id "3,17", or --all')
    written = export_designs(
        folder,
        to,
        out=out,
        ids=chosen,
        everything=everything,
        limit=limit,
        pseudo_dir=pseudo_dir,
    )
    n = (written / "designs.csv").read_text(encoding="utf-8").count("\n") - 1
    typer.echo(f"{n} {'design' if n == 1 else 'designs'} in {written}")
