"""A crystal in the cell of its template: files may give any cell of the same crystal."""

import warnings
from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np
import spglib
from pymatgen.core import Lattice, Structure

from smoacs.judging.matching import angles_kept, match_template
from smoacs.templates import Template

SYMPREC: Final = 0.01
"""Å. Tolerance of the search for the primitive cell."""

_LENGTHS: Final = 0.3
"""Share by which lattice lengths may differ from the template's, scaled to the same volume."""

_ANGLES: Final = 10.0
"""Degrees by which angles may differ; the match itself asks for less."""

_TRIES: Final = 48
"""Cells that are tried at most; a cubic one has as many equal ones."""

_SITES_TRIED: Final = 960
"""Sites in all these cells; a match takes time that grows with them."""


def in_cell_of(structure: Structure, template: Template) -> Structure:
    """The crystal in a cell in which it is on the template's sites, if there is one.

    The structure itself comes back if it keeps the template, or if no cell does. Cells are those of
    the primitive cell's lattice that have the template's number of atoms and its shape.
    """
    if _keeps(structure, template):
        return structure
    kept = None
    for cell in _cells(structure, template):
        if _keeps(cell, template):
            match = match_template(cell, template)
            if match is not None and match.combination is not None:
                return cell
            kept = kept or cell  # the elements are of no combination here; elsewhere they may be
    return kept or structure


def why_not(structure: Structure, template: Template) -> str:
    """Why a crystal does not keep a template, in a few words; empty if it does.

    Args:
        structure: As `in_cell_of` gives it.
        template: The kind of crystal that it should be.
    """
    if _keeps(structure, template):
        return ""
    n_sites, n_atoms = template.n_sites, len(structure)
    n_primitive = len(_primitive(structure))
    if n_sites % n_primitive:
        return (
            f"{n_primitive} atoms in the primitive cell do not fill {n_sites} sites a whole number "
            "of times"
        )
    match = match_template(structure, template) if n_atoms == n_sites else None
    if match is not None:
        low, high = template.angle_bounds
        angles = zip(
            ("alpha", "beta", "gamma"), structure.lattice.angles, low, high, template.angles,
            strict=True,
        )  # fmt: skip
        off = [
            f"{name} is {angle:.1f}° and not {right:.1f}°"
            for name, angle, least, most, right in angles
            if least == most and abs(angle - right) > 0.01  # noqa: PLR2004
        ]
        return ", ".join(off)
    if next(_cells(structure, template), None) is None:
        return "no cell of its lattice has the template's shape"
    return "its atoms are not on the template's sites"


def _keeps(structure: Structure, template: Template) -> bool:
    return match_template(structure, template) is not None and angles_kept(structure, template)


def _cells(structure: Structure, template: Template) -> Iterator[Structure]:
    """Cells of a crystal with as many atoms as a template has sites, and about its shape."""
    primitive = _primitive(structure)
    size, rest = divmod(template.n_sites, len(primitive))
    if rest:
        return
    wanted = Lattice.from_parameters(*template.lengths, *template.angles)
    wanted = wanted.scale(size * primitive.volume)
    mappings = primitive.lattice.find_all_mappings(
        wanted, ltol=_LENGTHS, atol=_ANGLES, skip_rotation_matrix=True
    )
    right = (matrix for _, _, matrix in mappings if round(abs(np.linalg.det(matrix))) == size)
    tries = max(1, min(_TRIES, _SITES_TRIED // template.n_sites))
    for matrix in islice(right, tries):
        yield primitive.make_supercell(np.round(matrix).astype(int), in_place=False)


def _primitive(structure: Structure) -> Structure:
    """A primitive cell, with the atoms where they are; species with other charges are others."""
    species = list(dict.fromkeys(structure.species))
    numbers = [species.index(kind) + 1 for kind in structure.species]
    cell = (structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=SYMPREC)
    if found is None:
        return structure
    lattice, coords, kinds = found
    return Structure(Lattice(lattice), [species[k - 1] for k in kinds], coords)
