"""The training layout: one row for each crystal, and what must be true of a row.

Columns: `numbers` (atomic numbers), `frac_coords` (flat, row-major), `lattice` (a, b, c in Å, then
angles in degrees), one column for each label. Optional: `split` (train / val / test), `formula`,
`material_id`, `kind` ("relaxed" or anything else), and `forces` (flat, eV/Å) and `stress` (GPa;
nine numbers, or six as xx, yy, zz, yz, xz, xy), each positive where ASE has it positive: a
positive stress is the energy's growth with strain, over the volume, so a crystal that is stretched
too far has it. Cartesian axes are those of ASE's `cellpar_to_cell`: a along x, b in the xy plane.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from ase.geometry import cellpar_to_cell
from numpy.typing import ArrayLike, NDArray
from pymatgen.core import Composition, Structure
from vesin import NeighborList as VesinList

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.errors import InputError

LABEL_COLUMNS = {
    "formation_energy": "formation_energy_per_atom",
    "band_gap": "band_gap",
    "energy_above_hull": "energy_above_hull",
    "bulk_modulus": "bulk_modulus_vrh",
    "shear_modulus": "shear_modulus_vrh",
    "critical_temperature": "tc",
}
"""Property -> its usual column, where the file has none of the property's own name."""

RELAXED = "relaxed"
"""The `kind` of a crystal at rest; all others count as away from equilibrium."""

MIN_DISTANCE = 0.2
"""Atoms closer than this (Å) are on one spot."""

_SEARCH_RADIUS = 2.0
"""Atoms on one spot are looked for among pairs this close (Å): a finder for a radius much smaller
than the cell takes far longer."""

MIN_VOLUME = 0.1
"""Cells smaller than this (Å³) are flat."""

_HALF_TURN = 180.0

VOIGT = np.array([0, 5, 4, 5, 1, 3, 4, 3, 2])
"""Place of each of the nine components of a symmetric tensor among the six of Voigt's order."""


def label_columns(
    present: Iterable[str], properties: tuple[str, ...], chosen: Mapping[str, str], origin: str
) -> dict[str, str]:
    """Column of each property that a table has labels for.

    Args:
        present: The table's columns.
        properties: The properties wanted.
        chosen: Property -> column as the user says.
        origin: The table, in words, for the error.

    Raises:
        InputError: If a chosen column is missing, or there is a column for none of the properties.
    """
    names = list(present)
    found = {}
    for name in properties:
        wanted = [chosen[name]] if name in chosen else [name, LABEL_COLUMNS.get(name, name)]
        column = next((c for c in wanted if c in names), None)
        if column is not None:
            found[name] = column
        elif name in chosen:
            raise InputError(
                f"{origin} has no column {chosen[name]!r} (for {name}); it has {', '.join(names)}"
            )
    if not found:
        raise InputError(
            f"{origin} has a label column for none of {', '.join(properties)}; "
            "say which columns they are, such as columns = { band_gap = 'gap' }"
        )
    return found


def layout_row(
    structure: Structure, *, forces: ArrayLike | None = None, stress: ArrayLike | None = None
) -> dict[str, Any]:
    """Write a crystal as a row of the layout, its forces and stress turned to the layout's axes.

    Args:
        structure: An ordered crystal.
        forces: eV/Å, [n, 3], along the structure's own axes.
        stress: GPa, [3, 3], same axes; positive where the energy grows with strain.
    """
    parameters = np.array(structure.lattice.parameters)
    row: dict[str, Any] = {
        "formula": structure.composition.reduced_formula,
        "n_atoms": len(structure),
        "numbers": np.array([site.specie.Z for site in structure], dtype=np.uint8),
        "frac_coords": (structure.frac_coords % 1.0).astype(np.float32).ravel(),
        "lattice": parameters.astype(np.float32),
    }
    turn = np.linalg.solve(structure.lattice.matrix, cellpar_to_cell(parameters))
    if forces is not None:
        row["forces"] = (np.asarray(forces, dtype=float) @ turn).astype(np.float32).ravel()
    if stress is not None:
        turned = turn.T @ np.asarray(stress, dtype=float) @ turn
        row["stress"] = (0.5 * (turned + turned.T)).astype(np.float32).ravel()
    return row


