"""The structures of a run: a CIF file for each, and one extxyz file with all properties."""

from collections.abc import Sequence
from pathlib import Path

import ase
import ase.io
import pandas as pd
from pymatgen.core import Structure

from smoacs.results import LATTICE
from smoacs.structures import cif_text, to_atoms

_IN_THE_GEOMETRY = {"n_atoms", *LATTICE, "oxidation_states"}


def write_structures(
    folder: Path,
    ranked: pd.DataFrame,
    structures: Sequence[Structure],
    parents: Sequence[Structure] = (),
) -> None:
    """Write `structures/*.cif` and `structures.extxyz`, best first, and `structures/parents/*.cif`.

    The CIFs are symmetric conventional cells where the crystals have symmetry; the extxyz file has
    the cells as they were designed.

    Structures that are not finite have no `structure_file` and are left out.

    Args:
        folder: The run directory.
        ranked: The sorted table; its index numbers the structures.
        structures: The candidates in their own order.
        parents: Those that they settled from, likewise; empty where they did not.
    """
    (folder / "structures").mkdir()
    if parents:
        (folder / "structures" / "parents").mkdir()
        for number, name in zip(ranked.index, ranked["settled_from"], strict=True):
            if name:
                (folder / name).write_text(cif_text(parents[number]), encoding="utf-8")
    rows = ranked.drop(columns=[name for name in ranked if name in _IN_THE_GEOMETRY])
    frames = []
    for number, row in zip(rows.index, rows.to_dict("records"), strict=True):
        if row["structure_file"]:
            structure = structures[number]
            (folder / row["structure_file"]).write_text(cif_text(structure), encoding="utf-8")
            # extxyz has no empty text: the next entry would be read as its value
            frames.append(to_atoms(structure, {str(k): v for k, v in row.items() if v != ""}))
    with (folder / "structures.extxyz").open("w", encoding="utf-8") as file:
        if frames:
            ase.io.write(file, frames, format="extxyz")
