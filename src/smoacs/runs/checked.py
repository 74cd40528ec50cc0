"""The table of a run that gains the columns of its checks, and its files written anew."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.files import write_file
from smoacs.results import (
    Column,
    cell_text,
    column,
    counted,
    csv_text,
    read_cells,
    saved_columns,
    summary_columns,
)
from smoacs.runs.database import DATABASE_FILE, check_designs_db, refresh_designs_db
from smoacs.runs.page import write_report
from smoacs.runs.saved import SavedRun, read_run
from smoacs.runs.tables import json_text
from smoacs.structures import bare, to_atoms

RELAXED_FILE = "relaxed.extxyz"
"""The relaxed crystals, by id."""

SUCCESS_CHECKED = "success_checked"
"""Column: whether a candidate succeeds and survives relaxation; empty where that is not known."""

_FAILURES = {"refused": "refused", "failed": "failed"}
"""Designs that a check could say nothing about; told where there are any."""


class CheckedTable:
    """results.csv as text, cell by cell: what the design wrote keeps its digits.

    Columns join by the name of their check. A check with other settings than the last time replaces
    that check's columns; with the same settings it adds designs.
    """

    def __init__(self, run: SavedRun) -> None:
        """Take a run as it was read.

        Raises:
            InputError: A file that the findings are to join is damaged.
        """
        self._path = run.path
        file = run.path / "results.csv"
        self._cells = read_cells(file)
        self._cells.index = pd.Index(self._cells["id"])
        self._summary = run.summary
        self.checks: dict[str, Any] = dict(run.summary.get("checks", {}))
        check_designs_db(run.path, self._cells["id"])
        self._relaxed = _read_relaxed(run.path / RELAXED_FILE)

    def join(
        self,
        check: str,
        ids: Sequence[str],
        columns: pd.DataFrame,
        settings: Mapping[str, object],
        *,
        seconds: float = 0.0,
    ) -> None:
        """Add what a check found.

        Args:
            check: Its name.
            ids: The designs.
            columns: A row for each of them.
            settings: What the findings depend on.
            seconds: How long it took.
        """
        plain = json.loads(json.dumps(settings))
        before = self.checks.get(check, {})
        if before.get("settings") != plain:
            gone = [name for name in before.get("columns", ()) if name in self._cells]
            self._cells = self._cells.drop(columns=gone)
            if check == "relaxation":
                self._relaxed = {}
        for name in columns:
            if name not in self._cells:
                self._cells[name] = ""
            texts = [cell_text(value) for value in columns[name]]
            self._cells.loc[list(ids), name] = np.array(texts, dtype=object)
        self._judge()
        self.checks[check] = {
            "settings": plain,
            "columns": list(columns.columns),
            "seconds": round(seconds, 3),
            **self._counts(check, columns.columns.tolist()),
        }

    def keep_relaxed(self, structures: Mapping[str, Structure]) -> None:
        """Keep relaxed crystals, by id, for `RELAXED_FILE`."""
        for name, structure in structures.items():
            self._relaxed[name] = to_atoms(bare(structure), {"design": f"id-{name}"})

    def save(self) -> None:
        """Write the files anew, each as a whole: crystals, table, summary, database, report.

        Raises:
            InputError: The folder may not be written.
            ResourceError: The disk is full.
        """
        self._save_relaxed()
        write_file(self._path / "results.csv", csv_text(self._cells))
        columns = saved_columns(self._summary, self._cells.columns) | self._calculated()
        summary = {
            **self._summary,
            "columns": summary_columns(columns.values()),
            "checks": self.checks,
        }
        write_file(self._path / "summary.json", json_text(summary))
        if (self._path / DATABASE_FILE).is_file():
            refresh_designs_db(self._path, read_run(self._path).table)
        write_report(self._path)

    def _calculated(self) -> dict[str, Column]:
        """Columns of calculated gaps, with the functional that they were calculated with."""
        if "dft" not in self.checks:
            return {}
        asked = self.checks["dft"]["settings"]
        physics = asked["settings"]
        plus = " and PBE+U" if physics["hubbard_u"] == "materials-project" else ""
        scale = f"{physics['functional']}{plus} ({asked['engine']})"
        gaps = ("dft_band_gap", "dft_band_gap_direct")
        return {name: replace(column(name), scale=scale) for name in gaps}

    def _save_relaxed(self) -> None:
        if self._relaxed:
            buffer = StringIO()
            order = [name for name in self._cells["id"] if name in self._relaxed]
            ase.io.write(buffer, [self._relaxed[name] for name in order], format="extxyz")
            write_file(self._path / RELAXED_FILE, buffer.getvalue())

    def _judge(self) -> None:
        """Bring the column `success_checked` up to date."""
        if "survives_relaxation" not in self._cells:
            return
        survives = self._cells["survives_relaxation"]
        success = self._cells["success"] == "True"
        self._cells[SUCCESS_CHECKED] = survives.where(success, "False")

    def _counts(self, check: str, columns: Iterable[str]) -> dict[str, object]:
        """How many designs went through a check, and how many have each of its verdicts."""
        names = [name for name in columns if name in self._cells]
        filled = (self._cells[names] != "").any(axis=1)
        counts: dict[str, object] = {"designs": int(filled.sum())}
        for name in counted(check):
            if name in self._cells:
                counts[name] = int((self._cells[name] == "True").sum())
        if check == "dft":
            counts["failed"] = int((filled & (self._cells["dft_status"] != "ok")).sum())
        if check == "relaxation":
            counts["refused"] = int((self._cells["relaxed_failure"] != "").sum())
            checked = int(((self._cells["success"] == "True") & filled).sum())
            survivors = int((self._cells[SUCCESS_CHECKED] == "True").sum())
            counts["survival_rate"] = survivors / checked if checked else 0.0
        return counts


def checks_text(checks: Mapping[str, Any], path: Path) -> str:
    """Write the few lines that a user wants to see after the checks."""
    return "\n".join([*checks_lines(checks), f"columns in {path}: results.csv, report.html"])


def checks_lines(checks: Mapping[str, Any]) -> list[str]:
    """A line for each check: how many designs went through it, and what it found."""
    lines = []
    for name, found in checks.items():
        verdicts = ", ".join(
            f"{found[verdict]} {words}"
            for verdict, words in (counted(name) | _FAILURES).items()
            if verdict in found and (found[verdict] or verdict not in _FAILURES)
        )
        by = found["settings"].get("potential") or found["settings"].get("engine") or ""
        label = f"{name} ({by})" if by else name
        n = found["designs"]
        designs = "1 design" if n == 1 else f"{n} designs"
        counts = f": {verdicts}" if verdicts else ""
        lines.append(f"{label}, {designs}{counts} ({found['seconds']:.1f} s)")
        if name == "dft" and not found["settings"]["confirms"]:
            lines.append("  the run has no window or bound of band_gap, so nothing to confirm")
    return lines


def _read_relaxed(file: Path) -> dict[str, ase.Atoms]:
    """Relaxed crystals of an earlier check, by id.

    Raises:
        InputError: The file is damaged.
    """
    if not file.is_file() or not file.stat().st_size:
        return {}
    try:
        frames = ase.io.read(file, index=":", format="extxyz")
        return {str(atoms.info["design"]).removeprefix("id-"): atoms for atoms in frames}
    except Exception as error:  # parsers raise whatever they like
        reason = " ".join(str(error).split())
        raise InputError(
            f"{file}: is damaged ({reason}); remove it, and the next check writes it anew"
        ) from error
