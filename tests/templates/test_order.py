"""Ordered compounds, against pymatgen's own symmetry finder."""

from functools import cache

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.chemistry import ELEMENTS
from smoacs.errors import InputError
from smoacs.request import DesignConfig
from smoacs.request.decoration_rules import decoration_rule
from smoacs.templates import (
    TEMPLATE_NAMES,
    build_template,
    from_structure,
    interchangeable,
    ordered,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Set OLD_ERROR_HANDLING:DeprecationWarning"
)  # spglib

TARGETS = ("density > 1",)


@cache
def resolved(name):
    template = DesignConfig(targets=TARGETS, template=name, mixed=False).resolved_template()
    return template, decoration_rule([], template)


@cache
def own_group(name):
    """Number of the space group with a different element on each kind of site."""
    template = build_template(name)
    kinds = sorted(set(template.site_labels))
    species = [ELEMENTS[2 + kinds.index(label)] for label in template.site_labels]
    return SpacegroupAnalyzer(template.to_structure(species), 0.01).get_space_group_number()


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
@settings(max_examples=30)
@given(data=st.data())
def test_every_decoration_keeps_the_space_group(name, data):
    template, rule = resolved(name)
    k = data.draw(st.integers(0, template.n_combinations - 1))
    elements = np.zeros(template.n_sites, dtype=np.int64)
    for site in np.unique(template.tied_to):
        options = np.flatnonzero(template.allowed[k, site]).tolist()
        elements[template.tied_to == site] = data.draw(st.sampled_from(options))
    if not rule(k, elements[None])[0]:
        return
    crystal = template.to_structure([ELEMENTS[e] for e in elements])
    assert SpacegroupAnalyzer(crystal, 0.01).get_space_group_number() == own_group(name)
    assert len(set(elements.tolist())) <= 4


def test_kinds_of_one_charge_hold_different_elements():
    template, rule = resolved("chalcopyrite")
    k = template.combination_names.index("A+2 B+2 X-2")
    zinc, cadmium, sulphur = (ELEMENTS.index(symbol) for symbol in ("Zn", "Cd", "S"))
    a, b = template.sites("A")[0], template.sites("B")[0]

    def decorated(first, second):
        elements = np.full(template.n_sites, sulphur)
        elements[template.tied_to == template.tied_to[a]] = first
        elements[template.tied_to == template.tied_to[b]] = second
        return bool(rule(k, elements[None])[0])

    assert not decorated(zinc, zinc)
    # A and B are alike: of the two orders one is enough.
    assert decorated(zinc, cadmium) != decorated(cadmium, zinc)


@pytest.mark.parametrize(
    ("name", "first", "second", "are"),
    [
        ("double-perovskite", "B", "B'", True),
        ("chalcopyrite", "A", "B", True),
        ("half-heusler", "A", "B", True),
        ("ilmenite", "A", "B", True),
        ("delafossite", "A", "B", False),
        ("spinel", "A", "B", False),
        ("full-heusler", "A", "B", False),
    ],
)
def test_kinds_that_can_change_places(name, first, second, are):
    assert interchangeable(build_template(name), first, second) == are


def test_a_seed_keeps_its_own_symmetry():
    lattice = Lattice.tetragonal(4.0, 7.0)
    seed = Structure.from_spacegroup(
        "P4/mmm", lattice, ["K", "Mg", "O", "F"], [[0, 0, 0], [0.5] * 3, [0.5, 0, 0], [0, 0, 0.5]]
    )
    template = ordered(from_structure(seed, table={"K": (1,), "Mg": (2,), "O": (-2,), "F": (1,)}))
    oxygen = list(template.sites("O"))
    assert len(oxygen) == 2
    assert len(set(template.tied_to[oxygen].tolist())) == 1


def test_more_than_four_orbits_have_four_elements():
    coords = [[0, 0, 0], [0.5, 0.5, 0.1], [0.5, 0, 0.3], [0, 0.5, 0.45], [0.1, 0.2, 0.7]]
    seed = Structure(Lattice.orthorhombic(5, 6, 9), ["Na", "Mg", "F", "F", "F"], coords)
    config = DesignConfig(targets=TARGETS)
    template = config.restricted(from_structure(seed))
    rules = config.chemical_rules(template)
    assert [rule.limit for rule in rules] == [4]
    mixed = DesignConfig(targets=TARGETS, mixed=True)
    assert not mixed.chemical_rules(mixed.restricted(from_structure(seed)))
    more = DesignConfig(targets=TARGETS, max_elements={"all": 5})
    assert [rule.limit for rule in more.chemical_rules(template)] == [5]


def ties(**asked):
    template = DesignConfig.from_mapping({"targets": TARGETS, **asked}).resolved_template()
    return template.n_sites if template.tied_to is None else len(np.unique(template.tied_to))


def test_what_may_be_mixed_and_what_may_not():
    assert ties(template="rutile") == 2
    assert ties(template="rutile", mixed=True) == 6
    assert ties(template="rutile", repeat=2) == 48
    assert ties(template="rutile", preset="paper") == 6
    assert ties(template="rutile", max_elements={"X": 2}) == 6
    assert ties(template="rutile", max_elements={"all": 3}) == 2
    assert ties(template="perovskite") == 5
    assert ties(template="perovskite", mixed=False) == 3
    # two of the four X: no ordered rutile has that
    assert ties(template="rutile", counts={"O": 2}) == 6
    assert ties(template="rutile", counts={"O": 4}) == 2


def test_mixed_false_and_what_needs_mixing_exclude_each_other():
    with pytest.raises(InputError, match="mixed = false and what else is asked for exclude"):
        ties(template="rutile", mixed=False, counts={"O": 2})
    with pytest.raises(InputError, match=r"sites\.A = O"):
        ties(template="rutile", mixed=False, sites={"A": "O", "X": "F"})


def test_the_paper_has_its_own_numbers():
    assert DesignConfig(targets=TARGETS).oxidation_table == "icsd"
    assert DesignConfig(targets=TARGETS, preset="paper").oxidation_table == "common"
    paper = DesignConfig(targets=TARGETS, preset="paper", oxidation_table="smact")
    assert paper.oxidation_table == "smact"
