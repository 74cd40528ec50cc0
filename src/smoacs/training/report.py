"""The report of a training: tables and plots for people, all numbers as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from smoacs.files import write_file
from smoacs.predictors.network import Network
from smoacs.predictors.properties import PROPERTIES
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.training.data.batches import Dataset
from smoacs.training.data.splits import SPLITS
from smoacs.training.fitting.evaluation import derivative_errors
from smoacs.training.fitting.metrics import errors_by_size, property_statistics

REPORT_FILE = "report.md"
_JSON_FILE = "report.json"
_CURVE_FILE = "learning_curve.png"
_LAST_SIZE = 10_000


@dataclass(frozen=True)
class Result:
    """What a training came to.

    Attributes:
        network: The ensemble.
        table: All data, split.
        test: The crystals that it is tested on.
        predicted: Its predictions for them, [n, properties].
        histories: Each member's validations.
    """

    network: Network
    table: pd.DataFrame
    test: Dataset
    predicted: NDArray[np.float64]
    histories: tuple[list[dict[str, float]], ...]


def write_report(folder: Path, header: WeightsHeader, result: Result) -> dict[str, Any]:
    """Write report.md, report.json and their plots into the folder; the text comes last.

    Returns:
        The numbers.
    """
    from smoacs.training.plots import plot_learning, plot_parity

    numbers = report_numbers(header, result)
    relaxed = ~result.test.off_equilibrium
    for k, (name, unit) in enumerate(header.properties.items()):
        known = relaxed & np.isfinite(result.test.labels[:, k])
        if known.any():
            plot_parity(
                result.test.labels[known, k],
                result.predicted[known, k],
                folder / _parity_file(name),
                label=_words(name),
                unit=unit,
                log=name in header.log10,
            )
    plot_learning(result.histories, dict(header.properties), folder / _CURVE_FILE)
    write_file(folder / _JSON_FILE, json.dumps(numbers, indent=1))
    write_file(folder / REPORT_FILE, report_text(numbers))
    return numbers


def report_numbers(header: WeightsHeader, result: Result) -> dict[str, Any]:
    """All numbers of the report."""
    train = result.table[result.table["split"] == "train"]
    properties = {}
    for k, (name, unit) in enumerate(header.properties.items()):
        middle = float(train[name].median())
        properties[name] = {
            "unit": unit,
            "test": property_statistics(result.test, result.predicted, k, middle)
            | {key: v for key, v in header.metrics[name].items() if key == "mae_log10"},
            "by_size": errors_by_size(result.test, result.predicted, k),
        }
    splits = {s: int((result.table["split"] == s).sum()) for s in SPLITS}
    return {
        "name": header.name,
        "members": header.settings.members,
        "elements": len(header.elements),
        "sources": list(header.training_data),
        "crystals": splits,
        "properties": properties,
        "derivatives": derivative_errors(result.network, result.test),
        "learning_curve": list(result.histories),
    }


def report_text(numbers: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    crystals = ", ".join(f"{s} {n}" for s, n in numbers["crystals"].items())
    lines = [
        f"# {numbers['name']}",
        "",
        f"Networks: {numbers['members']}. Crystals: {crystals}. Elements: {numbers['elements']}.",
        "",
        "Errors on crystals at rest of the test split. The guess is the training labels' median.",
        "",
        "| property | unit | crystals | mean abs. error | median | RMSE | R² | bias | guess |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, entry in numbers["properties"].items():
        test = entry["test"]
        keys = ("n", "mae", "median_error", "rmse", "r2", "bias", "mae_of_median_guess")
        cells = [f"{test[k]:.4g}" if k in test else "" for k in keys]
        lines.append(f"| {_words(name)} | {entry['unit']} | {' | '.join(cells)} |")
    for name, entry in numbers["properties"].items():
        if "mae_log10" in entry["test"]:
            error = entry["test"]["mae_log10"]
            lines += ["", f"Mean absolute error of log10({_words(name)}): {error:.4g}."]
    for name, unit in (("forces", "eV/Å"), ("stress", "GPa")):
        if name in numbers["derivatives"]:
            error = numbers["derivatives"][name]
            lines += ["", f"Mean absolute error of {name} (one component): {error:.4g} {unit}."]
    lines += _size_table(numbers["properties"])
    for name, entry in numbers["properties"].items():
        if entry["test"]:
            lines += ["", f"![{_words(name)}, predicted and given]({_parity_file(name)})"]
    lines += ["", "## Learning curve", "", f"![Validation errors]({_CURVE_FILE})", ""]
    lines += ["", f"All numbers are in [{_JSON_FILE}]({_JSON_FILE}).", ""]
    return "\n".join(lines)


def _size_table(properties: Mapping[str, Any]) -> list[str]:
    """Mean absolute errors by the crystals' number of atoms."""
    classes = sorted({(c["from"], c["to"]) for e in properties.values() for c in e["by_size"]})
    lines = ["", "## Errors by size", "", "Mean absolute error, and in brackets how many crystals."]
    lines += ["", f"| atoms | {' | '.join(map(_words, properties))} |"]
    lines += [f"| --- |{' --- |' * len(properties)}"]
    for low, high in classes:
        cells = []
        for entry in properties.values():
            found = next((c for c in entry["by_size"] if c["from"] == low), None)
            cells.append(f"{found['mae']:.4g} ({found['n']})" if found else "")
        words = f"{low} to {high}" if high < _LAST_SIZE else f"{low} or more"
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return lines


def _parity_file(name: str) -> str:
    return f"parity_{name}.png"


def _words(name: str) -> str:
    return PROPERTIES[name].label if name in PROPERTIES else name.replace("_", " ")
