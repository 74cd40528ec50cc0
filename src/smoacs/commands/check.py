"""`smoacs check`: a run's designs against what took no part in making them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.bars import bars
from smoacs.commands.options import quick_imports
from smoacs.commands.outcome import EXIT_NO_SUCCESS

if TYPE_CHECKING:
    from rich.progress import TaskID

    from smoacs.checking import CheckSettings


def check(  # noqa: PLR0913  (one argument per option)
    *,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    potential: Annotated[
        str,
        typer.Option(
            help="Relaxes the designs: sevennet:l3i5, sevennet:0, chgnet, diep, nequix:FILE, "
            "module:factory (returns an ASE calculator), or none; auto is sevennet:l3i5 where it "
            "is installed, or else chgnet."
        ),
    ] = "auto",
    rattled: Annotated[
        bool,
        typer.Option(
            "--rattled/--no-rattled",
            help="Let each design go from a rattled supercell, free of symmetry.",
        ),
    ] = True,
    gap_tolerance: Annotated[
        float,
        typer.Option(help="eV that the gap predicted where it ends may be off its target."),
    ] = 0.4,
    phonons: Annotated[
        bool | None,
        typer.Option(
            "--phonons/--no-phonons",
            help="Look for unstable phonons, in a supercell; done by default.",
            show_default=False,
        ),
    ] = None,
    phonon_length: Annotated[
        float, typer.Option(help="Å that each vector of that supercell reaches.")
    ] = 7.5,
    phonon_mesh: Annotated[
        int,
        typer.Option(metavar="N", help="And on an N×N×N mesh of the whole zone; 0 for none."),
    ] = 0,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Known compounds: .json, .csv, .parquet, an ASE database or an OPTIMADE address.",
        ),
    ] = None,
    dft: Annotated[
        str | None,
        typer.Option(
            metavar="ENGINE",
            help="First principles: gpaw, vasp, espresso, or module:function (takes a "
            "smoacs.dft.Calculation, returns an ASE calculator).",
        ),
    ] = None,
    dft_tolerance: Annotated[
        float, typer.Option(help="eV that a calculated band gap may be off its target.")
    ] = 0.5,
    dft_relaxed: Annotated[
        bool,
        typer.Option("--dft-relaxed", help="First principles on the relaxed crystals, instead."),
    ] = False,
    workers: Annotated[int, typer.Option(help="First-principles calculations at a time.")] = 1,
    limit: Annotated[
        int | None, typer.Option(help="Only so many distinct successes, the best.")
    ] = None,
    random: Annotated[
        int | None, typer.Option(help="Only so many of those, drawn at random.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of that draw.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Forget what was found before and find it again.")
    ] = False,
) -> None:
    """Check the successes of a run by what took no part in designing them.

    The columns join results.csv and the report. What is found is kept at once: a check that was
    killed goes on where it was. Exit code 1 if no design survives relaxation.
    """
    with quick_imports():
        from smoacs.checking import CheckSettings, PhononSettings, RattleSettings

    settings = CheckSettings(
        potential=potential,
        rattled=rattled,
        rattle=RattleSettings(gap_tolerance=gap_tolerance),
        phonons=phonons,
        phonon=PhononSettings(length=phonon_length, mesh=phonon_mesh),
        reference=reference,
        dft=dft,
        dft_tolerance=dft_tolerance,
        dft_relaxed=dft_relaxed,
        workers=workers,
        limit=limit,
        sample=random,
        seed=seed,
    )
    code = check_and_tell(folder, settings, force=force)
    if code:
        raise typer.Exit(code)


def check_and_tell(folder: Path, settings: "CheckSettings", *, force: bool = False) -> int:
    """Check a run, print what was found and return the exit code."""
    from smoacs.runs import checks_text, run_checks

    with _bar() as progress:
        checked = run_checks(folder, settings, force=force, progress=progress)
    typer.echo(checks_text(checked.checks, folder))
    lost = settings.relaxes and not checked.checks["relaxation"]["survives_relaxation"]
    return EXIT_NO_SUCCESS if lost else 0


@contextmanager
def _bar() -> "Iterator[Callable[[str, int, int], None] | None]":
    """Give a callback that moves a progress bar; None where nobody watches."""
    with bars() as bar:
        if bar is None:
            yield None
            return
        tasks: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield show
