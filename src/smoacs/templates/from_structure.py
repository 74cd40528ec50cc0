"""Templates made of any crystal structure: its lattice and sites, neutral by its own charges."""

import itertools
import math
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core.structure import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer, SymmetryUndeterminedError

from smoacs.chemistry import (
    ELEMENTS,
    MAX_CHARGE,
    MIN_CHARGE,
    OxidationTable,
    costs_of,
    element_index,
    neutral_assignment,
    neutral_site_charges,
    neutral_states,
    oxidation_table,
    tables_of_crystals,
)
from smoacs.errors import InputError
from smoacs.structures import read_structure
from smoacs.templates.charges import allowed_elements, combination_names
from smoacs.templates.template import Template, check_size

_LENGTH_BOUNDS: Final = (2.0, 10.0)
"""Lattice lengths (Å) per repeat; widened where the structure's own are near or outside."""

_LENGTH_ROOM: Final = 1.5
"""Factor by which the bounds leave room on both sides of the structure's own lengths."""

_ANGLE_BOUNDS: Final = (30.0, 150.0)


def from_structure(
    structure: Structure | str | Path,
    *,
    repeat: int = 1,
    table: OxidationTable | None = None,
    max_combinations: int = 10,
    coord_box: float = math.inf,
) -> Template:
    """Template with the lattice and sites of a crystal.

    Under a combination of oxidation numbers a site may hold every element that takes its number.
    Combinations are neutral oxidation numbers of the structure's own elements: those that it
    states itself, then the likeliest (`smoacs.chemistry.neutral_site_charges`): one number per
    element if any such choice is neutral, with those of atoms bonded to their own kind by their
    bonds; else metals of mixed valence differ. Where the table has none, rarer numbers that the
    ICSD reports make the pattern; the elements on it are still those of the table.

    Args:
        structure: Crystal, or a structure file (CIF, POSCAR, ...; see `smoacs.structures`).
        repeat: Number of the structure's cells along each axis.
        table: Oxidation numbers by element; None is the common table.
        max_combinations: Most combinations to keep.
        coord_box: Half-width of the allowed displacement (fractional) of every coordinate.

    Raises:
        InputError: The file is missing or unreadable, the structure is empty or disordered or
            holds unknown elements, it cannot be neutral, or an argument is out of range.
    """
    if repeat < 1 or max_combinations < 1 or not coord_box >= 0.0:
        msg = (
            "repeat and max_combinations must be at least 1 and coord_box at least 0; they are "
            f"{repeat}, {max_combinations} and {coord_box}"
        )
        raise InputError(msg)
    if isinstance(structure, Structure):
        name = structure.reduced_formula if len(structure) else "structure"
    else:
        name = Path(structure).name
        structure = read_structure(structure)
    symbols = _site_symbols(structure, name)
    table = oxidation_table() if table is None else table
    check_size(len(structure), repeat)
    if repeat > 1:
        structure = structure.make_supercell([repeat] * 3, to_unit_cell=True, in_place=False)
        symbols = _site_symbols(structure, name)
        name = f"{name} {repeat}x{repeat}x{repeat}"
    combinations = _neutral_combinations(structure, symbols, table, max_combinations)
    if not combinations:
        raise InputError(_not_neutral(name, symbols, table))
    charges = np.array(combinations, dtype=np.int8)
    lengths, angles = np.array(structure.lattice.abc), np.array(structure.lattice.angles)
    low, high = (bound * repeat for bound in _LENGTH_BOUNDS)
    return Template(
        name=name,
        lengths=lengths,
        angles=angles,
        frac_coords=_wrapped(structure.frac_coords),
        site_labels=tuple(symbols),
        combinations=charges,
        combination_names=combination_names(symbols, charges),
        allowed=allowed_elements(charges, table),
        radii=None,
        roles=np.full(len(symbols), -1, dtype=np.int8),
        coord_box=np.full((len(symbols), 3), coord_box),
        length_bounds=np.stack(
            [np.minimum(low, lengths / _LENGTH_ROOM), np.maximum(high, lengths * _LENGTH_ROOM)],
        ),
        angle_bounds=np.stack(
            [np.minimum(_ANGLE_BOUNDS[0], angles), np.maximum(_ANGLE_BOUNDS[1], angles)],
        ),
        random_lengths=False,
    )


