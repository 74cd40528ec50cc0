"""results.csv and summary.json: the judge's verdicts, best first, and their rates."""

import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from smoacs.judging import first_successes
from smoacs.predictors import SPREAD_SUFFIX
from smoacs.results import Column, criteria, summary_columns
from smoacs.search import DesignResult
from smoacs.targets import Targets


def rank_table(table: pd.DataFrame, targets: Targets) -> pd.DataFrame:
    """Sort the judge's table best first and number the rows.

    Successes come first, those on the front of conflicting targets before others; structures that
    are not finite come last. Rows that meet more criteria come first, then those with less loss,
    then those nearer to the hull, if that is predicted; ties keep their order.

    Args:
        table: The judge's table, a row for each candidate.
        targets: The losses to sort by.

    Returns:
        The sorted table with the columns of results.csv (`id` first, `structure_file` last). Its
        index is the number of the candidate in the table given.
    """
    names = {target.property for target in targets}
    values = {
        name: torch.from_numpy(table[name].to_numpy(float, copy=True))
        for name in names | {name + SPREAD_SUFFIX for name in names}
        if name in table
    }
    loss = np.zeros(len(table))
    for part in targets.losses(values, lambda target, value: target.loss(value)):
        loss += part.numpy()
    keys = pd.DataFrame(
        {
            "failed": ~table["success"],
            "front": table.get("pareto", 0),
            "broken": ~np.isfinite(table["min_distance"]),
            "missed": -table[criteria(table)].sum(axis=1),
            "loss": np.nan_to_num(loss, nan=np.inf, posinf=np.inf, neginf=np.inf),
            "above_hull": table.get("energy_above_hull", 0.0),
        },
        index=table.index,
    )
    order = keys.sort_values(keys.columns.tolist(), kind="stable").index
    ranked = table.loc[order].copy()
    ranked["design"] = renumbered(ranked["design"])
    ranked["unique"] = first_successes(ranked)
    width = max(4, len(str(len(ranked))))
    ranked.insert(0, "id", [f"{rank:0{width}d}" for rank in range(1, len(ranked) + 1)])
    ranked["structure_file"] = [
        f"structures/{name}_{formula}.cif" if np.isfinite(distance) else ""
        for name, formula, distance in zip(
            ranked["id"], ranked["formula"], ranked["min_distance"], strict=True
        )
    ]
    if "parent_space_group" in ranked:
        ranked["settled_from"] = [
            f"structures/parents/{name}_{formula}.cif" if parent else ""
            for name, formula, parent in zip(
                ranked["id"], ranked["formula"], ranked["parent_space_group"], strict=True
            )
        ]
    return ranked


def renumbered(designs: "pd.Series[int]") -> "pd.Series[int]":
    """Numbers of designs in the order of the rows; 0 stays for what failed."""
    numbers = {number: rank for rank, number in enumerate(designs[designs > 0].unique(), start=1)}
    return designs.map({0: 0, **numbers}).astype("int64")


def summarise(
    ranked: pd.DataFrame, result: DesignResult, columns: Iterable[Column] = ()
) -> dict[str, object]:
    """Rates of each criterion over all candidates, what was run, and where the time went.

    Args:
        ranked: See `rank_table`.
        result: What the design gave.
        columns: What the columns of the table are.
    """
    n = len(ranked)
    return {
        "n": n,
        "wanted": result.config.n,
        "found": int(ranked["unique"].sum()),
        "success_rate": _rate(ranked["success"]),
        "unique_success_rate": _rate(ranked["unique"]),
        "met_rates": {name.removesuffix("_met"): _rate(ranked[name]) for name in criteria(ranked)},
        "neutral_rate": _rate(ranked["neutral"]),
        "non_finite": int((~np.isfinite(ranked["min_distance"])).sum()),
        "interrupted": result.interrupted,
        "site_labels": list(result.template.site_labels),
        "search": dict(result.search),
        "skipped_seeds": list(result.skipped_seeds),
        "steps": result.steps,
        "predictor_calls": result.predictor_calls,
        "seconds": round(result.timings.get("total", sum(result.timings.values())), 3),
        "timings": {stage: round(seconds, 3) for stage, seconds in result.timings.items()},
        "seed": result.config.seed,
        "columns": summary_columns(columns),
        "config": result.config.model_dump(mode="json"),
        "versions": versions(),
    }


def json_text(data: Mapping[str, object]) -> str:
    """Write readable JSON."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def summary_text(summary: Mapping[str, Any], out: Path) -> str:
    """Write the few lines that a user wants to see at the end of a run."""
    n = summary["n"]
    distinct = round(summary["unique_success_rate"] * n)
    wanted = summary["config"]["n"]
    found = f"{distinct} found of {wanted} wanted"
    if distinct < wanted and not summary.get("interrupted"):
        found += " and no more within the budget"
    successes = round(summary["success_rate"] * n)
    lines = [f"{found}: {distinct} distinct designs; {successes} of {n} candidates succeed"]
    lines += _completeness(summary)
    width = max(map(len, summary["met_rates"]))
    lines += [f"  {name:<{width}}  {rate:7.1%}" for name, rate in summary["met_rates"].items()]
    lines += [
        f"  {entry['name']} is that of {entry['scale']}"
        for entry in summary.get("columns", ())
        if entry["scale"] and entry["name"] in summary["met_rates"]
    ]
    if summary["non_finite"]:
        lines.append(f"  {summary['non_finite']} candidates are not finite (ranked last)")
    stages = sorted(
        (item for item in summary["timings"].items() if item[0] != "total"), key=lambda i: -i[1]
    )
    times = ", ".join(f"{stage.replace('_', ' ')} {seconds:.1f} s" for stage, seconds in stages)
    lines.append(f"{summary['seconds']:.1f} s: {times}")
    lines.append(f"results in {out}: report.html (open it in a browser), results.csv, structures/")
    return "\n".join(lines)


def _completeness(summary: Mapping[str, Any]) -> list[str]:
    """What an exhaustive search went through, and what of it is in the results."""
    search = summary.get("search", {})
    if "let_go" in search:
        line = (
            f"  {search['let_go']:,} of {search['candidates']:,} candidates were let go, "
            f"{search['at_a_minimum']:,} ended at a minimum as crystals of their kind, "
            f"{search['met_at_minimum']:,} meet the targets there"
        )
        return [line]
    if search.get("method") != "exhaustive":
        return []
    line = (
        f"  {search['decorations']:,} decorations, {search['relaxed']:,} relaxed, "
        f"{search.get('given_up', 0):,} given up as too far from the targets, "
        + (f"{search['not_looked_at']:,} not looked at, " if search.get("not_looked_at") else "")
        + f"{search['successes']:,} succeed with {search['distinct_successes']:,} formulas"
    )
    seen = search["relaxed"] + search.get("given_up", 0)
    if search["successes"] > summary["n"] and seen == search["possible_by_composition"]:
        line += f"; the best {summary['n']} are here, -n {search['successes']} gives all"
    elif not search["successes"]:
        line += f"; here are the {summary['n']} nearest misses"
    return [line]


def versions() -> dict[str, str]:
    """Versions of what the numbers of a run depend on."""
    found = {"python": platform.python_version()}
    for package in ("smoacs", "torch", "pymatgen"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _rate(column: "pd.Series[bool]") -> float:
    return float(column.mean()) if len(column) else 0.0
