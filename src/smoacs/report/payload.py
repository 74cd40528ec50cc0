"""Everything that a report shows, read from a run directory into plain data."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from smoacs.errors import InputError
from smoacs.report.asked import settings_asked
from smoacs.report.columns import Cell, PageColumn, cells, describe
from smoacs.report.movement import movement
from smoacs.report.packed import pack, read_frames
from smoacs.results import Column, Kind, column, kind_of, read_table, saved_columns
from smoacs.targets import Target

_NEEDED = ("results.csv", "summary.json", "structures.extxyz", "history.parquet")
_COLUMNS = ("success", "unique", "structure_file")


def build_payload(folder: Path) -> dict[str, object]:
    """Read a run directory.

    Args:
        folder: With results.csv, summary.json, structures.extxyz and history.parquet; results.csv
            may have columns that later checks have added.

    Returns:
        Plain data for JSON, as the page's scripts expect it: `title`, `facts`, `targets`,
        `settings`, `columns`, `rows`, `criteria`, `further`, `history`, and the crystals (see
        `smoacs.report.packed.pack`).

    Raises:
        InputError: The folder is no run directory, or a file in it is damaged.
    """
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise InputError(
                f"{folder} is no run directory: {name} is missing; name a folder that "
                "`smoacs design --out` made"
            )
    table = read_table(folder / "results.csv", _COLUMNS)
    values = {str(name): cells(table[name]) for name in table}
    kinds = {str(name): kind_of(table[name]) for name in table}
    try:
        name = "history.parquet"
        history = movement(pd.read_parquet(folder / name))
        name = "structures.extxyz"
        frames = read_frames(folder / name)
        name = "summary.json"
        summary = json.loads((folder / name).read_text(encoding="utf-8"))
        targets = [Target.parse(text) for text in summary["config"]["targets"]]
        return _payload(summary, kinds, values, targets) | {
            "history": history,
            **pack(
                (frames.get(str(name)) for name in values["structure_file"]),
                _site_labels(summary),
            ),
        }
    except (KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{folder / name}: is damaged, or of another run ({reason})") from error


def _payload(
    summary: Mapping[str, Any],
    kinds: Mapping[str, Kind],
    values: Mapping[str, list[Cell]],
    targets: Sequence[Target],
) -> dict[str, object]:
    targeted = list(dict.fromkeys(target.property for target in targets))
    known = saved_columns(summary, [*kinds, *targeted])
    columns = describe(kinds, known, targeted)
    keys = [item.key for item in columns]
    keys += [item.std for item in columns if item.std]
    required = [f"{n}_met" if f"{n}_met" in kinds else n for n in summary["met_rates"]]
    required = [name for name in required if name in kinds]
    wishes = "; ".join(_words(target, known) for target in targets)
    return {
        "title": f"{summary['config']['template']}: {wishes}",
        "facts": _facts(summary, values),
        "targets": [_target(target, known) for target in targets],
        "settings": _settings(summary, [known[name] for name in targeted]),
        "columns": [dataclasses.asdict(item) for item in columns],
        "keys": keys,
        "rows": [list(row) for row in zip(*(values[key] for key in keys), strict=True)],
        "criteria": _criteria(required, values),
        "further": _further(columns, required, values),
    }


def _words(target: Target, known: Mapping[str, Column]) -> str:
    """Write a target in words, with the unit: "2.3 ≤ band gap ≤ 2.7 eV"."""
    wanted = known[target.property]
    text = str(target).replace(wanted.name, wanted.label).replace("<=", "≤").replace(">=", "≥")
    text = text.replace("-", "−")
    return f"{text} {wanted.unit}".rstrip() if not target.direction else text


def _bounds(target: Target) -> str:
    """Write what is wanted of a value that stands beside it: "2.3 to 2.7" or "< −0.5"."""
    if target.direction:
        return "as high as possible" if target.direction > 0 else "as low as possible"
    low, high = (f"{value:.6g}".replace("-", "−") for value in (target.low, target.high))
    if math.isinf(target.high):
        return f"{'>' if target.low_open else '≥'} {low}"
    if math.isinf(target.low):
        return f"{'<' if target.high_open else '≤'} {high}"
    return f"{low} to {high}"


def _target(target: Target, known: Mapping[str, Column]) -> dict[str, object]:
    wanted = known[target.property]
    return {
        "property": target.property,
        "label": wanted.label,
        "unit": wanted.unit,
        "text": _words(target, known),
        "short": _bounds(target),
        "low": target.low if math.isfinite(target.low) else None,
        "high": target.high if math.isfinite(target.high) else None,
        "direction": target.direction,
    }


def _facts(summary: Mapping[str, Any], values: Mapping[str, list[Cell]]) -> list[dict[str, str]]:
    """The numbers that a reader wants first."""
    n = len(values["success"])
    good = sum(value is True for value in values["success"])
    distinct = sum(value is True for value in values["unique"])
    wanted = summary["config"]["n"]
    seconds = float(summary["seconds"])
    calculated = [value for value in values.get("confirmed", []) if value is not None]
    confirmed = sum(value is True for value in calculated)
    truth = {
        "value": f"{confirmed} of {len(calculated)}",
        "label": "calculated designs are confirmed by DFT",
    }
    steps = summary["steps"]
    search = f"{steps} steps" if steps > 1 else "the search"
    return [
        {"value": f"{distinct} of {wanted}", "label": "wanted designs found, all distinct"},
        {"value": f"{good / n:.1%}" if n else "–", "label": f"succeed: {good} of {n} candidates"},
        *([truth] if calculated else []),
        {"value": f"{summary['predictor_calls']:,}", "label": "predictor calls"},
        {"value": f"{seconds:.0f} s", "label": f"for {search} and the judging"},
    ]


def _settings(summary: Mapping[str, Any], targeted: Sequence[Column]) -> list[list[str]]:
    """What was asked apart from the targets, as pairs of words."""
    config, versions = summary["config"], summary["versions"]
    times = summary["timings"].items()
    repeat = config["repeat"]
    rows = [
        ("template", config["template"]),
        ("cell", f"{repeat}×{repeat}×{repeat} cells of the template" if repeat > 1 else "one cell"),
        ("predictor", "" if config["predictor"] else "default"),
        *settings_asked(config),
        ("scale", "; ".join(f"{c.label}: {c.scale}" for c in targeted if c.scale)),
        ("candidates", str(summary["n"])),
        ("steps", str(summary["steps"])),
        ("seed", str(summary["seed"])),
        ("how", str(summary.get("search", {}).get("note", ""))),
        ("seeds left out", str(len(summary.get("skipped_seeds", ())) or "")),
        ("time", ", ".join(f"{name} {float(value):.1f} s" for name, value in times)),
        ("stopped", "before its end" if summary.get("interrupted") else ""),
        ("not finite", str(summary["non_finite"] or "")),
        ("versions", ", ".join(f"{name} {number}" for name, number in versions.items())),
    ]
    return [[name, value] for name, value in rows if value]


def _criteria(required: Sequence[str], values: Mapping[str, list[Cell]]) -> list[dict[str, object]]:
    """For each criterion of success how many candidates pass, and how many miss nothing else."""
    verdicts = np.array([[v is True for v in values[name]] for name in required], dtype=bool)
    misses = (~verdicts).sum(axis=0)
    return [
        {
            "key": name,
            "label": column(name).label,
            "passed": int(row.sum()),
            "known": len(row),
            "only": int(((~row) & (misses == 1)).sum()),
        }
        for name, row in zip(required, verdicts, strict=True)
    ]


def _further(
    columns: Sequence[PageColumn], required: Sequence[str], values: Mapping[str, list[Cell]]
) -> list[dict[str, object]]:
    """Verdicts that are no part of success, counted among the successes that have one."""
    rows: list[dict[str, object]] = []
    for item in columns:
        if item.kind != "flag" or item.key in {"success", *required}:
            continue
        known = [
            value
            for value, success in zip(values[item.key], values["success"], strict=True)
            if success and value is not None
        ]
        passed = sum(value is True for value in known)
        rows.append({"key": item.key, "label": item.label, "passed": passed, "known": len(known)})
    return rows


def _site_labels(summary: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Kinds of the template's sites; runs of older versions do not tell them."""
    labels = summary.get("site_labels")
    return tuple(labels) if labels else None
