"""Prototypes by name against the compounds they are named after."""

import warnings
from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Composition
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.chemistry import ELEMENTS, oxidation_table
from smoacs.errors import InputError
from smoacs.templates import PROTOTYPES, from_structure, prototype, reference_structure

# Shortest bond of each reference compound: its atoms, its length (Å), and how many neighbours of
# the second element the first one has at that distance (within 5 %).
BONDS = {
    "rock-salt": ("Na", "Cl", 2.820, 6),
    "zincblende": ("Zn", "S", 2.342, 4),
    "wurtzite": ("Zn", "S", 2.342, 4),
    "cscl": ("Cs", "Cl", 3.571, 8),
    "fluorite": ("Ca", "F", 2.366, 8),
    "antifluorite": ("Li", "O", 2.000, 4),
    "rutile": ("Ti", "O", 1.947, 6),
    "anatase": ("Ti", "O", 1.934, 6),
    "spinel": ("Mg", "O", 1.924, 4),
    "half-heusler": ("Ag", "As", 2.702, 4),
    "full-heusler": ("K", "Sb", 3.730, 4),
    "delafossite": ("Cu", "O", 1.864, 2),
    "double-perovskite": ("Al", "F", 1.778, 6),
    "layered-perovskite": ("Ni", "F", 1.974, 6),
    "garnet": ("Si", "O", 1.645, 4),
    "nickeline": ("Ni", "As", 2.440, 6),
    "cadmium-iodide": ("Cd", "I", 2.994, 6),
    "corundum": ("Al", "O", 1.856, 3),
    "ilmenite": ("Ti", "O", 1.874, 3),
    "chalcopyrite": ("Fe", "S", 2.257, 4),
}


def reference_charges(name):
    return {orbit.label: orbit.charge for orbit in PROTOTYPES[name].orbits}


