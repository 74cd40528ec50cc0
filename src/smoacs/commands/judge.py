"""`smoacs judge`."""

from pathlib import Path
from typing import Annotated

import typer

from smoacs.commands.bars import counted
from smoacs.commands.measure import measure_of, measure_of_row
from smoacs.commands.options import (
    DEVICE_HELP,
    Conservative,
    Counts,
    CsvFile,
    Elements,
    Files,
    Forbidden,
    MaxElements,
    PredictorName,
    Repeat,
    Required,
    Sites,
    Targets,
    emit,
    quick_imports,
)
from smoacs.commands.reading import Format, Strict, read_named
from smoacs.errors import InputError, short


def judge(  # noqa: PLR0913  (an option each)
    *,
    files: Files,
    target: Targets = None,
    template: Annotated[
        str | None,
        typer.Option(help="Kind of crystal to be kept: a template name or a structure file."),
    ] = None,
    repeat: Repeat = None,
    predictor: PredictorName = None,
    rest: Annotated[
        str,
        typer.Option(
            help="symmetry: only crystals at rest count, with small pressure and forces on the "
            "predicted energy; none: strained ones, too."
        ),
    ] = "none",
    conservative: Conservative = None,
    rules: Annotated[
        Path | None,
        typer.Option(
            help="TOML file, such as config.toml of a run, whose template must be kept and whose "
            "constraints must hold."
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            help="Row of the paper's tables whose criteria hold, instead of targets and template: "
            "tc-3, -5, -10, -15; wide-3.5, -4.0, -4.5, -5.0; perovskite-0.5, -2.5; 135-atoms-4.0, "
            "-5.0; hull-4.0, -4.5, -5.0; bulk-120, -160, -200."
        ),
    ] = None,
    elements: Elements = None,
    forbid: Forbidden = None,
    site: Sites = None,
    require: Required = None,
    count: Counts = None,
    max_elements: MaxElements = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "auto",
    out: CsvFile = None,
    form: Format = None,
    strict: Strict = False,
) -> None:
    """Judge structures from any source, criterion by criterion, as CSV.

    A file that cannot be read is named and left out, and the exit code is 2.
    """
    with quick_imports():
        import pandas as pd

        from smoacs.files import check_file
        from smoacs.judging import benchmark as benchmark_of
        from smoacs.judging import judge as judge_structures
        from smoacs.judging import known_formulas, standing
        from smoacs.predictors import load_predictor
        from smoacs.results import csv_text
        from smoacs.targets import Target

    if out is not None:
        check_file(out)
    if rest not in ("symmetry", "none"):
        raise InputError(
            f"rest = {short(repr(rest))} is not right: it must be 'symmetry' or 'none' (whether a "
            "crystal is at a minimum, smoacs check tells by its phonons)"
        )
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
    given = {k: v for k, v in asked.items() if v not in (None, [])}
    row = None if benchmark is None else benchmark_of(benchmark)
    if row is not None:
        _check_alone({"target": target, "rules": rules, **given})
        target, measure = list(row.targets), measure_of_row(row)
    else:
        measure = measure_of(rules, given)
    targets = [Target.parse(text) for text in target or ()]
    named, code = read_named(files, form, strict=strict)
    loaded = load_predictor(predictor, device=device)
    with counted("judging", len(named)) as tell:
        table = judge_structures(
            [item.structure for item in named],
            targets,
            predictor=loaded,
            template=measure.template,
            known_formulas=known_formulas(loaded),
            must_rest=rest == "symmetry",
            conservative=conservative or 0.0,
            table_of_states=measure.table_of_states,
            rules=measure.rules,
            progress=tell,
        )
    origin = pd.DataFrame({"file": [i.file for i in named], "index": [i.index for i in named]})
    emit(csv_text(pd.concat([origin, table], axis=1)), out)
    if row is not None:
        typer.echo(f"smoacs: {standing(row, table)}", err=True)
    if code:
        raise typer.Exit(code)


def _check_alone(criteria: dict[str, object]) -> None:
    """Refuse criteria beside those of a benchmark."""
    given = [name for name, value in criteria.items() if value]
    if given:
        raise InputError(
            f"--benchmark brings its own criteria, and {given[0]} is given as well: leave one out"
        )
