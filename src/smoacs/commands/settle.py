"""`smoacs settle`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.bars import bars
from smoacs.commands.failures import say
from smoacs.commands.reading import Format, Strict, read_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from smoacs.relaxation import Settled
    from smoacs.structures import NamedStructure


def settle(  # noqa: PLR0913  (an option each)
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", help="CIF, POSCAR, extxyz (many frames) and other structure files."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; new.")],
    supercell: Annotated[
        float, typer.Option(help="Least length of supercells for vibrations, Å.")
    ] = 7.5,
    starts: Annotated[int, typer.Option(help="Free relaxations of an unstable crystal.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the random displacements.")] = 0,
    predictor: Annotated[
        str | None,
        typer.Option(help="One of formation_energy (see `smoacs predictors`) or a weights file."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, or a torch device.")] = "auto",
    form: Format = None,
    strict: Strict = False,
) -> None:
    """Let crystals of high symmetry go to a minimum of the predicted formation energy.

    Each is relaxed in its own symmetry; unstable vibrations are looked for in a supercell, followed
    and relaxed freely, and the lowest end is kept in its smallest, symmetric cell. Writes
    settled.csv (energies, frequencies, space groups) and structures/*.cif. A crystal that cannot
    be settled has the reason in the table. A file that cannot be read is named and left out, and
    the exit code is 2.
    """
    from smoacs.judging import domain_note, evaluate_domain
    from smoacs.predictors import load_predictor
    from smoacs.relaxation import SettleSettings
    from smoacs.relaxation import settle as let_go
    from smoacs.runs import check_run_directory

    check_run_directory(out, force=False)
    settings = SettleSettings(supercell=supercell, starts=starts, seed=seed)
    named, code = read_named(files, form, strict=strict)
    loaded = load_predictor(predictor, device=device)
    with _bar() as progress:
        settled = let_go(
            [item.structure for item in named], loaded, settings=settings, progress=progress
        )
    ends = [item.structure for item in settled if item.structure is not None]
    domain = evaluate_domain(ends, loaded)
    note = None if domain is None else domain_note(domain[1])
    if note is not None:
        typer.echo(f"smoacs: warning: {note}", err=True)
    for before, after in zip(named, settled, strict=True):
        if after.failure:
            say(f"error: {before.file}: structure {before.index} {after.failure}")
    _write(out, named, settled, domain)
    stable = sum(item.lowest_frequency >= settings.threshold for item in settled)
    typer.echo(
        f"{len(ends)} of {len(settled)} structures settled, {stable} of them at a minimum; "
        f"results in {out}: settled.csv"
    )
    if code:
        raise typer.Exit(code)


def _write(
    out: Path,
    named: "list[NamedStructure]",
    settled: "list[Settled]",
    domain: "tuple[NDArray[np.bool_], list[str]] | None",
) -> None:
    import pandas as pd

    from smoacs.judging import reduced_formula
    from smoacs.results import csv_text
    from smoacs.runs import run_directory
    from smoacs.structures import cif_text

    width = max(4, len(str(len(named))))
    rows: list[dict[str, object]] = []
    told = iter(zip(*domain, strict=True)) if domain is not None else None
    with run_directory(out, force=False) as folder:
        (folder / "structures").mkdir()
        for number, (before, after) in enumerate(zip(named, settled, strict=True), start=1):
            row: dict[str, object] = {
                "file": before.file,
                "index": before.index,
                "formula": reduced_formula(before.structure),
                "converged": after.converged,
                "formation_energy": after.energy,
                "parent_formation_energy": after.parent_energy,
                "energy_gain": after.energy_gain,
                "lowest_frequency": after.lowest_frequency,
                "parent_frequency": after.parent_frequency,
                "space_group": after.space_group,
                "parent_space_group": after.parent_space_group,
                "failure": after.failure,
            }
            if after.structure is not None:
                file = f"structures/{number:0{width}d}_{row['formula']}.cif"
                (folder / file).write_text(cif_text(after.structure), encoding="utf-8")
                row |= {"n_atoms": len(after.structure), "structure_file": file}
                if told is not None:
                    row |= dict(zip(("in_domain", "domain_warning"), next(told), strict=True))
            rows.append(row)
        (folder / "settled.csv").write_text(csv_text(pd.DataFrame(rows)), encoding="utf-8")


@contextmanager
def _bar() -> "Iterator[Callable[[int, int], None] | None]":
    """Give a callback that moves a progress bar; None where nobody watches."""
    with bars() as bar:
        if bar is None:
            yield None
            return
        task = bar.add_task("settling", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
