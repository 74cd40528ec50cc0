"""The section on what exists at rest and what of it a default run finds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.paper.summary import Value
from benchmarks.paper.tables import table

INTRODUCTION = """
## What exists, and what a default run of 256 finds

Few perovskites of five atoms are at rest with all targets met, so a share of n says little
about them. Here every composition that the masks and the tolerance factor admit was relaxed once to
the end ({relaxed:,} of them, {seconds:.0f} s): `exist` is how many distinct ones meet a task.
*Recall* is how many of these a default run finds, over all of them, or over n where more exist.
*Success* is the share of what the run returned; *holds* is the share of up to 20 of its designs,
drawn at random, that survive relaxation by CHGNet. Even a run that goes through all compositions
depends a little on the seed, as crystals stop just before or after the edge of a window: mean ±
standard deviation over {seeds} seeds. Again: `python -m benchmarks.recall --holds 20 --out {file}`.
"""

COLUMNS = {
    "distinct": ("designs", 0),
    "recall": ("recall", 2),
    "success": ("success", 2),
    "holds": ("holds", 2),
    "predictor_calls": ("calls", 0),
    "seconds": ("seconds", 0),
}


def existing(file: Path) -> str:
    """The section in Markdown, from the results of `python -m benchmarks.recall`."""
    if not file.is_file():
        return ""
    report = json.loads(file.read_text(encoding="utf-8"))
    enumeration = report["enumeration"]
    seeds = max((len(task["runs"]) for task in report["tasks"] if "runs" in task), default=0)
    text = INTRODUCTION.format(**enumeration, seeds=seeds, file=file.as_posix())
    head = ["task", "exist", *(words for words, _ in COLUMNS.values())]
    lines = [_line(task) for task in report["tasks"] if "runs" in task]
    return f"{text}\n{table(head, lines)}"


def _line(task: Mapping[str, Any]) -> list[str]:
    runs: Sequence[Mapping[str, Any]] = task["runs"]
    cells = [task["name"], str(task["exist"])]
    for name, (_, digits) in COLUMNS.items():
        values = [run[name] for run in runs if name in run]
        if name == "recall" and not task["exist"]:
            values = []
        value = Value.of(values)
        cells.append("" if value is None else value.text(digits))
    return cells
