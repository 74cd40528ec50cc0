"""Families of labels as lines of JSON, and which of them exist."""

import json
from pathlib import Path
from typing import Any, Final

import ase
import numpy as np
import pandas as pd
from ase.geometry import cellpar_to_cell
from families import Family
from relaxer import Frame

GPA: Final = 160.21766
"""GPa of 1 eV/Å³."""


def family_line(family: Family, seconds: float) -> dict[str, Any]:
    """Plain data of a family; energies in eV/atom, lengths in Å, forces in eV/Å, stress in GPa."""
    recipe = family.recipe
    return {
        "family": recipe.name,
        "formula": recipe.formula,
        "split": recipe.split,
        "kind": recipe.kind,
        "status": family.status,
        "dropped": family.dropped,
        "seconds": round(seconds, 2),
        "about": {key: _plain(value) for key, value in family.about.items()},
        "ends": [{key: _plain(value) for key, value in row.items()} for row in family.ends],
        "frames": [
            {"frame": kind, "way": way} | frame_row(frame) for kind, frame, way in family.frames
        ],
    }


def frame_row(frame: Frame) -> dict[str, Any]:
    """A labelled crystal in the training layout, forces and stress turned to the layout's axes."""
    atoms: ase.Atoms = frame.atoms
    parameters = atoms.cell.cellpar()
    turn = np.linalg.solve(atoms.cell.array, cellpar_to_cell(parameters))
    forces = frame.labels.forces @ turn
    stress = turn.T @ frame.labels.stress @ turn * GPA
    frac = atoms.get_scaled_positions(wrap=False) % 1.0
    return {
        "numbers": atoms.numbers.tolist(),
        "lattice": [round(float(x), 6) for x in parameters],
        "frac_coords": [round(float(x), 7) for x in frac.ravel()],
        "energy": round(frame.energy, 7),
        "forces": [float(f"{x:.5g}") for x in forces.ravel()],
        "stress": [float(f"{stress[i, j]:.5g}") for i, j in _VOIGT],
    }


_VOIGT: Final = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Lines of a file; one that a killed run left unfinished is cut off."""
    if not path.exists():
        return []
    text = path.read_text()
    if not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        path.write_text(text)
    return [json.loads(line) for line in text.splitlines()]


def done_names(stream: str, path: Path, shards: Path | None) -> set[str]:
    """Families of a stream that a file or the shards of a folder have."""
    done = {line["family"] for line in read_lines(path)}
    if shards is not None:
        for shard in sorted(shards.glob(f"{stream}-families-*.parquet")):
            done |= set(pd.read_parquet(shard, columns=["family"])["family"])
    return done


def _plain(value: Any) -> Any:  # noqa: ANN401 - a number or a word of any kind
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 7) if np.isfinite(value) else None
    return value
