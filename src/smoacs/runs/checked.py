"""The table of a run that gains the columns of its checks, and its files written anew."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.files import new_files
from smoacs.report import report_html
from smoacs.results import (
    Column,
    cell_text,
    column,
    counted,
    csv_text,
    read_cells,
    read_table,
    saved_columns,
    summary_columns,
)
from smoacs.runs.database import DATABASE_FILE, check_designs_db, refresh_designs_db
from smoacs.runs.saved import SavedRun
from smoacs.runs.tables import json_text
from smoacs.structures import bare, to_atoms

CRYSTALS = {"relaxation": "relaxed.extxyz", "rattled": "rattled.extxyz"}
"""Files of the crystals that a check ends with, by id."""

SUCCESS_CHECKED = "success_checked"
"""Column: whether a candidate succeeds and survives relaxation; empty where that is not known."""

_FAILURES = {"refused": "refused", "failed": "failed", "unknown": "not known"}
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
        self._ends = {check: _read_ends(run.path / name) for check, name in CRYSTALS.items()}

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
            if check in CRYSTALS:
                self._ends[check] = {}
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

    def keep_crystals(self, check: str, structures: Mapping[str, Structure]) -> None:
        """Keep the crystals that a check ends with, by id, for its file of `CRYSTALS`."""
        for name, structure in structures.items():
            self._ends[check][name] = to_atoms(bare(structure), {"design": f"id-{name}"})

    def save(self) -> None:
        """Write the files anew, together or not at all: crystals, table, summary, database, report.

        Raises:
            InputError: The folder may not be written.
            ResourceError: The disk is full; all files are the old ones.
        """
        with new_files(self._path) as new:
            self._save_crystals(new)
            (new / "results.csv").write_text(csv_text(self._cells), encoding="utf-8")
            (new / "summary.json").write_text(self._summary_text(), encoding="utf-8")
            if (self._path / DATABASE_FILE).is_file():
                table = read_table(new / "results.csv")
                refresh_designs_db(self._path, table, new / DATABASE_FILE)
            with _beside(new, self._path):
                page = report_html(new)
            (new / "report.html").write_text(page, encoding="utf-8")

    def _summary_text(self) -> str:
        columns = saved_columns(self._summary, self._cells.columns) | self._calculated()
        summary = {
            **self._summary,
            "columns": summary_columns(columns.values()),
            "checks": self.checks,
        }
        return json_text(summary)

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

    def _save_crystals(self, folder: Path) -> None:
        for check, crystals in self._ends.items():
            if crystals:
                buffer = StringIO()
                order = [name for name in self._cells["id"] if name in crystals]
                ase.io.write(buffer, [crystals[name] for name in order], format="extxyz")
                (folder / CRYSTALS[check]).write_text(buffer.getvalue(), encoding="utf-8")

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
        if check == "rattled":
            counts["refused"] = int((self._cells["rattled_failure"] != "").sum())
        if check == "phonons":
            counts["unknown"] = int((self._cells["phonon_failure"] != "").sum())
        if check == "relaxation":
            counts["refused"] = int((self._cells["relaxed_failure"] != "").sum())
            checked = int(((self._cells["success"] == "True") & filled).sum())
            survivors = int((self._cells[SUCCESS_CHECKED] == "True").sum())
            counts["survival_rate"] = survivors / checked if checked else 0.0
        return counts


@contextmanager
def _beside(new: Path, old: Path) -> Iterator[None]:
    """Let the files of a run that stay be seen beside those that are new."""
    links = [new / file.name for file in old.iterdir() if file.is_file()]
    links = [link for link in links if not link.exists()]
    for link in links:
        link.symlink_to(old.resolve() / link.name)
    try:
        yield
    finally:
        for link in links:
            link.unlink()


def checks_text(checks: Mapping[str, Any], path: Path) -> str:
    """Write the few lines that a user wants to see after the checks; the last sums them up."""
    lines = [*checks_lines(checks), f"columns in {path}: results.csv, report.html"]
    return "\n".join([*lines, *minima_lines(checks)])


_LAST = (
    ("phonons", "dynamically_stable", "is dynamically stable", "are dynamically stable"),
    ("rattled", "keeps_lattice", "keeps its lattice", "keep their lattice"),
    ("rattled", "keeps_targets", "keeps its targets", "keep their targets"),
)
"""What the last line counts: check, verdict, and the words for one design and for many."""


def minima_lines(checks: Mapping[str, Any]) -> list[str]:
    """How many of how many designs are at a minimum; nothing where no check has looked for that."""
    parts = []
    for check, verdict, one, many in _LAST:
        found = checks.get(check, {})
        if verdict in found and found["designs"]:
            words = one if found[verdict] == 1 else many
            parts.append(f"{found[verdict]} of {found['designs']} {words}")
    if not parts:
        return []
    left_out = "" if "phonons" in checks else "; phonons were not looked at"
    return [f"{', '.join(parts)}{left_out}"]


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


def _read_ends(file: Path) -> dict[str, ase.Atoms]:
    """Crystals that an earlier check ended with, by id.

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