def _site_symbols(structure: Structure, name: str) -> list[str]:
    """Element of each site."""
    if len(structure) == 0:
        msg = f"structure {name!r} has no atoms"
        raise InputError(msg)
    symbols = []
    for index, site in enumerate(structure):
        if not site.is_ordered:
            msg = (
                f"structure {name!r} is disordered: site {index + 1} holds {site.species_string}; "
                "give an ordered structure, with one element on each site"
            )
            raise InputError(msg)
        symbols.append(ELEMENTS[element_index(str(site.specie.symbol))])
    return symbols


def _neutral_combinations(
    structure: Structure,
    symbols: Sequence[str],
    table: OxidationTable,
    limit: int,
) -> list[list[int]]:
    """Neutral oxidation numbers of the sites, [K, N]: the structure's own, then the likeliest."""
    if len(set(symbols)) == 1:
        return _of_an_element(symbols, table, limit)
    found = [own] if (own := _stated(structure)) else []
    coords, cell = structure.frac_coords, structure.lattice.matrix
    find = partial(neutral_site_charges, symbols, coords, cell, limit=limit)
    orbits = partial(_orbits, structure)
    for by_bonds, states in itertools.product((True, False), (table, *tables_of_crystals())):
        more = find(states, orbits=orbits, by_bonds=by_bonds)
        found += [charges for charges in more if charges not in found]
        kept = [charges for charges in found if _can_be_held(charges, table)]
        if kept:
            return kept[:limit]
    return []


def _stated(structure: Structure) -> list[int] | None:
    """Oxidation states that the structure carries, if they are whole and neutral."""
    states = [getattr(site.specie, "oxi_state", None) for site in structure]
    known = [float(q) for q in states if q is not None]
    whole = [round(q) for q in known if q == round(q) and MIN_CHARGE <= q <= MAX_CHARGE]
    return whole if len(whole) == len(states) and sum(whole) == 0 and any(whole) else None


def _can_be_held(charges: Sequence[int], table: OxidationTable) -> bool:
    """Whether each of the sites has an element with its number."""
    known = {q for states in table.values() for q in states}
    return known.issuperset(charges)


def _of_an_element(symbols: Sequence[str], table: OxidationTable, limit: int) -> list[list[int]]:
    """Numbers for the sites of an element's crystal, which are the pattern of a compound there."""
    states = table.get(symbols[0], ())
    groups = [(1, costs_of(symbols[0], states)) for _ in symbols]
    return [list(choice) for choice in neutral_states(groups, limit=limit)] if states else []


def _orbits(structure: Structure) -> Sequence[int]:
    """Label of each site's set of symmetrically equivalent sites."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Set OLD_ERROR_HANDLING", DeprecationWarning)  # spglib
        try:
            dataset = SpacegroupAnalyzer(structure).get_symmetry_dataset()
        except SymmetryUndeterminedError:
            return range(len(structure))
    return [int(orbit) for orbit in dataset.equivalent_atoms]


def _not_neutral(name: str, symbols: Sequence[str], table: OxidationTable) -> str:
    counts = Counter(symbols)
    tried = ", ".join(
        f"{symbol} {'/'.join(f'{q:+d}' for q in table.get(symbol, ())) or 'none'}"
        for symbol in counts
    )
    formula = "".join(f"{symbol}{count}" for symbol, count in counts.items())
    return (
        f"no neutral combination of oxidation numbers for {name!r} ({formula}); "
        f"charges tried: {tried}; {_remedy(counts, table)}"
    )


def _remedy(counts: Counter[str], table: OxidationTable) -> str:
    """The setting that would help."""
    wider = neutral_assignment(counts, oxidation_table("smact")) if len(counts) > 1 else None
    new = {
        symbol: sorted({*table.get(symbol, ()), *states})
        for symbol, states in (wider or {}).items()
        if not set(states) <= set(table.get(symbol, ()))
    }
    if not new:
        symbol = next((s for s in counts if not table.get(s)), next(iter(counts)))
        return (
            f"say which others there are, such as oxidation_states = {{ {symbol} = [1, 2] }}, or "
            "write them into the file"
        )
    numbers = ", ".join(f"{symbol} = {states}" for symbol, states in new.items())
    return f"oxidation_states = {{ {numbers} }} would allow one, as would oxidation_table = 'smact'"


def _wrapped(frac_coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates in [0, 1); tiny negative ones, which round up to 1, become 0."""
    wrapped = np.mod(frac_coords, 1.0)
    wrapped[wrapped >= 1.0] = 0.0
    return wrapped
