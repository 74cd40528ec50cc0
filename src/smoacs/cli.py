"""The command line: parse, call, print.

Everything heavy (torch, pymatgen) is imported by the command that needs it.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.assignments import read_assignments
from smoacs.commands.check import check, check_and_tell
from smoacs.commands.export import export
from smoacs.commands.failures import give_up_output, prepare_streams, tell_failure, tell_interrupted
from smoacs.commands.judge import judge
from smoacs.commands.learn import learn
from smoacs.commands.listing import predictors, templates
from smoacs.commands.options import (
    DEVICE_HELP,
    Assignments,
    Conservative,
    Counts,
    Elements,
    Forbidden,
    Frozen,
    MaxElements,
    MinDistance,
    Mixed,
    PredictorName,
    Repeat,
    Required,
    Rest,
    Same,
    Sites,
    Symmetry,
    Targets,
    quick_imports,
)
from smoacs.commands.order import order
from smoacs.commands.outcome import EXIT_INTERRUPTED, announced, progress_bar, tell_results
from smoacs.commands.predict import predict
from smoacs.commands.relax import relax
from smoacs.commands.resume import resume
from smoacs.commands.settle import settle
from smoacs.commands.show import report, show
from smoacs.errors import InputError
from smoacs.interrupt import ending_signals

if TYPE_CHECKING:
    from smoacs.request import DesignConfig

app = typer.Typer(
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _example(*commands: str) -> str:
    """End of a command's help: lines to paste, marked for click to keep as they are."""
    return "\b\nFor example:\n" + "\n".join(f"  {command}" for command in commands)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"smoacs {version('smoacs')}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Design crystals that have several wanted properties at once (arXiv:2410.08562)."""


@app.command(
    epilog=_example(
        'smoacs design perovskite --out run1 -n 8 -t "band_gap = 2.5 +- 0.2" '
        '-t "formation_energy < -0.5"',
        "smoacs design run1/config.toml --out run2",
    )
)
def design(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A TOML file of settings, the name of a template (see `smoacs templates`), or a "
            "structure file.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    target: Targets = None,
    n: Annotated[int | None, typer.Option("-n", help="Candidates [256].")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimisation steps [200].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all random numbers [0].")] = None,
    repeat: Repeat = None,
    preset: Annotated[str | None, typer.Option(help="default or paper [default].")] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="gradient, exhaustive (every composition), or auto: for crystals at rest every "
            "composition, or the most promising ones, where the budget of candidates times steps "
            "allows it [auto]."
        ),
    ] = None,
    pareto: Annotated[
        bool | None,
        typer.Option(
            "--pareto/--no-pareto",
            help="Spread along the front of targets to maximize or minimize [if two or more].",
        ),
    ] = None,
    rest: Rest = None,
    conservative: Conservative = None,
    predictor: PredictorName = None,
    elements: Elements = None,
    forbid: Forbidden = None,
    site: Sites = None,
    require: Required = None,
    count: Counts = None,
    mixed: Mixed = None,
    max_elements: MaxElements = None,
    same: Same = None,
    symmetry: Symmetry = None,
    frozen: Frozen = None,
    min_distance: MinDistance = None,
    device: Annotated[str | None, typer.Option(help=DEVICE_HELP)] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Candidates worked on at the same time [automatic].")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            help="ASE database that gets the results, too: postgresql://user@host/name or a "
            ".db file."
        ),
    ] = None,
    assignments: Assignments = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run.")] = False,
    check_designs: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Relax the successes at the end, as `smoacs check --no-rattled --no-phonons`.",
        ),
    ] = False,
) -> None:
    """Design crystals and write a run directory.

    Exit code 1 if no candidate succeeds, or with --check none survives (the results are written
    all the same).
    """
    with quick_imports():
        from smoacs.runs import check_run_directory, execute

    check_run_directory(out, force=force)
    if check_designs:
        from smoacs.checking import CheckSettings, load_potential

        load_potential()  # what is not installed is better known before the work begins
    changes = {
        "targets": tuple(target) if target else None,
        "n": n,
        "steps": steps,
        "seed": seed,
        "repeat": repeat,
        "preset": preset,
        "search": search,
        "pareto": pareto,
        "rest": rest,
        "conservative": conservative,
        "predictor": predictor,
        "elements": elements,
        "forbidden": forbid,
        "sites": site or None,
        "required": require or None,
        "counts": count or None,
        "mixed": mixed,
        "max_elements": max_elements or None,
        "same": same or None,
        "symmetry": symmetry,
        "frozen": frozen,
        "min_distance": min_distance,
        "device": device,
        "batch_size": batch_size,
        "database": database,
    }
    given = {k: v for k, v in changes.items() if v is not None}
    config = _design_config(source, given, assignments or ())
    with announced() as told, progress_bar() as progress:
        execute(config, out, force=force, progress=progress)
    code = tell_results(out, told)
    if check_designs and not code:
        code = check_and_tell(out, CheckSettings(rattled=False, phonons=False))
    if code:
        raise typer.Exit(code)


