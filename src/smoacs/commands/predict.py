"""`smoacs predict`."""

from typing import Annotated

import typer

from smoacs.commands.imports import quick_imports
from smoacs.commands.options import DEVICE_HELP, CsvFile, Files, PredictorName, emit
from smoacs.commands.reading import Format, Strict, read_named


def predict(
    *,
    files: Files,
    predictor: PredictorName = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "auto",
    out: CsvFile = None,
    form: Format = None,
    strict: Strict = False,
) -> None:
    """Predict the properties of structures, as CSV: file, index, formula and each property.

    A file that cannot be read is named and left out, and the exit code is 2. A property is empty
    where a prediction would mean nothing: unknown elements, atoms on one spot.
    """
    with quick_imports():
        import pandas as pd

        from smoacs.files import check_file
        from smoacs.judging import (
            domain_note,
            evaluate_domain,
            evaluate_structures,
            reduced_formula,
        )
        from smoacs.predictors import load_predictor
        from smoacs.results import csv_text

    if out is not None:
        check_file(out)
    named, code = read_named(files, form, strict=strict)
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
    emit(csv_text(table), out)
    if code:
        raise typer.Exit(code)
