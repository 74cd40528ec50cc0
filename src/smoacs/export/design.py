"""One design, as the writers get it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ase
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.export.safe import file_name, title
from smoacs.runs import SavedRun, read_run
from smoacs.structures import to_atoms


@dataclass(frozen=True)
class Design:
    """A crystal of a run.

    Attributes:
        id: Its id in the run.
        formula: Reduced formula.
        structure: The crystal, with oxidation states where the run has them.
    """

    id: str
    formula: str
    structure: Structure

    @property
    def name(self) -> str:
        """Name of its file or folder."""
        return file_name(f"{self.id}_{self.formula}")

    @property
    def title(self) -> str:
        """What to call it in a comment."""
        return title(f"{self.formula}, design {self.id}")

    def atoms(self) -> ase.Atoms:
        """Make ASE's atoms, with the oxidation states as an array."""
        return to_atoms(self.structure)


def choose_designs(
    run: str | Path | SavedRun,
    *,
    ids: Sequence[int | str] | None = None,
    everything: bool = False,
    limit: int | None = None,
) -> list[Design]:
    """Choose designs of a run: one success for each distinct design, unless asked otherwise.

    Args:
        run: A run directory, or one that was read.
        ids: These and no others, in this order.
        everything: All candidates that are crystals.
        limit: At most so many, the best first.

    Raises:
        InputError: It is no run, an id is not in it or is not a crystal, or nothing is left.
    """
    run = run if isinstance(run, SavedRun) else read_run(run)
    rows = run.select(ids=ids, everything=everything)
    finite = rows["structure_file"] != ""
    if ids is not None and not finite.all():
        raise InputError(
            f"candidate {rows['id'][~finite].iloc[0]} of {run.path} is no crystal: its numbers "
            "are not finite"
        )
    rows = rows[finite]
    if rows.empty:
        raise InputError(
            f"no candidate of {run.path} succeeded; choose some (--id 1,2) or take all (--all)"
        )
    if limit is not None:
        if limit < 1:
            raise InputError(f"a limit of {limit} designs leaves nothing; it is at least 1")
        rows = rows.head(limit)
    crystals = run.crystals(rows["id"].tolist())
    designs = [
        Design(str(number), str(formula), crystals[number])
        for number, formula in zip(rows["id"], rows["formula"], strict=True)
    ]
    if len({design.name for design in designs}) < len(designs):
        raise InputError(f"{run.path}: results.csv is damaged: two candidates have the same id")
    return designs
