"""Quick checks of chemistry and geometry by other people's rules.

The rules are imported by the check that needs them: pymatgen reads its prototypes and
bond-valence parameters on import, and SMACT its tables, which takes longer than most commands do.
"""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Element, Structure

from smoacs.judging import element_counts, is_crystal
from smoacs.structures import bare, charges, symbol

BOND_VALENCE_PERMUTATIONS: Final = 2_000
"""Assignments of charges that the bond-valence analysis tries at most: a second's worth."""

_REACH: Final = 4.0
"""Largest atomic radii within which the closest pair is looked for."""

_DIGITS: Final = 3
"""Decimals of a distance between structures, of the mean distance between atoms."""

_ANION: Final = "F"
"""Stands for all anions alike when prototypes with mixed ones are looked for."""


def chemistry_table(structures: Sequence[Structure]) -> pd.DataFrame:
    """Check crystals one by one, about 0.1 s each.

    Returns:
        A row for each structure: `smact_valid` (neutral and in the order of electronegativity, with
        the oxidation states and rules of SMACT), `bvs_charges` (of each element by the
        bond-valence method, such as "K+1 Mg+2 F-1"; empty if it finds none), `bvs_agrees` (whether
        they are the structure's own; missing if there are none to compare), `closest_pair` and
        `closest_ratio` (see `closest_pair`), and `prototype` (that of the AFLOW library that it
        matches; "... (anions alike)" if it does with all anions as one element).
    """
    rows = [_row(structure) for structure in structures]
    return pd.DataFrame(rows, columns=list(_row_names()))


def _row_names() -> tuple[str, ...]:
    return (
        "smact_valid",
        "bvs_charges",
        "bvs_agrees",
        "closest_pair",
        "closest_ratio",
        "prototype",
    )


def _row(structure: Structure) -> tuple[object, ...]:
    if not is_crystal(structure):
        return False, "", None, "", float("nan"), ""
    found = bond_valence_charges(structure)
    own = charges(structure)
    agrees = None if found is None or own is None else [round(q) for q in own] == found
    return (
        is_smact_valid(structure),
        "" if found is None else _charge_text(structure, found),
        agrees,
        *closest_pair(structure),
        prototype(structure),
    )


def is_smact_valid(structure: Structure) -> bool:
    """Whether SMACT finds the composition valid, alloys and metals included."""
    from smact.screening import smact_validity

    formula = Composition(element_counts(structure))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(smact_validity(formula))


def bond_valence_charges(structure: Structure) -> list[int] | None:
    """Charge of each site by the bond-valence method of pymatgen; None if it finds none.

    M. O'Keeffe and N. E. Brese, J. Am. Chem. Soc. 113, 3226 (1991).
    """
    from pymatgen.analysis.bond_valence import BVAnalyzer

    plain = bare(structure)
    analyzer = BVAnalyzer(  # type: ignore[no-untyped-call]  # pymatgen: typed in part
        max_permutations=BOND_VALENCE_PERMUTATIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return [round(charge) for charge in analyzer.get_valences(plain)]
        except (ValueError, KeyError, IndexError, ZeroDivisionError):
            return None  # its words for: no assignment, no parameters for an element


def closest_pair(structure: Structure) -> tuple[str, float]:
    """The two elements, such as "Mg-F", whose distance over the sum of atomic radii is least.

    Only pairs of opposite charge count where the structure carries charges. Radii are Slater's
    (J. Chem. Phys. 41, 3199 (1964)).
    """
    radii = np.array(
        [float(Element(symbol(species)).atomic_radius or 1.0) for species in structure.species]
    )
    centers, neighbors, _, distances = structure.get_neighbor_list(_REACH * radii.max())
    own = charges(structure)
    if own is not None:
        opposite = np.array(own)[centers] * np.array(own)[neighbors] < 0
        centers, neighbors, distances = centers[opposite], neighbors[opposite], distances[opposite]
    if not len(distances):
        return "", float("nan")
    ratios = distances / (radii[centers] + radii[neighbors])
    nearest = int(ratios.argmin())
    pair = sorted(
        (symbol(structure.species[int(i)]) for i in (centers[nearest], neighbors[nearest])),
        key=lambda name: (_electronegativity(name), name),
    )
    return "-".join(pair), float(ratios[nearest])


def prototype(structure: Structure) -> str:
    """Prototype of the AFLOW library (M. J. Mehl et al., Comput. Mater. Sci. 136, S1 (2017))."""
    plain = bare(structure)
    name = _prototype_of(plain)
    own = charges(structure)
    if name or own is None:
        return name
    alike = plain.copy()
    for index, charge in enumerate(own):
        if charge < 0:
            alike[index] = _ANION
    name = _prototype_of(alike)
    return f"{name} (anions alike)" if name else ""


def _prototype_of(structure: Structure) -> str:
    """The nearest of the prototypes that match, as "mineral (AFLOW label)"; empty if none does.

    Among equally near ones the one of highest symmetry: it is a limit of the others.
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for known, tags in _prototypes().get(structure.composition.anonymized_formula, ()):
            distance = matcher.get_rms_anonymous(  # type: ignore[no-untyped-call]  # as above
                known, structure
            )[0]
            if distance is not None:
                space_group = int(tags["aflow"].split("_")[2])
                name = f"{tags['mineral'] or ''} ({tags['aflow']})".strip()
                found.append((round(float(distance), _DIGITS), -space_group, name))
    return min(found)[2] if found else ""


@cache
def _prototypes() -> dict[str, list[tuple[Structure, dict[str, str]]]]:
    """Structures and names of the library's prototypes, by anonymous formula."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    found: dict[str, list[tuple[Structure, dict[str, str]]]] = defaultdict(list)
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        known = entry["snl"].structure
        found[known.composition.anonymized_formula].append((known, entry["tags"]))
    return found


def _electronegativity(name: str) -> float:
    """Pauling's; elements without one come last."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(np.nan_to_num(Element(name).X, nan=np.inf))


def _charge_text(structure: Structure, found: Sequence[int]) -> str:
    """Charges by element, each once, such as "K+1 Mg+2 F-1"."""
    pairs = {
        (symbol(species), charge): None
        for species, charge in zip(structure.species, found, strict=True)
    }
    ordered = sorted(pairs, key=lambda pair: (_electronegativity(pair[0]), pair))
    return " ".join(f"{name}{charge:+d}" for name, charge in ordered)
