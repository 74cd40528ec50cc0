"""`smoacs predict`."""

from typing import Annotated

import typer

from smoacs.commands.bars import counted
from smoacs.commands.options import DEVICE_HELP, CsvFile, Files, PredictorName, emit, quick_imports
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
        from smoacs.judging import AT_ONCE, domain_note, predicted
        from smoacs.predictors import load_predictor
        from smoacs.results import csv_text

    if out is not None:
        check_file(out)
    named, code = read_named(files, form, strict=strict)
    structures = [item.structure for item in named]
    loaded = load_predictor(predictor, device=device)
    parts = []
    with counted("predicting", len(named)) as tell:
        for begin in range(0, max(len(named), 1), AT_ONCE):
            parts.append(predicted(structures[begin : begin + AT_ONCE], loaded))
            tell(min(begin + AT_ONCE, len(named)))
    origin = pd.DataFrame({"file": [i.file for i in named], "index": [i.index for i in named]})
    table = pd.concat([origin, pd.concat(parts, ignore_index=True)], axis=1)
    if "domain_warning" in table:
        note = domain_note(table["domain_warning"].tolist())
        if note is not None:
            typer.echo(f"smoacs: warning: {note}", err=True)
    emit(csv_text(table), out)
    if code:
        raise typer.Exit(code)
