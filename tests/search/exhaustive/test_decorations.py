"""Decorations: complete, and each once, against counts and brute force."""

import itertools

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.chemistry import ELEMENTS
from smoacs.request import DesignConfig
from smoacs.request.chemical_rules import crystal_rules
from smoacs.request.decoration_rules import decoration_rule
from smoacs.search.exhaustive.decorations import decorations, n_fillings
from smoacs.templates import build_template, site_operations

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR:DeprecationWarning")  # spglib


def template_of(name, **settings):
    settings = {"mixed": True, "oxidation_table": "common", **settings}
    return DesignConfig(template=name, targets=("x > 0",), **settings).resolved_template()


def enumerated(template, rule=None):
    symmetry = site_operations(template)
    chunks = list(decorations(template, symmetry, rule))
    return [(chunk.combination, tuple(row)) for chunk in chunks for row in chunk.elements]


def permutations_by_pymatgen(template):
    """Permutations of the sites by the space group, found without our code."""
    dummies = dict(zip(dict.fromkeys(template.site_labels), ("H", "Li", "Be", "B"), strict=False))
    plain = Structure(
        template.to_structure().lattice,
        [dummies[label] for label in template.site_labels],
        template.frac_coords,
    )
    found = []
    for operation in SpacegroupAnalyzer(plain, symprec=1e-3).get_space_group_operations():
        moved = [operation.operate(coords) for coords in plain.frac_coords]
        image = []
        for coords in moved:
            off = plain.frac_coords - coords
            image.append(int(np.abs(off - np.round(off)).max(1).argmin()))
        found.append(tuple(image))
    return found


def orbits_by_brute_force(template, allows=lambda _: True):
    """Sets of symmetric copies, as sets of (charges, elements)."""
    group = permutations_by_pymatgen(template)
    fillings = set()
    for k, charges in enumerate(template.combinations.tolist()):
        options = [np.flatnonzero(site) for site in template.allowed[k]]
        for elements in itertools.product(*options):
            if allows(elements):
                fillings.add((tuple(charges), tuple(int(e) for e in elements)))
    orbits = set()
    for charges, elements in fillings:
        copies = {(tuple(charges[i] for i in p), tuple(elements[i] for i in p)) for p in group}
        orbits.add(frozenset(copies & fillings))
    return orbits


def one_of_each(template, found, orbits):
    charges = [tuple(row) for row in template.combinations.tolist()]
    chosen = [(charges[k], tuple(int(e) for e in elements)) for k, elements in found]
    return len(set(chosen)) == len(chosen) == len(orbits) and all(
        len(orbit & set(chosen)) == 1 for orbit in orbits
    )


def test_perovskites_with_mixed_anions_are_counted_by_hand():
    template = template_of("perovskite", elements=("K", "Rb", "Mg", "Zn", "Ca", "F", "Cl", "Br"))
    assert n_fillings(template) == 2 * 3 * 27
    assert len(enumerated(template)) == 2 * 3 * 10  # multisets of three out of three anions


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("rutile", ("Ti", "Sn", "O", "S")),
        ("wurtzite", ("Zn", "Be", "O", "S", "Se")),
        ("full-heusler", ("Li", "Na", "Sb", "Bi")),
        ("delafossite", ("Cu", "Ag", "Al", "O", "S")),
    ],
)
def test_each_decoration_once_up_to_the_space_group(name, elements):
    template = template_of(name, elements=elements)
    orbits = orbits_by_brute_force(template)
    assert len(orbits) > 3
    assert one_of_each(template, enumerated(template), orbits)


@pytest.mark.parametrize(
    "sites", [{"X[0]": ("F",)}, {"X[1]": ("F", "Cl")}, {"X[0]": ("Cl",), "X[2]": ("F", "Br")}]
)
def test_sites_that_are_treated_differently_lose_nothing(sites):
    elements = ("K", "Mg", "F", "Cl", "Br")
    template = template_of("perovskite", elements=elements, sites=sites)
    assert one_of_each(template, enumerated(template), orbits_by_brute_force(template))


@pytest.mark.parametrize(
    ("settings", "allows"),
    [
        ({"counts": {"F": 2}}, lambda s: s.count("F") == 2),
        ({"required": ("Cl",)}, lambda s: "Cl" in s),
        ({"max_elements": {"X": 2}}, lambda s: len(set(s[2:])) <= 2),
        ({"same": ("X[0] X[1]",)}, lambda s: s[2] == s[3]),
    ],
)
def test_rules_on_the_crystal_hold(settings, allows):
    elements = ("K", "Na", "Mg", "F", "Cl", "Br")
    config = DesignConfig(targets=("x > 0",), elements=elements, **settings)
    template = config.resolved_template()
    rule = decoration_rule(crystal_rules(config.chemical_rules(template)), template)
    free = template_of("perovskite", elements=elements)
    orbits = orbits_by_brute_force(free, lambda e: allows([ELEMENTS[i] for i in e]))
    found = enumerated(template, rule)
    assert all(allows([ELEMENTS[i] for i in elements]) for _, elements in found)
    assert one_of_each(free, found, orbits)


def test_symmetries_of_a_perovskite():
    symmetry = site_operations(build_template("perovskite"))
    assert len(symmetry.rotations) == 48
    assert len(symmetry.distinct_permutations) == 6