app.command(epilog=_example("smoacs resume run1"))(resume)
app.command(epilog=_example("smoacs relax SrTiO3.cif POSCAR --out relaxed"))(relax)
app.command(epilog=_example("smoacs settle SrTiO3.cif --out settled"))(settle)
app.command(epilog=_example("smoacs order disordered.cif --out ordered"))(order)
app.command(epilog=_example("smoacs report run1"))(report)
app.command(epilog=_example("smoacs show run1", "smoacs show run1 3"))(show)
app.command(epilog=_example("smoacs learn learn.toml --rounds 3 --per-round 24 --workers 2"))(learn)
app.command(
    epilog=_example("smoacs check run1 --limit 1", "smoacs check run1 --dft gpaw --random 5")
)(check)
app.command(
    epilog=_example(
        "smoacs export run1 --to vasp", "smoacs export run1 --to cif --id 1,2 --out best"
    )
)(export)


app.command(
    epilog=_example(
        'smoacs judge run1/structures/*.cif -t "band_gap = 2.5 +- 0.2" --template perovskite',
        "smoacs judge run1/structures/*.cif --rules run1/config.toml",
        "smoacs judge run1/structures/*.cif --benchmark perovskite-2.5",
    )
)(judge)
app.command(epilog=_example("smoacs predict SrTiO3.cif POSCAR frames.extxyz"))(predict)


@app.command(epilog=_example("smoacs train training.toml"))
def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML file with the settings of the training.")
    ],
) -> None:
    """Train the weights of a predictor on your own data (docs/training.md).

    Prints the weights file, which --predictor takes; a report lies beside it. An interrupted
    training goes on when the same command is given again.
    """
    from smoacs.training import train_from_config

    typer.echo(train_from_config(config))


app.command(epilog=_example("smoacs predictors"))(predictors)
app.command(epilog=_example("smoacs templates"))(templates)


def main() -> None:
    """Run the command line; the console script `smoacs`."""
    try:
        prepare_streams()
    except InputError as error:
        sys.exit(tell_failure(error))
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and turn every expected failure into one line on standard error.

    Returns:
        The exit code: 0 done, 1 no candidate succeeded, 2 the user's mistake, 3 out of memory or
        disk, 128 and the number of the signal that ended it (130 for Ctrl-C).
    """
    try:
        with ending_signals():
            code = app(
                args=list(arguments) or ["--help"], prog_name="smoacs", standalone_mode=False
            )
            sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        give_up_output()
        code = 1
    except Exception as error:  # noqa: BLE001 - a bug is raised again
        code = tell_failure(error)
    return tell_interrupted() if code == EXIT_INTERRUPTED else int(code or 0)


def _design_config(
    source: str, given: Mapping[str, object], assignments: Sequence[str]
) -> "DesignConfig":
    from smoacs.request import DesignConfig

    is_file = source.lower().endswith(".toml")
    settings = dict(given) if is_file else {"template": source, **given}
    settings |= read_assignments(assignments, settings)
    if is_file:
        return DesignConfig.from_toml(source, settings)
    if "targets" not in settings:
        raise InputError('nothing to aim at: give at least one --target "band_gap = 2.5 ± 0.2"')
    return DesignConfig.from_mapping(settings)