@pytest.fixture(scope="module", params=PROTOTYPES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def template(name):
    return prototype(name)


@pytest.fixture(scope="module")
def reference(name):
    return reference_structure(name)


def test_formula_and_space_group_are_those_of_the_reference(name, reference):
    kind = PROTOTYPES[name]
    assert reference.reduced_formula == Composition(kind.reference).reduced_formula
    assert len(reference) == kind.n_sites
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's
        analyzer = SpacegroupAnalyzer(reference, symprec=1e-3)
        assert analyzer.get_space_group_number() == kind.space_group
        assert len(analyzer.find_primitive()) == len(reference)
        conventional = analyzer.get_conventional_standard_structure()
    assert conventional.lattice.abc == pytest.approx(kind.lattice, abs=1e-3)


def test_shortest_bond_and_coordination(name, reference):
    symbol, partner, length, coordination = BONDS[name]
    distances = [
        (neighbor.nn_distance, site.specie.symbol, neighbor.specie.symbol)
        for site, around in zip(reference, reference.get_all_neighbors(4.5), strict=True)
        for neighbor in around
    ]
    shortest = min(distances)
    assert shortest[0] == pytest.approx(length, abs=2e-3)
    site = next(i for i, s in enumerate(reference) if s.specie.symbol == symbol)
    around = reference.get_neighbors(reference[site], 1.05 * length)
    assert [n.specie.symbol for n in around].count(partner) == coordination


def test_template_has_the_geometry_of_the_reference(name, template, reference):
    assert np.allclose(template.lengths, reference.lattice.abc)
    assert np.allclose(template.angles, reference.lattice.angles)
    assert ((template.angles >= 60 - 1e-6) & (template.angles <= 120 + 1e-6)).all()
    element_of = {orbit.label: orbit.element for orbit in PROTOTYPES[name].orbits}
    built = template.to_structure([element_of[label] for label in template.site_labels])
    assert built.matches(reference)
    free = from_structure(reference, table={
        orbit.element: (orbit.charge,) for orbit in PROTOTYPES[name].orbits
    })  # fmt: skip
    for field in ("coord_box", "length_bounds", "angle_bounds"):
        assert (getattr(template, field) == getattr(free, field)).all()
    assert template.radii is None


def test_combinations_are_neutral_and_hold_the_reference(name, template):
    assert 1 <= template.n_combinations <= 12
    assert not template.combinations.sum(axis=1, dtype=int).any()
    charges = reference_charges(name)
    own = [charges[label] for label in template.site_labels]
    k = [row.tolist() for row in template.combinations].index(own)
    element_of = {orbit.label: orbit.element for orbit in PROTOTYPES[name].orbits}
    for site, label in enumerate(template.site_labels):
        element = element_of[label]
        # The common table has no Cu+1, which CuAlO2 and CuFeS2 have, and no Ni+3.
        known = element not in {"Cu", "Ni"} or name == "layered-perovskite"
        assert template.allowed[k, site, ELEMENTS.index(element)] == known
    anions = np.array([label == "X" for label in template.site_labels])
    assert ((template.combinations < 0) == anions).all()


def test_combinations_are_all_that_there_are(name):
    table = oxidation_table()
    states = {charge for charges in table.values() for charge in charges}
    every = prototype(name, max_combinations=10_000)
    counts = Counter(every.site_labels)
    found = {tuple(row) for row in every.combinations.tolist()}
    assert len(found) == every.n_combinations
    patterns = [{}]
    for label in counts:
        patterns = [
            {**pattern, label: charge}
            for pattern in patterns
            for charge in states
            if (charge < 0) == (label == "X")
        ]
    neutral = [p for p in patterns if sum(counts[label] * q for label, q in p.items()) == 0]
    if "B'" in counts:
        neutral = [p for p in neutral if p["B"] <= p["B'"]]
    assert found == {tuple(p[label] for label in every.site_labels) for p in neutral}


def test_any_choice_of_elements_is_neutral(template):
    rng = np.random.default_rng(0)
    for k in range(template.n_combinations):
        chosen = [ELEMENTS[rng.choice(np.flatnonzero(site))] for site in template.allowed[k]]
        charges = template.combinations[k].tolist()
        assert sum(charges) == 0
        table = oxidation_table()
        assert all(q in table[symbol] for q, symbol in zip(charges, chosen, strict=True))


def test_the_most_common_combinations_come_first():
    assert prototype("rock-salt").combination_names[0] == "A+2 X-2"
    assert prototype("rutile").combination_names[:2] == ("A+4 X-2", "A+2 X-1")
    assert prototype("spinel").combination_names[0] == "A+2 B+3 X-2"
    assert prototype("spinel", max_combinations=1).n_combinations == 1


def test_supercells_repeat_the_primitive_cell():
    template = prototype("delafossite", 2)
    assert Counter(template.site_labels) == {"A": 8, "B": 8, "X": 16}
    assert np.allclose(template.lengths, 2 * prototype("delafossite").lengths)
    assert template.combination_names == prototype("delafossite").combination_names


def test_garnet_keeps_its_three_cations_apart():
    garnet = reference_structure("garnet")
    expected = {"Ca": (8, 2.6), "Al": (6, 2.1), "Si": (4, 1.8)}
    for site in garnet:
        if site.specie.symbol in expected:
            number, radius = expected[site.specie.symbol]
            around = garnet.get_neighbors(site, radius)
            assert [n.specie.symbol for n in around] == ["O"] * number


def test_a_site_b_is_not_boron():
    template = prototype("spinel").with_elements(allowed={"Mg", "Al", "O"})
    assert template.to_structure().reduced_formula == "MgAl2O4"


def test_what_cannot_be_built():
    with pytest.raises(InputError, match="there is no prototype 'marble'; they are rock-salt,"):
        prototype("marble")
    with pytest.raises(InputError, match=r"for AX2 \(rutile\); oxidation_table = 'icsd'"):
        prototype("rutile", table={"Na": (1,), "Cl": (-1,)})
    with pytest.raises(InputError, match="no neutral combination"):
        prototype("rutile", table={"Na": (1,)})
    with pytest.raises(InputError, match="repeat and max_combinations must be at least 1"):
        prototype("rutile", 0)
