"""The command line: parse, call, print.

Everything heavy (torch, pymatgen) is imported by the command that needs it.
"""

import errno
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smoacs.commands.check import check, check_and_tell
from smoacs.commands.export import export
from smoacs.commands.learn import learn
from smoacs.commands.measure import measure_of
from smoacs.commands.outcome import EXIT_INTERRUPTED, progress_bar, tell_results
from smoacs.commands.relax import relax
from smoacs.commands.report import report
from smoacs.commands.resume import resume
from smoacs.commands.show import show
from smoacs.errors import InputError, ResourceError, SmoacsError, is_out_of_memory

if TYPE_CHECKING:
    from smoacs.search import DesignConfig

EXIT_INPUT = 2
EXIT_RESOURCES = 3

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_TARGET_HELP = (
    'What is wanted, for example "band_gap = 2.5 ± 0.2" (or +-), "formation_energy < -0.5", '
    '"0.8 <= tolerance_factor <= 1.0", "maximize bulk_modulus". Repeat for several.'
)
_PREDICTOR_HELP = (
    "A name (see `smoacs predictors`) or a weights file; the built-in one if left out."
)
_DEVICE_HELP = "auto, or a torch device."


def _example(*commands: str) -> str:
    """End of a command's help: lines to paste, marked for click to keep as they are."""
    return "\b\nFor example:\n" + "\n".join(f"  {command}" for command in commands)


Targets = Annotated[
    list[str] | None, typer.Option("--target", "-t", metavar="TARGET", help=_TARGET_HELP)
]
Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE", help="CIF, POSCAR, extxyz (many frames) and other structure files."
    ),
]
Conservative = Annotated[
    float | None,
    typer.Option(
        help="Standard deviations of the prediction by which targets must hold on the worse "
        "side [0]."
    ),
]
PredictorName = Annotated[str | None, typer.Option("--predictor", help=_PREDICTOR_HELP)]
Elements = Annotated[str | None, typer.Option(help='The only elements to use, such as "K,Mg,F".')]
Forbidden = Annotated[
    str | None,
    typer.Option("--forbid", help='Elements not to use, such as "Pb,Cd" or "no-toxic".'),
]
Sites = Annotated[
    list[str] | None,
    typer.Option("--site", help='The only elements of a kind of site, such as "A=K,Rb"; repeat.'),
]
Required = Annotated[
    list[str] | None,
    typer.Option(
        "--require", help='Element that must occur, such as Li, or "B=Fe" at a site; repeat.'
    ),
]
Counts = Annotated[
    list[str] | None,
    typer.Option("--count", help='Number of atoms of an element, such as "Li=2"; repeat.'),
]
MaxElements = Annotated[
    list[str] | None,
    typer.Option(help='Most elements at a kind of site, such as "A=1", or "all=4"; repeat.'),
]
CsvFile = Annotated[
    Path | None, typer.Option("--out", help="CSV file; standard output if left out.")
]


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
        'smoacs design perovskite --out run1 -n 64 -t "band_gap = 2.5 +- 0.2" '
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
    repeat: Annotated[
        int | None, typer.Option(help="Cells along each axis; 3 for 3×3×3 [1].")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="default or paper [default].")] = None,
    search: Annotated[
        str | None,
        typer.Option(
            help="gradient, exhaustive (every composition), or auto: exhaustive where it fits into "
            "the budget of candidates times steps [gradient]."
        ),
    ] = None,
    pareto: Annotated[
        bool | None,
        typer.Option(
            "--pareto/--no-pareto",
            help="Spread along the front of targets to maximize or minimize [if two or more].",
        ),
    ] = None,
    at_rest: Annotated[
        bool | None,
        typer.Option(
            "--at-rest/--any-lattice",
            help="Only crystals at a minimum of the predicted energy [any lattice].",
        ),
    ] = None,
    conservative: Conservative = None,
    predictor: PredictorName = None,
    elements: Elements = None,
    forbid: Forbidden = None,
    site: Sites = None,
    require: Required = None,
    count: Counts = None,
    max_elements: MaxElements = None,
    device: Annotated[str | None, typer.Option(help=_DEVICE_HELP)] = None,
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
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run.")] = False,
    check_designs: Annotated[
        bool,
        typer.Option(
            "--check", help="Relax the successes by CHGNet at the end, as `smoacs check` does."
        ),
    ] = False,
) -> None:
    """Design crystals and write a run directory.

    Exit code 1 if no candidate succeeds, or with --check none survives (the results are written
    all the same).
    """
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
        "at_rest": at_rest,
        "conservative": conservative,
        "predictor": predictor,
        "elements": elements,
        "forbidden": forbid,
        "sites": site or None,
        "required": require or None,
        "counts": count or None,
        "max_elements": max_elements or None,
        "device": device,
        "batch_size": batch_size,
        "database": database,
    }
    config = _design_config(source, {k: v for k, v in changes.items() if v is not None})
    with progress_bar() as progress:
        execute(config, out, force=force, progress=progress)
    code = tell_results(out)
    if check_designs and not code:
        code = check_and_tell(out, CheckSettings())
    if code:
        raise typer.Exit(code)


