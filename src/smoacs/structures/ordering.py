"""Ordered crystals for one with partially occupied sites.

The occupancies become whole atoms in a supercell, and arrangements are ranked by their Ewald energy
(pymatgen's OrderDisorderedStructureTransformation), with oxidation numbers of the file or guessed.
"""

import itertools
import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Element, Structure
from pymatgen.transformations.standard_transformations import (
    OrderDisorderedStructureTransformation,
)

from smoacs.errors import InputError

MAX_ATOMS: Final = 64
"""Atoms of a candidate, at most, where nothing else is asked."""

CANDIDATES: Final = 10

_EXACT: Final = 0.02
"""Atoms by which the occupancies of a supercell may miss whole numbers."""

_MORE: Final = 8
"""Arrangements looked at for each one wanted: many are the same crystal."""


@dataclass(frozen=True)
class Ordered:
    """A candidate.

    Attributes:
        structure: The ordered crystal.
        cells: How many of the given cells it takes.
        ewald_energy: eV/atom, of its oxidation numbers as point charges; NaN without any.
        composition_error: Largest difference of a share of atoms from the one given.
    """

    structure: Structure
    cells: int
    ewald_energy: float
    composition_error: float


def order(
    structure: Structure, *, n: int = CANDIDATES, max_atoms: int = MAX_ATOMS
) -> list[Ordered]:
    """Ordered candidates of a crystal, lowest Ewald energy first, no two of them alike.

    Args:
        structure: With partially occupied sites; one without comes back alone.
        n: Candidates wanted, at most.
        max_atoms: Atoms of a candidate, at most.

    Raises:
        InputError: A number is out of range, or no cell of that size holds whole atoms.
    """
    if n < 1 or max_atoms < 1:
        raise InputError(f"candidates ({n}) and atoms ({max_atoms}) must be at least 1")
    if structure.is_ordered:
        return [Ordered(structure, 1, math.nan, 0.0)]
    shape = _shape(structure, max_atoms)
    cell = structure.make_supercell(shape, in_place=False)
    charged = _charge(cell)
    transformation = OrderDisorderedStructureTransformation(no_oxi_states=not charged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on rounded occupancies: the table has the error
        try:
            found: Any = transformation.apply_transformation(cell, return_ranked_list=n * _MORE)
        except ValueError as error:
            raise InputError(f"its sites cannot be ordered ({error})") from error
    candidates: list[Ordered] = []
    matcher = StructureMatcher(primitive_cell=True, scale=False)
    for item in found:
        ordered: Structure = item["structure"].get_sorted_structure()
        if len(candidates) == n:
            break
        if any(matcher.fit(ordered, known.structure) for known in candidates):
            continue
        energy = item["energy"] / len(ordered) if charged else math.nan
        if not charged:
            ordered.remove_oxidation_states()
        off = _error(structure.composition, ordered.composition)
        candidates.append(Ordered(ordered, math.prod(shape), energy, off))
    return candidates


def _shape(structure: Structure, max_atoms: int) -> tuple[int, int, int]:
    """Repeats along the axes of the smallest cell with whole atoms, else of the nearest to it."""
    groups = Counter(site.species for site in structure if not site.is_ordered)
    amounts = np.array(
        [n * share for kind, n in groups.items() for share in kind.values()], dtype=float
    )
    most = int(max_atoms // structure.composition.num_atoms)
    if most < 1:
        raise InputError(
            f"its cell has {structure.composition.num_atoms:g} atoms, more than {max_atoms} "
            "(--max-atoms)"
        )
    sizes = np.arange(1, most + 1)
    off = np.abs(sizes[:, None] * amounts - np.round(sizes[:, None] * amounts)).max(axis=1)
    exact = sizes[off <= _EXACT]
    size = int(exact[0]) if len(exact) else int(sizes[(off / sizes).argmin()])
    if not (np.round(size * amounts) > 0).any():
        raise InputError(f"no cell of up to {max_atoms} atoms holds one atom of its partial sites")
    counts = range(1, size + 1)
    shapes = [
        (i, j, k) for i, j, k in itertools.product(counts, counts, counts) if i * j * k == size
    ]
    lengths = np.array(structure.lattice.abc)
    return min(shapes, key=lambda shape: (float(np.ptp(lengths * shape)), shape))


def _charge(cell: Structure) -> bool:
    """Give the cell oxidation numbers if it has none; whether it has them then."""
    kinds = {kind for site in cell for kind in site.species}
    if all(getattr(kind, "oxi_state", None) is not None for kind in kinds):
        return True
    cell.remove_oxidation_states()
    whole = {Element(e.symbol): round(n) for e, n in cell.composition.items() if round(n)}
    guesses = Composition(whole).oxi_state_guesses(max_sites=-1)
    if not guesses or len(whole) < len(cell.composition):
        return False
    cell.add_oxidation_state_by_element(dict(guesses[0]))
    return True


def _error(given: Composition, ordered: Composition) -> float:
    """Largest difference of the share of an element."""
    first, second = given.element_composition, ordered.element_composition
    return max(
        abs(first.get_atomic_fraction(e) - second.get_atomic_fraction(e)) for e in {*first, *second}
    )
