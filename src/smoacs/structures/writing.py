"""CIF files as others want them: the conventional cell, the space group and its operators."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import gcd
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element, Lattice, Species, Structure

from smoacs.errors import InputError
from smoacs.structures.cif import blocks_of, crystal_of
from smoacs.structures.cif.operators import Operators, from_hall

if TYPE_CHECKING:
    import spglib

TOLERANCE: Final = 0.01
"""Å. By so much atoms may be off the symmetry that a CIF gives them."""

_SAME: Final = 1e-4
"""Fractional; images this close are one atom."""

Kind = Species | Element


@dataclass(frozen=True)
class _Cell:
    """What a CIF says: the cell, its symmetry, and a site of each orbit with its multiplicity."""

    lattice: Lattice
    name: str
    hall: str
    number: int
    triplets: Sequence[str]
    sites: Sequence[tuple[Kind, NDArray[np.float64], int]]


def cif_text(structure: Structure, *, tolerance: float = TOLERANCE) -> str:
    """A crystal as CIF, with oxidation states where it has them.

    In the conventional cell of the Tables, made symmetric within the tolerance, if reading that
    gives the same crystal again; else in P 1, as it is.

    Args:
        structure: An ordered crystal.
        tolerance: Å.
    """
    symmetric = _symmetric_text(structure, tolerance)
    return _text(_bare(structure), None) if symmetric is None else symmetric


def _symmetric_text(structure: Structure, tolerance: float) -> str | None:
    """The crystal with its symmetry; None if it has none, or would not be read as it is."""
    import spglib  # noqa: PLC0415 - slow to import

    kinds: list[Kind] = list(dict.fromkeys(structure.species))
    numbers = [kinds.index(kind) + 1 for kind in structure.species]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        found = spglib.get_symmetry_dataset(cell, symprec=tolerance)
        if found is None or found.number == 1:
            return None
    group = _group(found.hall_number)
    choice = found.choice if found.choice in {"1", "2", "H", "R"} else ""
    conventional = _Cell(
        lattice=Lattice(found.std_lattice),
        name=f"{group.symbol} :{choice}" if choice else group.symbol,
        hall=group.hall,
        number=int(found.number),
        triplets=group.triplets,
        sites=_orbits(found, kinds, group),
    )
    text = _text(conventional, tolerance)
    try:
        read, _ = crystal_of(blocks_of(text)[0])
    except InputError:
        return None
    return text if _is_same(structure, read, found, tolerance) else None


@dataclass(frozen=True)
class _Group:
    """A space group in one of spglib's settings: its symbols and its operators."""

    symbol: str
    hall: str
    operators: Operators
    triplets: tuple[str, ...]


@cache
def _group(hall_number: int) -> _Group:
    import gemmi  # noqa: PLC0415 - slow to import
    import spglib  # noqa: PLC0415 - same

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        kind = spglib.get_spacegroup_type(hall_number)
    if kind is None:
        msg = f"there is no setting {hall_number}"
        raise ValueError(msg)
    triplets = tuple(op.triplet() for op in gemmi.symops_from_hall(kind.hall_symbol))
    symbol = kind.international.rpartition("=")[2].strip().replace("_", "")
    return _Group(symbol, kind.hall_symbol, from_hall(kind.hall_symbol), triplets)


def _orbits(
    found: "spglib.SpglibDataset", kinds: Sequence[Kind], group: _Group
) -> list[tuple[Kind, NDArray[np.float64], int]]:
    """One site of each orbit of the standard cell, and how many images it has."""
    coords: NDArray[np.float64] = np.asarray(found.std_positions, dtype=float)
    left = np.ones(len(coords), dtype=bool)
    sites = []
    for atom, number in enumerate(found.std_types):
        if left[atom]:
            images = group.operators.rotations @ coords[atom] + group.operators.translations
            delta = coords[:, None] - images[None]
            orbit = (np.abs(delta - np.round(delta)).max(axis=2) < _SAME).any(axis=1) & left
            left &= ~orbit
            sites.append((kinds[int(number) - 1], coords[atom] % 1.0, int(orbit.sum())))
    return sites