app.command(epilog=_example("smoacs resume run1"))(resume)
app.command(epilog=_example("smoacs relax SrTiO3.cif POSCAR --out relaxed"))(relax)
app.command(epilog=_example("smoacs report run1"))(report)
app.command(epilog=_example("smoacs show run1", "smoacs show run1 3"))(show)
app.command(epilog=_example("smoacs learn learn.toml --rounds 3 --per-round 24 --workers 2"))(learn)
app.command(epilog=_example("smoacs check run1", "smoacs check run1 --dft gpaw --random 5"))(check)
app.command(
    epilog=_example(
        "smoacs export run1 --to vasp", "smoacs export run1 --to cif --id 1,2 --out best"
    )
)(export)


@app.command(
    epilog=_example(
        'smoacs judge run1/structures/*.cif -t "band_gap = 2.5 +- 0.2" --template perovskite',
        "smoacs judge run1/structures/*.cif --rules run1/config.toml",
    )
)
def judge(
    *,
    files: Files,
    target: Targets = None,
    template: Annotated[
        str | None,
        typer.Option(help="Kind of crystal to be kept: a template name or a structure file."),
    ] = None,
    repeat: Annotated[
        int | None, typer.Option(help="Cells of the template along each axis [1].")
    ] = None,
    predictor: PredictorName = None,
    at_rest: Annotated[
        bool, typer.Option("--at-rest", help="Crystals must be at rest, too.")
    ] = False,
    conservative: Conservative = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="TOML file, such as config.toml of a run, whose template must be kept and whose "
            "constraints must hold."
        ),
    ] = None,
    elements: Elements = None,
    forbid: Forbidden = None,
    site: Sites = None,
    require: Required = None,
    count: Counts = None,
    max_elements: MaxElements = None,
    device: Annotated[str, typer.Option(help=_DEVICE_HELP)] = "auto",
    out: CsvFile = None,
) -> None:
    """Judge structures from any source, criterion by criterion, as CSV."""
    import pandas as pd

    from smoacs.judging import judge as judge_structures
    from smoacs.judging import known_formulas
    from smoacs.predictors import load_predictor
    from smoacs.runs import check_file, csv_text, read_structures
    from smoacs.targets import Target

    if out is not None:
        check_file(out)
    targets = [Target.parse(text) for text in target or ()]
    asked = {
        "template": template,
        "repeat": repeat,
        "elements": elements,
        "forbidden": forbid,
        "sites": site,
        "required": require,
        "counts": count,
        "max_elements": max_elements,
    }
    measure = measure_of(rules, {k: v for k, v in asked.items() if v not in (None, [])})
    named = read_structures(files)
    loaded = load_predictor(predictor, device=device)
    table = judge_structures(
        [item.structure for item in named],
        targets,
        predictor=loaded,
        template=measure.template,
        known_formulas=known_formulas(loaded),
        must_rest=at_rest,
        conservative=conservative or 0.0,
        table_of_states=measure.table_of_states,
        rules=measure.rules,
    )
    origin = pd.DataFrame({"file": [i.file for i in named], "index": [i.index for i in named]})
    _emit(csv_text(pd.concat([origin, table], axis=1)), out)


