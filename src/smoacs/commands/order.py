"""`smoacs order`: ordered crystals for those with partially occupied sites."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.failures import EXIT_INPUT, say
from smoacs.commands.options import Files, quick_imports
from smoacs.commands.reading import Format, Strict, read_named
from smoacs.errors import InputError

if TYPE_CHECKING:
    from smoacs.structures import NamedStructure
    from smoacs.structures.ordering import Ordered


def order(
    *,
    files: Files,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; new.")],
    n: Annotated[int, typer.Option("-n", help="Candidates for each structure, at most.")] = 10,
    max_atoms: Annotated[int, typer.Option(help="Atoms of a candidate, at most.")] = 64,
    form: Format = None,
    strict: Strict = False,
) -> None:
    """Make ordered crystals of those with partially occupied sites, lowest Ewald energy first.

    Writes ordered.csv and structures/*.cif. Occupancies become whole atoms in the smallest
    supercell that allows it; composition_error says how far off the composition is.
    """
    with quick_imports():
        from smoacs.runs import check_run_directory
        from smoacs.structures.ordering import order as order_structure

    check_run_directory(out, force=False)
    named, code = read_named(files, form, strict=strict, ordered=False)
    found: list[tuple[NamedStructure, Ordered]] = []
    for item in named:
        try:
            candidates = order_structure(item.structure, n=n, max_atoms=max_atoms)
        except InputError as error:
            if strict or len(named) == 1:
                raise InputError(f"{item.file}: structure {item.index}: {error}") from None
            say(f"error: {item.file}: structure {item.index}: {error}")
            code = EXIT_INPUT
            continue
        found += [(item, candidate) for candidate in candidates]
    if not found:
        raise InputError("none of the structures can be ordered")
    _write(out, found)
    typer.echo(f"{len(found)} ordered crystals in {out}: ordered.csv")
    if code:
        raise typer.Exit(code)


def _write(out: Path, found: "list[tuple[NamedStructure, Ordered]]") -> None:
    import pandas as pd

    from smoacs.judging import reduced_formula, space_group
    from smoacs.results import csv_text
    from smoacs.runs import run_directory
    from smoacs.structures import cif_text

    rows = []
    width = max(4, len(str(len(found))))
    with run_directory(out, force=False) as folder:
        (folder / "structures").mkdir()
        for number, (item, candidate) in enumerate(found, start=1):
            structure = candidate.structure
            formula = reduced_formula(structure)
            file = f"structures/{number:0{width}d}_{formula}.cif"
            (folder / file).write_text(cif_text(structure), encoding="utf-8")
            rows.append(
                {
                    "file": item.file,
                    "index": item.index,
                    "formula": formula,
                    "n_atoms": len(structure),
                    "cells": candidate.cells,
                    "ewald_energy": candidate.ewald_energy,
                    "composition_error": candidate.composition_error,
                    "space_group": space_group(structure),
                    "structure_file": file,
                }
            )
        text = csv_text(pd.DataFrame(rows))
        (folder / "ordered.csv").write_text(text, encoding="utf-8")
