"""A run directory read back: its settings, table and structures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.files import clear_leftovers
from smoacs.request import DesignConfig
from smoacs.results import Column, read_table, saved_columns
from smoacs.runs.short_forms import html, line
from smoacs.structures import Frames
from smoacs.targets import Targets

_NEEDED = (
    "id",
    "formula",
    "space_group",
    "oxidation_states",
    "structure_file",
    "success",
    "unique",
)


@dataclass(frozen=True, repr=False)
class SavedRun:
    """What a finished run left behind.

    Attributes:
        path: The run directory.
        config: Its settings.
        table: results.csv, best first, as `smoacs.results.read_table` reads it.
        summary: summary.json.
    """

    path: Path
    config: DesignConfig
    table: pd.DataFrame
    summary: dict[str, Any]

    def __repr__(self) -> str:
        """One line instead of the whole table."""
        return line("SavedRun", self.table, where=str(self.path))

    def _repr_html_(self) -> str:
        """What a notebook shows: the best candidates."""
        names = [target.property for target in self.targets]
        return html(repr(self), self.table, names)

    @property
    def targets(self) -> Targets:
        """What was asked for."""
        return self.config.wanted

    @cached_property
    def structures(self) -> dict[str, Structure]:
        """The crystals by id, with oxidation states; those that are not finite are left out.

        Raises:
            InputError: The file is damaged or does not belong to the table.
        """
        return self.crystals(self.table["id"][self.table["structure_file"] != ""].tolist())

    def crystals(self, ids: Sequence[str]) -> dict[str, Structure]:
        """Some crystals by id, as `structures` has all of them; no others are read.

        Args:
            ids: As they stand in the table; those that are not finite are left out.

        Raises:
            InputError: The file is damaged or does not belong to the table.
        """
        there = self.table[self.table["structure_file"] != ""]
        frame = {name: number for number, name in enumerate(there["id"])}
        chosen = [name for name in ids if name in frame]
        if not chosen:
            return {}
        file = self.path / "structures.extxyz"
        frames = Frames(file)
        found = frames.read([frame[name] for name in chosen]) if len(frames) == len(frame) else []
        formulas = dict(zip(there["id"], there["formula"], strict=True))
        if [formulas[name] for name in chosen] != [s.reduced_formula for s in found]:
            raise InputError(
                f"{file} does not hold the crystals of results.csv; write the run again"
            )
        return dict(zip(chosen, found, strict=True))

    @cached_property
    def columns(self) -> dict[str, Column]:
        """What each column of the table is."""
        return saved_columns(self.summary, self.table.columns)

    def row(self, number: int | str) -> "pd.Series[Any]":
        """The row of a candidate.

        Args:
            number: Its id, with or without the zeros in front.

        Raises:
            InputError: There is no such candidate.
        """
        found = self.table[self.table["id"].str.lstrip("0") == str(number).strip().lstrip("0")]
        if found.empty:
            raise InputError(
                f"{self.path} has no candidate {str(number)!r}; "
                f"its ids go from {self.table['id'].iloc[0]} to {self.table['id'].max()}"
            )
        return found.iloc[0]

    def select(
        self,
        *,
        ids: Sequence[int | str] | None = None,
        everything: bool = False,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Choose candidates, best first or in the order of `ids`.

        Args:
            ids: These and no others.
            everything: All candidates, in place of one success for each distinct design.
            limit: At most so many.

        Raises:
            InputError: An id does not exist, or the limit is less than 1.
        """
        if limit is not None and limit < 1:
            raise InputError(f"a limit of {limit} candidates leaves nothing; it is at least 1")
        if ids is not None:
            chosen = self.table.loc[list(dict.fromkeys(self.row(i).name for i in ids))]
        elif everything:
            chosen = self.table
        else:
            chosen = self.table[self.table["unique"]]
        return chosen if limit is None else chosen.head(limit)


def read_run(path: str | Path) -> SavedRun:
    """Read a run directory.

    Raises:
        InputError: It is no run directory, or a file in it is missing or damaged.
    """
    path = Path(path)
    clear_leftovers(path)  # a check that was killed may have left some of its files to be moved
    if not (path / "results.csv").is_file():
        raise InputError(
            f"{path} is no run directory: it holds no results.csv; "
            "name the folder that was given to `smoacs design --out`"
        )
    config = DesignConfig.from_toml(path / "config.toml")
    table = read_table(path / "results.csv", _NEEDED)
    if table.empty:
        raise InputError(f"{path / 'results.csv'}: is damaged: it has no row")
    return SavedRun(path, config, table, read_summary(path))


def read_summary(path: Path) -> dict[str, Any]:
    """Read summary.json of a run directory.

    Raises:
        InputError: It is missing or damaged.
    """
    file = path / "summary.json"
    try:
        summary = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: cannot be read ({reason})") from error
    if not isinstance(summary, dict):
        raise InputError(f"{file}: is no summary of a run")
    return summary
