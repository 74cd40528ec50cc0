"""Everything that a run leaves behind, in one call."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from smoacs.files import user_path
from smoacs.results import csv_text, described
from smoacs.runs.crystal_files import write_structures
from smoacs.runs.database import run_key, write_designs_db
from smoacs.runs.directory import run_directory
from smoacs.runs.marker import mark_run
from smoacs.runs.page import write_first_report
from smoacs.runs.plots import plot_decorations, plot_history
from smoacs.runs.tables import json_text, rank_table, summarise
from smoacs.search import DesignResult


def save_run(
    result: DesignResult,
    table: pd.DataFrame,
    out: str | Path,
    *,
    force: bool,
    units: Mapping[str, str] | None = None,
    scales: Mapping[str, str] | None = None,
) -> Path:
    """Write a run directory: results, summary, structures, history and config.

    Args:
        result: What the design gave.
        table: The judge's verdicts on `result.structures`, in the same order.
        out: The folder; it appears complete or not at all.
        force: Whether an existing run is replaced.
        units: Of the predictor's properties.
        scales: What their values are; see `smoacs.predictors.property_scales`.

    Returns:
        The absolute path of the folder.

    Raises:
        InputError: The folder holds something, or cannot be written.
        ResourceError: The disk is full.
    """
    targets = result.config.wanted
    ranked = rank_table(table.reset_index(drop=True), targets)
    columns = described(ranked.columns, units or {}, scales or {})
    with run_directory(out, force=force) as folder:
        (folder / "config.toml").write_text(result.config.to_toml(), encoding="utf-8")
        results = csv_text(ranked)
        (folder / "results.csv").write_text(results, encoding="utf-8")
        summary = json_text(summarise(ranked, result, columns))
        (folder / "summary.json").write_text(summary, encoding="utf-8")
        write_structures(folder, ranked, result.structures, result.parents)
        write_designs_db(
            folder,
            ranked,
            result.structures,
            targets=[target.text or str(target) for target in targets],
            run_id=run_key(result.config, results),
        )
        if result.decorations is not None:
            everything = csv_text(result.decorations)
            (folder / "decorations.csv").write_text(everything, encoding="utf-8")
            plot_decorations(result.decorations, targets, folder / "decorations.png")
        else:
            plot_history(result.history, targets, folder / "history.png")
        result.history.to_parquet(folder / "history.parquet", index=False)
        write_first_report(folder)
        mark_run(folder)
    return user_path(out)
