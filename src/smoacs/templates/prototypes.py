"""Structure types by name, each after a reference compound.

Lattice and positions are measured ones. Where no other source is named they are those of the AFLOW
Library of Crystallographic Prototypes (M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017)),
under the label given.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from smoacs.chemistry import (
    MAX_CHARGE,
    OxidationTable,
    icsd_reports,
    neutral_states,
    oxidation_table,
)
from smoacs.errors import InputError
from smoacs.templates.charges import MORE_NUMBERS, allowed_elements
from smoacs.templates.from_structure import from_structure
from smoacs.templates.template import Template

_ANION: Final = "X"
_MANY: Final = 10_000
"""More than the neutral combinations of any prototype."""


@dataclass(frozen=True)
class Orbit:
    """A kind of site: one Wyckoff position, or one of several that share a label.

    Attributes:
        label: Kind of site; "X" is the anion, all others are cations.
        element: Element of the reference compound.
        charge: Its oxidation number there.
        position: Fractional coordinates of one of its sites in the conventional cell.
    """

    label: str
    element: str
    charge: int
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Prototype:
    """A structure type.

    Attributes:
        pattern: Formula, with kinds of sites for elements.
        reference: Formula of the reference compound.
        space_group: Number; of two settings, hexagonal axes and origin choice 1.
        lattice: Lengths a, b, c (Å) of the conventional cell; γ is 120° for numbers 143 to 194.
        orbits: One element for each kind of site.
        source: Of lattice and positions.
        units: Formula units in the primitive cell.
    """

    pattern: str
    reference: str
    space_group: int
    lattice: tuple[float, float, float]
    orbits: tuple[Orbit, ...]
    source: str
    units: int = 1

    @property
    def n_sites(self) -> int:
        """Number of sites in the primitive cell."""
        counts = re.findall(r"[A-Z]'?(\d*)", self.pattern)
        return self.units * sum(int(count or 1) for count in counts)


def _cubic(a: float) -> tuple[float, float, float]:
    return (a, a, a)


_CORNER: Final = (0.0, 0.0, 0.0)
_CENTRE: Final = (0.5, 0.5, 0.5)
_QUARTER: Final = (0.25, 0.25, 0.25)

PROTOTYPES: Final[Mapping[str, Prototype]] = {
    "rock-salt": Prototype(
        "AX", "NaCl", 225, _cubic(5.63931),
        (Orbit("A", "Na", 1, _CENTRE), Orbit("X", "Cl", -1, _CORNER)),
        "AFLOW AB_cF8_225_a_b",
    ),
    "zincblende": Prototype(
        "AX", "ZnS", 216, _cubic(5.4093),
        (Orbit("A", "Zn", 2, _CORNER), Orbit("X", "S", -2, _QUARTER)),
        "AFLOW AB_cF8_216_c_a",
    ),
    "wurtzite": Prototype(
        "AX", "ZnS", 186, (3.8227, 3.8227, 6.2607),
        (Orbit("A", "Zn", 2, (1 / 3, 2 / 3, 0.0)), Orbit("X", "S", -2, (1 / 3, 2 / 3, 0.3748))),
        "AFLOW AB_hP4_186_b_b; E. H. Kisi, M. M. Elcombe, Acta Cryst. C 45, 1867 (1989)",
        units=2,
    ),
    "cscl": Prototype(
        "AX", "CsCl", 221, _cubic(4.123),
        (Orbit("A", "Cs", 1, _CENTRE), Orbit("X", "Cl", -1, _CORNER)),
        "R. W. G. Wyckoff, Crystal Structures 1 (1963)",
    ),
    "fluorite": Prototype(
        "AX2", "CaF2", 225, _cubic(5.4631),
        (Orbit("A", "Ca", 2, _CORNER), Orbit("X", "F", -1, _QUARTER)),
        "AFLOW AB2_cF12_225_a_c",
    ),
    "antifluorite": Prototype(
        "A2X", "Li2O", 225, _cubic(4.619),
        (Orbit("A", "Li", 1, _QUARTER), Orbit("X", "O", -2, _CORNER)),
        "R. W. G. Wyckoff, Crystal Structures 1 (1963)",
    ),
    "rutile": Prototype(
        "AX2", "TiO2", 136, (4.5922, 4.5922, 2.9574),
        (Orbit("A", "Ti", 4, _CORNER), Orbit("X", "O", -2, (0.305, 0.305, 0.0))),
        "AFLOW A2B_tP6_136_f_a",
        units=2,
    ),
    "anatase": Prototype(
        "AX2", "TiO2", 141, (3.785, 3.785, 9.514),
        (Orbit("A", "Ti", 4, _CORNER), Orbit("X", "O", -2, (0.0, 0.0, 0.2081))),
        "AFLOW A2B_tI12_141_e_a",
        units=2,
    ),
    "spinel": Prototype(
        "AB2X4", "MgAl2O4", 227, _cubic(8.0832),
        (
            Orbit("A", "Mg", 2, _CORNER),
            Orbit("B", "Al", 3, (0.625, 0.625, 0.625)),
            Orbit("X", "O", -2, (0.3874, 0.3874, 0.3874)),
        ),
        "AFLOW A2BC4_cF56_227_d_a_e",
        units=2,
    ),
    "half-heusler": Prototype(
        "ABX", "MgAgAs", 216, _cubic(6.24),
        (
            Orbit("A", "Mg", 2, _CORNER),
            Orbit("B", "Ag", 1, _CENTRE),
            Orbit("X", "As", -3, _QUARTER),
        ),
        "AFLOW ABC_cF12_216_b_c_a",
    ),
    "full-heusler": Prototype(
        "A2BX", "K2CsSb", 225, _cubic(8.615),
        (
            Orbit("A", "K", 1, _QUARTER),
            Orbit("B", "Cs", 1, _CENTRE),
            Orbit("X", "Sb", -3, _CORNER),
        ),
        "W. H. McCarroll, J. Phys. Chem. Solids 26, 191 (1965)",
    ),
    "delafossite": Prototype(
        "ABX2", "CuAlO2", 166, (2.8584, 2.8584, 16.958),
        (
            Orbit("A", "Cu", 1, _CORNER),
            Orbit("B", "Al", 3, (0.0, 0.0, 0.5)),
            Orbit("X", "O", -2, (0.0, 0.0, 0.1099)),
        ),
        "T. Ishiguro et al., J. Solid State Chem. 40, 170 (1981)",
    ),
    "double-perovskite": Prototype(
        "A2BB'X6", "K2NaAlF6", 225, _cubic(8.118),
        (
            Orbit("A", "K", 1, _QUARTER),
            Orbit("B", "Na", 1, _CENTRE),
            Orbit("B'", "Al", 3, _CORNER),
            Orbit("X", "F", -1, (0.219, 0.0, 0.0)),
        ),
        "L. R. Morss, J. Inorg. Nucl. Chem. 36, 3876 (1974)",
    ),
    "layered-perovskite": Prototype(
        "A2BX4", "K2NiF4", 139, (4.006, 4.006, 13.076),
        (
            Orbit("A", "K", 1, (0.0, 0.0, 0.352)),
            Orbit("B", "Ni", 2, _CORNER),
            Orbit("X", "F", -1, (0.0, 0.5, 0.0)),
            Orbit("X", "F", -1, (0.0, 0.0, 0.151)),
        ),
        "D. Balz, K. Plieth, Z. Elektrochem. 59, 545 (1955)",
    ),
    "garnet": Prototype(
        "A3B2C3X12", "Ca3Al2Si3O12", 230, _cubic(11.845),
        (
            Orbit("A", "Ca", 2, (0.125, 0.0, 0.25)),
            Orbit("B", "Al", 3, _CORNER),
            Orbit("C", "Si", 4, (0.375, 0.0, 0.25)),
            Orbit("X", "O", -2, (-0.0381, 0.0449, 0.1514)),
        ),
        "G. A. Novak, G. V. Gibbs, Am. Mineral. 56, 791 (1971)",
        units=4,
    ),
    "nickeline": Prototype(
        "AX", "NiAs", 194, (3.619, 3.619, 5.044),
        (Orbit("A", "Ni", 3, _CORNER), Orbit("X", "As", -3, (1 / 3, 2 / 3, 0.25))),
        "AFLOW AB_hP4_194_c_a",
        units=2,
    ),
    "cadmium-iodide": Prototype(
        "AX2", "CdI2", 164, (4.24, 4.24, 6.84),
        (Orbit("A", "Cd", 2, _CORNER), Orbit("X", "I", -1, (1 / 3, 2 / 3, 0.252))),
        "AFLOW AB2_hP3_164_a_d",
    ),
    "corundum": Prototype(
        "A2X3", "Al2O3", 167, (4.7607, 4.7607, 12.9947),
        (Orbit("A", "Al", 3, (0.0, 0.0, 0.35216)), Orbit("X", "O", -2, (0.3061, 0.0, 0.25))),
        "AFLOW A2B3_hR10_167_c_e",
        units=2,
    ),
    "ilmenite": Prototype(
        "ABX3", "FeTiO3", 148, (5.0884, 5.0884, 14.0855),
        (
            Orbit("A", "Fe", 2, (0.0, 0.0, 0.35537)),
            Orbit("B", "Ti", 4, (0.0, 0.0, 0.1464)),
            Orbit("X", "O", -2, (0.97668, 0.29411, 0.24506)),
        ),
        "AFLOW AB3C_hR10_148_c_f_c",
        units=2,
    ),
    "chalcopyrite": Prototype(
        "ABX2", "CuFeS2", 122, (5.289, 5.289, 10.423),
        (
            Orbit("A", "Cu", 1, _CORNER),
            Orbit("B", "Fe", 3, (0.0, 0.0, 0.5)),
            Orbit("X", "S", -2, (0.2574, 0.25, 0.125)),
        ),
        "AFLOW ABC2_tI16_122_a_b_d",
        units=2,
    ),
}  # fmt: skip
"""Structure types by name; "layered-perovskite" is the Ruddlesden-Popper phase with n = 1."""


def prototype(
    name: str,
    repeat: int = 1,
    *,
    table: OxidationTable | None = None,
    max_combinations: int = 12,
) -> Template:
    """Template of a structure type; every site chooses its own element.

    Primitive cell, with the sites kind by kind. The combinations are all neutral ones in which each
    kind of site has one oxidation number, X a negative one and the others positive ones, the most
    common first. Lattice and coordinates are as free as ``from_structure``
    leaves them: candidates start at the reference compound, coordinates have no box, lengths may go
    from 2 to 10 Å (at least from 2/3 to 3/2 of the reference's), angles from 30° to 150°. There are
    no roles, so no tolerance factor.

    Args:
        name: One of ``PROTOTYPES``.
        repeat: Number of primitive cells along each axis.
        table: Oxidation numbers by element; None is the common table.
        max_combinations: Most combinations to keep.

    Raises:
        InputError: There is no such prototype, an argument is out of range, or the oxidation table
            has no neutral combination.
    """
    if name not in PROTOTYPES:
        msg = f"there is no prototype {name!r}; they are {', '.join(PROTOTYPES)}"
        raise InputError(msg)
    kind = PROTOTYPES[name]
    table = oxidation_table() if table is None else table
    reference = {orbit.element: (orbit.charge,) for orbit in kind.orbits}
    geometry = from_structure(
        reference_structure(name),
        repeat=repeat,
        table=reference,
        max_combinations=max_combinations,
    )
    label_of = {orbit.element: orbit.label for orbit in kind.orbits}
    labels = tuple(label_of[symbol] for symbol in geometry.site_labels)
    combinations = _neutral_combinations(Counter(labels), table)[:max_combinations]
    if not combinations:
        msg = (
            f"the oxidation table has no neutral combination for {kind.pattern} ({name}); "
            f"{MORE_NUMBERS}"
        )
        raise InputError(msg)
    charges = np.array([[choice[label] for label in labels] for choice in combinations], np.int8)
    return replace(
        geometry,
        name=name if repeat == 1 else f"{name} {repeat}x{repeat}x{repeat}",
        site_labels=labels,
        combinations=charges,
        combination_names=tuple(
            " ".join(f"{label}{charge:+d}" for label, charge in choice.items())
            for choice in combinations
        ),
        allowed=allowed_elements(charges, table),
    )


def reference_structure(name: str) -> Structure:
    """Reference compound of a prototype, in the primitive cell, its sites kind by kind.

    Centred cells become Niggli-reduced primitive ones, so that no angle is far from 90°.
    """
    return _reference_structure(name).copy()


@cache
def _reference_structure(name: str) -> Structure:
    """The same, once for all: pymatgen takes a third of a second for a cubic space group."""
    kind = PROTOTYPES[name]
    gamma = 120.0 if 143 <= kind.space_group <= 194 else 90.0  # noqa: PLR2004  trigonal, hexagonal
    conventional = Structure.from_spacegroup(
        kind.space_group,
        Lattice.from_parameters(*kind.lattice, 90.0, 90.0, gamma),
        [orbit.element for orbit in kind.orbits],
        [orbit.position for orbit in kind.orbits],
    )
    structure = conventional.get_primitive_structure()
    if len(structure) == len(conventional):
        structure = conventional
    else:
        structure = structure.get_reduced_structure("niggli")
    order = [orbit.element for orbit in kind.orbits]
    return structure.get_sorted_structure(key=lambda site: order.index(site.specie.symbol))


def _neutral_combinations(counts: Mapping[str, int], table: OxidationTable) -> list[dict[str, int]]:
    """Oxidation number of each kind of site in every neutral combination, most common first.

    A combination is as common as the product of the reports of its oxidation numbers in the ICSD.
    Of B and B', which only their charges tell apart, B has the lower one.
    """
    known = icsd_reports()
    reports: Counter[int] = Counter()
    for symbol, charges in table.items():
        reports.update({charge: 1 + known.get((symbol, charge), 0) for charge in charges})
    states = {
        label: [q for q, _ in reports.most_common() if (q < 0) == (label == _ANION)]
        for label in counts
    }
    if not all(states.values()):
        return []
    groups = [
        (count, {q: float(rank) for rank, q in enumerate(states[label])})
        for label, count in counts.items()
    ]
    found = neutral_states(groups, limit=_MANY)
    found.sort(key=lambda choice: -math.prod(reports[charge] for charge in choice))
    combinations = [dict(zip(counts, choice, strict=True)) for choice in found]
    return [c for c in combinations if c.get("B", 0) <= c.get("B'", MAX_CHARGE)]