def _is_same(
    structure: Structure, read: Structure, found: "spglib.SpglibDataset", tolerance: float
) -> bool:
    """Whether a crystal and what was read are the same within the tolerance.

    Coordinates of the one become those of the other by P x + p of spglib's dataset, and the metric
    G by Pᵀ G P.
    """
    matrix: NDArray[np.float64] = np.asarray(found.transformation_matrix, dtype=float)
    if round(len(structure) / abs(np.linalg.det(matrix))) != len(read):
        return False
    basis = matrix.T @ read.lattice.matrix
    lengths = np.linalg.norm(basis, axis=1)
    angles_off = np.abs(np.array(Lattice(basis).angles) - structure.lattice.angles)
    off = np.abs(lengths - structure.lattice.abc).max()
    if off > 2 * tolerance or (np.radians(angles_off).max() * lengths.max()) > 2 * tolerance:
        return False
    moved = structure.frac_coords @ matrix.T + np.asarray(found.origin_shift)
    delta = read.frac_coords[None] - moved[:, None]
    delta -= np.round(delta)
    distances = np.linalg.norm(delta @ read.lattice.matrix, axis=2)
    nearest = distances.argmin(axis=1)
    return bool(distances.min(axis=1).max() <= 2 * tolerance) and all(
        read[int(k)].specie == site.specie for k, site in zip(nearest, structure, strict=True)
    )


def _bare(structure: Structure) -> _Cell:
    """A crystal without symmetry."""
    return _Cell(
        lattice=structure.lattice,
        name="P 1",
        hall="P 1",
        number=1,
        triplets=["x, y, z"],
        sites=[(site.specie, site.frac_coords % 1.0, 1) for site in structure],
    )


def _text(cell: _Cell, tolerance: float | None) -> str:
    amounts: dict[str, int] = {}
    for kind, _, count in cell.sites:
        amounts[kind.symbol] = amounts.get(kind.symbol, 0) + count
    units = gcd(*amounts.values())
    formula = [f"{symbol}{n // units}" for symbol, n in amounts.items()]
    name = re.sub(r"(?<=[a-zA-Z])1(?!\d)", "", "".join(formula))
    said = "as it is" if tolerance is None else f"symmetric within {tolerance:g} Å"
    lines = [
        f"# written by smoacs; {said}",
        f"data_{name}",
        f"_symmetry_space_group_name_H-M   '{cell.name}'",
        f"_space_group_name_Hall   '{cell.hall}'",
        f"_symmetry_Int_Tables_number   {cell.number}",
    ]
    keys = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    values = [round(float(value), 8) for value in cell.lattice.parameters]
    lines += [f"_cell_{key}   {value:.8f}" for key, value in zip(keys, values, strict=True)]
    lines += [
        f"_cell_volume   {cell.lattice.volume:.6f}",
        f"_chemical_formula_structural   {name}",
        f"_chemical_formula_sum   '{' '.join(formula)}'",
        f"_cell_formula_units_Z   {units}",
        "loop_",
        " _symmetry_equiv_pos_site_id",
        " _symmetry_equiv_pos_as_xyz",
    ]
    lines += [f"  {number}  '{text}'" for number, text in enumerate(cell.triplets, start=1)]
    return "\n".join([*lines, *_atoms(cell)]) + "\n"


def _atoms(cell: _Cell) -> list[str]:
    lines: list[str] = []
    states = {str(kind): getattr(kind, "oxi_state", None) for kind, _, _ in cell.sites}
    if any(isinstance(kind, Species) for kind, _, _ in cell.sites):
        lines += ["loop_", " _atom_type_symbol", " _atom_type_oxidation_number"]
        lines += [f"  {name}  {state or 0:g}" for name, state in states.items()]
    columns = ("type_symbol", "label", "symmetry_multiplicity", "fract_x", "fract_y", "fract_z")
    lines += ["loop_", *(f" _atom_site_{name}" for name in (*columns, "occupancy"))]
    for number, (kind, coords, count) in enumerate(cell.sites):
        place = "  ".join(f"{_rounded(x):.8f}" for x in coords)
        lines.append(f"  {kind}  {kind.symbol}{number}  {count}  {place}  1")
    return lines


def _rounded(value: float) -> float:
    """In [0, 1) after rounding, too."""
    return round(value, 8) % 1.0