def add_formulas(rows: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `formula` of reduced formulas, if it has none."""
    if "formula" in rows.columns:
        return rows
    formulas = [
        Composition.from_dict(_counts(numbers)).reduced_formula for numbers in rows["numbers"]
    ]
    return rows.assign(formula=formulas)


def _counts(numbers: ArrayLike) -> dict[str, int]:
    kinds, counts = np.unique(np.asarray(numbers, dtype=int), return_counts=True)
    return {ELEMENTS[z - 1]: int(n) for z, n in zip(kinds, counts, strict=True)}


def check_crystals(rows: pd.DataFrame, origin: str) -> None:
    """Refuse rows that are no crystals.

    Args:
        rows: In the training layout.
        origin: Where they come from, for the error.

    Raises:
        InputError: If a column is missing, or a row has an unknown element, a lattice that is
            none, atoms on one spot, or lists that do not fit the number of atoms.
    """
    missing = [c for c in ("numbers", "frac_coords", "lattice") if c not in rows.columns]
    if missing:
        raise InputError(f"{origin} lacks the column(s) {', '.join(missing)}")
    finder = VesinList(cutoff=_SEARCH_RADIUS, full_list=False)
    names = rows["material_id"] if "material_id" in rows.columns else pd.Series(range(len(rows)))
    columns = [rows[c] for c in ("numbers", "frac_coords", "lattice")]
    for k, (name, *values) in enumerate(zip(names, *columns, strict=True)):
        problem = _problem(finder, *values)
        if problem is not None:
            raise InputError(f"{origin}, row {k} ({name}): {problem}")
    for column, sizes in (("forces", ()), ("stress", (6, 9))):
        if column in rows.columns:
            _check_lists(rows, column, sizes, origin)


def _problem(finder: VesinList, numbers: object, frac: object, lattice: object) -> str | None:
    """What is wrong with a crystal, if anything."""
    try:
        z, x = np.asarray(numbers, dtype=float), np.asarray(frac, dtype=float)
        parameters = np.asarray(lattice, dtype=float)
    except (TypeError, ValueError):
        return "numbers, frac_coords and lattice must be lists of numbers"
    return _list_problem(z, x) or _cell_problem(finder, x, parameters)


def _list_problem(z: NDArray[np.float64], x: NDArray[np.float64]) -> str | None:
    if z.ndim != 1 or len(z) == 0:
        return "has no atoms"
    bad = z[~np.isin(z, np.arange(1, N_ELEMENTS + 1))]
    if len(bad):
        return f"{bad[0]:g} is no atomic number from 1 to {N_ELEMENTS} ({ELEMENTS[-1]})"
    if x.shape != (3 * len(z),) or not np.isfinite(x).all():
        return f"frac_coords must be {3 * len(z)} finite numbers, three for each atom"
    return None


def _cell_problem(
    finder: VesinList, x: NDArray[np.float64], parameters: NDArray[np.float64]
) -> str | None:
    if parameters.shape != (6,) or not (np.isfinite(parameters) & (parameters > 0)).all():
        return "lattice must be six positive numbers: a, b, c (Å) and three angles (degrees)"
    try:
        with np.errstate(invalid="ignore"):
            cell = cellpar_to_cell(parameters)
    except AssertionError:  # ASE's word for angles that no cell has
        cell = np.zeros((3, 3))
    if not abs(np.linalg.det(cell)) > MIN_VOLUME:
        return f"lattice {', '.join(f'{p:g}' for p in parameters)} encloses no volume"
    cell = cellpar_to_cell(parameters)
    distances = finder.compute(x.reshape(-1, 3) @ cell, cell, periodic=True, quantities="d")[0]
    if (distances < MIN_DISTANCE).any():
        return f"has two atoms on one spot ({distances.min():.2f} Å apart)"
    return None


def _check_lists(rows: pd.DataFrame, column: str, sizes: tuple[int, ...], origin: str) -> None:
    """Lists of finite numbers, of one of the sizes (three for each atom if there are none)."""
    for k, (value, numbers) in enumerate(zip(rows[column], rows["numbers"], strict=True)):
        if is_list(value):
            right = sizes or (3 * len(numbers),)
            numbers_in = np.asarray(value, dtype=float)
            if numbers_in.size not in right or not np.isfinite(numbers_in).all():
                wanted = " or ".join(map(str, right))
                raise InputError(f"{origin}, row {k}: {column} must be {wanted} finite numbers")


def is_list(value: object) -> bool:
    """Whether a cell of a table holds a list and not a missing value."""
    return isinstance(value, list | tuple | np.ndarray)


def tensors_of(stress: Iterable[object]) -> NDArray[np.float32]:
    """Stresses of nine or six components as [n, 3, 3]; NaN where missing."""
    out = []
    for value in stress:
        if is_list(value):
            flat = np.asarray(value, dtype=np.float32).ravel()
            out.append(flat if flat.size == len(VOIGT) else flat[VOIGT])
        else:
            out.append(np.full(len(VOIGT), np.nan, dtype=np.float32))
    return np.array(out, dtype=np.float32).reshape(-1, 3, 3)
