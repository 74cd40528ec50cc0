"""`smoacs relax`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.bars import bars
from smoacs.commands.failures import EXIT_INPUT, say
from smoacs.commands.reading import Format, Strict, read_named
from smoacs.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from smoacs.predictors import Predictor
    from smoacs.relaxation import Relaxed
    from smoacs.structures import NamedStructure


def relax(  # noqa: PLR0913  (an option each)
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="CIF, POSCAR, extxyz (many frames) and other structure files."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; new.")],
    fmax: Annotated[float, typer.Option(help="Largest force at rest, eV/Å.")] = 0.05,
    max_steps: Annotated[int, typer.Option(help="Steps after which a structure stops.")] = 300,
    keep_symmetry: Annotated[
        bool, typer.Option("--keep-symmetry", help="Keep each structure's space group.")
    ] = False,
    fix_cell: Annotated[bool, typer.Option("--fix-cell", help="Move atoms only.")] = False,
    fix_atoms: Annotated[
        bool,
        typer.Option("--fix-atoms", help="Move cells only; fractional coordinates stay."),
    ] = False,
    predictor: Annotated[
        str | None,
        typer.Option(help="One of formation_energy (see `smoacs predictors`) or a weights file."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, or a torch device.")] = "auto",
    form: Format = None,
    strict: Strict = False,
) -> None:
    """Relax cells and positions on the predicted formation energy, all structures at once.

    Writes relaxed.csv (energies, steps, cells), relaxed.extxyz and structures/*.cif. Structures
    that are not at rest after the last step are written as they are and marked. Atoms that a file
    holds (selective dynamics, constraints) keep their fractional coordinates. A file that cannot
    be read is named and left out, and the exit code is 2.
    """
    from smoacs.judging import domain_note, evaluate_domain
    from smoacs.predictors import load_predictor
    from smoacs.relaxation import relax_structures
    from smoacs.runs import check_run_directory

    check_run_directory(out, force=False)
    named, code = read_named(files, form, strict=strict)
    loaded = load_predictor(predictor, device=device)
    named, code = _without_the_hopeless(named, loaded, strict=strict, code=code)
    structures = [item.structure for item in named]
    domain = evaluate_domain(structures, loaded)
    note = None if domain is None else domain_note(domain[1])
    if note is not None:
        typer.echo(f"smoacs: warning: {note}", err=True)
    with _bar() as progress:
        relaxed = relax_structures(
            structures,
            loaded,
            fmax=fmax,
            max_steps=max_steps,
            keep_symmetry=keep_symmetry,
            fix_cell=fix_cell,
            fix_atoms=fix_atoms,
            progress=progress,
        )
    _write(out, named, relaxed, domain)
    done = sum(item.converged for item in relaxed)
    typer.echo(f"{done} of {len(relaxed)} structures at rest; results in {out}: relaxed.csv")
    if code:
        raise typer.Exit(code)


def _without_the_hopeless(
    named: "list[NamedStructure]", predictor: "Predictor", *, strict: bool, code: int
) -> "tuple[list[NamedStructure], int]":
    """Leave out, and tell, what cannot be relaxed; the structures left and the exit code."""
    from smoacs.relaxation import relaxation_problem

    problems = [relaxation_problem(item.structure, predictor) for item in named]
    told = [f"{i.file}: structure {i.index} {p}" for i, p in zip(named, problems, strict=True) if p]
    if told and (strict or len(told) == len(named)):
        raise InputError(told[0])
    for sentence in told:
        say(f"error: {sentence}")
    left = [item for item, problem in zip(named, problems, strict=True) if not problem]
    return left, EXIT_INPUT if told else code


def _write(
    out: Path,
    named: "list[NamedStructure]",
    relaxed: "list[Relaxed]",
    domain: "tuple[NDArray[np.bool_], list[str]] | None",
) -> None:
    import ase.io
    import pandas as pd
    from pymatgen.io.ase import AseAtomsAdaptor

    from smoacs.judging import reduced_formula
    from smoacs.results import csv_text
    from smoacs.runs import run_directory
    from smoacs.structures import SELECTIVE_DYNAMICS, cif_text

    width = max(4, len(str(len(named))))
    rows, frames = [], []
    with run_directory(out, force=False) as folder:
        (folder / "structures").mkdir()
        for number, (before, after) in enumerate(zip(named, relaxed, strict=True), start=1):
            formula = reduced_formula(after.structure)
            file = f"structures/{number:0{width}d}_{formula}.cif"
            (folder / file).write_text(cif_text(after.structure), encoding="utf-8")
            lattice = after.structure.lattice
            row = {
                "file": before.file,
                "index": before.index,
                "formula": formula,
                "converged": after.converged,
                "steps": after.steps,
                "formation_energy_before": after.energy_before,
                "formation_energy": after.energy,
                "max_force": after.max_force,
                "volume_change": lattice.volume / before.structure.lattice.volume - 1,
            }
            row |= dict(
                zip(
                    ("a", "b", "c", "alpha", "beta", "gamma"),
                    map(float, lattice.parameters),
                    strict=True,
                )
            )
            rows.append(row | {"structure_file": file})
            bare = after.structure.copy()
            if SELECTIVE_DYNAMICS in bare.site_properties:  # ASE holds whole atoms only
                bare.remove_site_property(SELECTIVE_DYNAMICS)
            atoms = AseAtomsAdaptor.get_atoms(bare)
            atoms.info = {key: row[key] for key in ("formula", "converged", "formation_energy")}
            frames.append(atoms)
        table = pd.DataFrame(rows)
        if domain is not None:
            table["in_domain"], table["domain_warning"] = domain
        (folder / "relaxed.csv").write_text(csv_text(table), encoding="utf-8")
        ase.io.write(folder / "relaxed.extxyz", frames, format="extxyz")


@contextmanager
def _bar() -> "Iterator[Callable[[int, int], None] | None]":
    """Give a callback that moves a progress bar; None where nobody watches."""
    with bars() as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("at rest", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
