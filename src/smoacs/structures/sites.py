"""Elements and charges of a structure's sites, and the same crystal without charges and for ASE."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Element, Species, Structure

from smoacs.structures.ase_files import OXIDATION_STATES

if TYPE_CHECKING:
    import ase


def symbol(species: Element | Species) -> str:
    """Symbol of the element of a site, with or without oxidation state (deuterium is H)."""
    return "H" if species.symbol in {"D", "T"} else str(species.symbol)


def symbols(structure: Structure) -> list[str]:
    """Symbol of the element of each site."""
    return [symbol(site.specie) for site in structure]  # `species` asks each site twice


def charges(structure: Structure) -> list[float] | None:
    """Oxidation state of each site, or None if any site has none."""
    states = [getattr(site.specie, "oxi_state", None) for site in structure]
    known = [float(state) for state in states if state is not None]
    return known if known and len(known) == len(states) else None


def bare(structure: Structure) -> Structure:
    """The structure without oxidation states."""
    return Structure(structure.lattice, symbols(structure), structure.frac_coords)


def to_atoms(structure: Structure, info: Mapping[str, object] | None = None) -> "ase.Atoms":
    """The structure for ASE, with its oxidation states, if it has them, as an array.

    Args:
        structure: Any with finite numbers.
        info: What else is known of it.
    """
    import ase  # noqa: PLC0415 - slow to import

    atoms = ase.Atoms(
        symbols(structure),
        scaled_positions=structure.frac_coords,
        cell=structure.lattice.matrix,
        pbc=True,
        info=dict(info or {}),
    )
    states = charges(structure)
    if states is not None:
        atoms.set_array(OXIDATION_STATES, np.array(states, dtype=float))
    return atoms