@app.command(epilog=_example("smoacs predict SrTiO3.cif POSCAR frames.extxyz"))
def predict(
    *,
    files: Files,
    predictor: PredictorName = None,
    device: Annotated[str, typer.Option(help=_DEVICE_HELP)] = "auto",
    out: CsvFile = None,
) -> None:
    """Predict the properties of structures, as CSV: file, index, formula and each property.

    Nothing is printed if any file cannot be read. A property is empty where a prediction would
    mean nothing: unknown elements, atoms on one spot.
    """
    import pandas as pd

    from smoacs.judging import (
        domain_note,
        evaluate_domain,
        evaluate_structures,
        reduced_formula,
    )
    from smoacs.predictors import load_predictor
    from smoacs.runs import check_file, csv_text, read_structures

    if out is not None:
        check_file(out)
    named = read_structures(files)
    structures = [item.structure for item in named]
    loaded = load_predictor(predictor, device=device)
    table = pd.DataFrame(
        {
            "file": [item.file for item in named],
            "index": [item.index for item in named],
            "formula": [reduced_formula(structure) for structure in structures],
            **evaluate_structures(structures, loaded),
        }
    )
    domain = evaluate_domain(structures, loaded)
    if domain is not None:
        table["in_domain"], table["domain_warning"] = domain
        note = domain_note(domain[1])
        if note is not None:
            typer.echo(f"smoacs: warning: {note}", err=True)
    _emit(csv_text(table), out)


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


@app.command(epilog=_example("smoacs predictors"))
def predictors() -> None:
    """List the installed predictors: properties, units, accuracy, elements."""
    from smoacs.runs import predictor_rows

    _print_rows(predictor_rows())


@app.command(epilog=_example("smoacs templates"))
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


def main() -> None:
    """Run the command line; the console script `smoacs`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command line and turn every expected failure into one line on standard error.

    Returns:
        The exit code: 0 done, 1 no candidate succeeded, 2 the user's mistake, 3 out of memory or
        disk, 130 interrupted.
    """
    try:
        code = app(args=list(arguments) or ["--help"], prog_name="smoacs", standalone_mode=False)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except Exception as error:
        failure = _failure(error)
        if failure is None:
            raise
        code, message = failure
        typer.echo(f"smoacs: error: {' '.join(message.split())}", err=True)
    if code == EXIT_INTERRUPTED:
        typer.echo("smoacs: interrupted", err=True)
    return code if isinstance(code, int) else 0


def _failure(error: Exception) -> tuple[int, str] | None:
    """Exit code and message of an expected failure; None for a bug."""
    failure = None
    if isinstance(error, typer.exceptions.TyperException):
        failure = EXIT_INPUT, f"{error.format_message().rstrip('.')} (see smoacs --help)"
    elif isinstance(error, SmoacsError):
        resources = isinstance(error, ResourceError)
        failure = EXIT_RESOURCES if resources else EXIT_INPUT, str(error)
    elif is_out_of_memory(error):
        failure = EXIT_RESOURCES, "out of memory; try fewer candidates at a time (--batch-size)"
    elif isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        failure = EXIT_RESOURCES, f"the disk is full ({error.filename or 'while writing'})"
    elif isinstance(error, OSError) and error.filename:
        failure = EXIT_INPUT, f"{error.filename}: {error.strerror}"
    return failure


def _design_config(source: str, changes: Mapping[str, object]) -> "DesignConfig":
    from smoacs.search import DesignConfig

    if source.lower().endswith(".toml"):
        return DesignConfig.from_toml(source, changes)
    if "targets" not in changes:
        raise InputError('nothing to aim at: give at least one --target "band_gap = 2.5 ± 0.2"')
    return DesignConfig.from_mapping({"template": source, **changes})


def _emit(text: str, out: Path | None) -> None:
    from smoacs.runs import write_file

    if out is None:
        typer.echo(text, nl=False)
    else:
        write_file(out, text)
