"""For each hard constraint, a crystal that breaks it is caught, and one that obeys it passes."""

import dataclasses
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import is_neutral, oxidation_table
from smoacs.errors import InputError
from smoacs.judging import RuleCheck, Rules, judge
from smoacs.request import DesignConfig
from smoacs.runs import run_design
from smoacs.targets import Target
from smoacs.templates import build_template, from_structure
from toys import Bowl, perovskite_crystal

KMGF3 = ("K+", "Mg2+", "F-", "F-", "F-")


def broken(structure, template="perovskite", repeat=1, **asked):
    """What the judge says of a crystal under settings as users give them."""
    config = DesignConfig.from_mapping({"targets": ["toy < 1"], "template": template, **asked})
    rules = Rules.from_settings(config.model_dump())
    return RuleCheck(rules, build_template(template, repeat=repeat)).broken(structure)


def supercell(a=("K",) * 8, x=("F",) * 24, length=4.0):
    """A perovskite of 2×2×2 cells in the order of its template, magnesium on B."""
    template = build_template("perovskite", repeat=2)
    species = [*a, *["Mg"] * 8, *x]
    return Structure(Lattice.cubic(2 * length), species, template.frac_coords)


def moved(site, axis, by, length=4.0):
    crystal = perovskite_crystal(length=length)
    coords = np.array(crystal.frac_coords)
    coords[site, axis] += by
    return Structure(crystal.lattice, crystal.species, coords)


def stretched(lengths, angles=(90, 90, 90)):
    crystal = perovskite_crystal()
    lattice = Lattice.from_parameters(*lengths, *angles)
    return Structure(lattice, crystal.species, crystal.frac_coords)


@pytest.mark.parametrize(
    ("asked", "kept", "wrong"),
    [
        ({"elements": "K Mg F"}, KMGF3, ("Rb+", *KMGF3[1:])),
        ({"elements": "!Rb"}, KMGF3, ("Rb+", *KMGF3[1:])),
        ({"elements": "no-toxic"}, KMGF3, ("Tl+", *KMGF3[1:])),
        ({"elements": "K Mg F Tl no-toxic"}, KMGF3, ("Tl+", *KMGF3[1:])),
        ({"forbidden": "Rb"}, KMGF3, ("Rb+", *KMGF3[1:])),
        ({"forbidden": "no-toxic"}, KMGF3, ("Tl+", *KMGF3[1:])),
        ({"sites": {"A": "K"}}, KMGF3, ("Rb+", *KMGF3[1:])),
        ({"sites": {"A": "!Rb"}}, KMGF3, ("Rb+", *KMGF3[1:])),
        ({"sites": {"X[1]": "F"}}, KMGF3, (*KMGF3[:3], "Cl-", "F-")),
        ({"sites": {"X[1:3]": "F"}}, (*KMGF3[:2], "Cl-", "F-", "F-"), (*KMGF3[:4], "Cl-")),
        ({"required": "Rb"}, ("Rb+", *KMGF3[1:]), KMGF3),
        ({"required": "B=Mg"}, KMGF3, ("K+", "Ca2+", "F-", "F-", "F-")),
        ({"required": "X=Cl"}, (*KMGF3[:4], "Cl-"), KMGF3),
        ({"counts": {"F": 2}}, (*KMGF3[:4], "Cl-"), KMGF3),
        ({"counts": {"F": 2}}, (*KMGF3[:4], "Cl-"), (*KMGF3[:3], "Cl-", "Cl-")),
        ({"same": "X"}, KMGF3, (*KMGF3[:4], "Cl-")),
        ({"same": "X[0] X[2]"}, (*KMGF3[:3], "Cl-", "F-"), (*KMGF3[:4], "Cl-")),
        ({"max_elements": {"X": 1}}, KMGF3, (*KMGF3[:4], "Cl-")),
        ({"max_elements": {"all": 3}}, KMGF3, (*KMGF3[:4], "Cl-")),
        ({"ratios": {"X": {"F": 0.67, "Cl": 0.33}}}, (*KMGF3[:4], "Cl-"), KMGF3),
        ({"ratios": {"X": {"F": 0.67, "Cl": 0.33}}}, (*KMGF3[:4], "Cl-"), (*KMGF3[:4], "Br-")),
        ({"oxidation_states": {"K": 1}}, KMGF3, ("K2+", "Mg+", "F-", "F-", "F-")),
        ({"oxidation_states": {"Mg": 3}}, ("Na+", "Mg3+", "F-", "F-", "O2-"), KMGF3),
        ({"oxidation_table": "smact"}, ("Cu+", *KMGF3[1:]), ("K3+", "Li+", "F-", "F-", "O2-")),
        ({"site_charges": {"B": 2}}, KMGF3, ("Ca2+", "Na+", "F-", "F-", "F-")),
        ({"site_charges": {"B": [2, 3]}}, ("K", "Mg", "F", "F", "F"), ("Mg", "K", "F", "F", "F")),
    ],
)
def test_elements_numbers_and_charges(asked, kept, wrong):
    assert broken(perovskite_crystal(kept), **asked) == ""
    text = broken(perovskite_crystal(wrong), **asked)
    for setting in asked:
        assert text.startswith(setting)


@pytest.mark.parametrize(
    ("species", "words"),
    [
        (("K+", "Mg2+", "F-", "F-", "O2-"), "neutral: the charges add up to -1"),
        (("K", "Mg", "F", "F", "O"), "neutral: no choice of oxidation numbers"),
        (("K", "Mg", "F", "F", "He"), "oxidation_table = icsd: He has no"),
        (("Cu+", "Mg3+", "F-", "F-", "F-"), "neutral: the charges add up to +1"),
        (("U4+", "Mg2+", "O2-", "O2-", "O2-"), "elements above Z = 86"),
    ],
)
def test_what_holds_without_being_asked_for(species, words):
    assert broken(perovskite_crystal()) == ""
    assert broken(perovskite_crystal(species)).startswith(words)


@pytest.mark.parametrize(
    "asked",
    [{"elements": "U Mg O"}, {"sites": {"A": "U"}}, {"required": "U"}, {"counts": {"U": 1}}],
)
def test_heavy_elements_that_are_named_may_be_there(asked):
    crystal = perovskite_crystal(("U4+", "Mg2+", "O2-", "O2-", "O2-"))
    assert not broken(crystal, **asked).startswith("elements above")
    assert broken(crystal, sites={"B": "U Mg"}).startswith("elements above")


def test_numbers_of_a_supercell():
    mixed = ("K",) * 6 + ("Na",) * 2
    assert broken(supercell(mixed), repeat=2, ratios={"A": {"K": 0.75, "Na": 0.25}}) == ""
    off = ("K",) * 5 + ("Na",) * 3
    text = broken(supercell(off), repeat=2, ratios={"A": {"K": 0.75, "Na": 0.25}})
    assert text == "ratios.A = Na 0.25, K 0.75: 5 of 8 atoms are K"
    assert broken(supercell(off), repeat=2, counts={"Na": 2}) == "counts.Na = 2: there are 3"
    assert broken(supercell(off), repeat=2, max_elements={"A": 2, "all": 4}) == ""
    assert broken(supercell(off), repeat=2, max_elements={"all": 3}).startswith("max_elements.all")
    assert broken(supercell(off), repeat=2, same="A[0:5]") == ""
    assert broken(supercell(off), repeat=2, same="A[4:6]").startswith("same")


@pytest.mark.parametrize(
    ("asked", "kept", "wrong"),
    [
        ({"lattice": {"a": [3.9, 4.1]}}, stretched((4, 9, 9)), stretched((4.1001, 4, 4))),
        ({"lattice": {"b": 4}}, stretched((5, 4, 5)), stretched((4, 4.0001, 4))),
        (
            {"lattice": {"gamma": [85, 95]}},
            stretched((4, 4, 4)),
            stretched((4, 4, 4), (90, 90, 96)),
        ),
        ({"symmetry": "lattice"}, moved(2, 0, 0.1), stretched((4, 4, 4.001))),
        ({"symmetry": "lattice"}, moved(0, 0, 0.1), stretched((4, 4, 4), (90, 90.1, 90))),
        ({"symmetry": "space-group"}, stretched((5, 5, 5)), stretched((5, 5, 5.001))),
        ({"symmetry": "space-group"}, stretched((5, 5, 5)), moved(2, 0, 0.01)),
        (
            {"symmetry": "space-group"},
            perovskite_crystal(),
            perovskite_crystal((*KMGF3[:4], "Cl-")),
        ),
        ({"frozen": "A"}, moved(1, 0, 0.1), moved(0, 2, 1e-5)),
        ({"frozen": "X[1:3]"}, moved(2, 0, 0.1), moved(3, 0, 0.001)),
        ({"max_displacement": {"X": 0.05}}, moved(2, 0, 0.05), moved(2, 0, -0.0501)),
        ({"max_displacement": {"X[0]": 0}}, moved(3, 0, 0.05), moved(2, 0, 0.001)),
        # Twice the covalent radius of K, 2.03 Å; twice the ionic radii of Mg 0.72 and F 1.33 Å.
        (
            {"min_distance": 1},
            perovskite_crystal(length=4.061),
            perovskite_crystal(length=4.059),
        ),
        (
            {"min_distance": 1, "distance_radii": "ionic"},
            perovskite_crystal(length=4.101),
            perovskite_crystal(length=4.099),
        ),
    ],
)
def test_geometry(asked, kept, wrong):
    assert broken(kept, **asked) == ""
    assert broken(wrong, **asked).startswith(next(iter(asked)))


def test_a_distance_across_the_cell_and_to_an_own_image_counts():
    template = from_structure(Structure(Lattice.cubic(5), ["Na", "Cl"], [[0.1] * 3, [0.6] * 3]))
    check = RuleCheck(Rules(min_distance=0.9), template)
    lattice = Lattice.from_parameters(2.4, 9, 9, 90, 90, 90)
    narrow = Structure(lattice, ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert "Na and Na are 2.400 Å apart" in check.broken(narrow)
    across = Structure(Lattice.cubic(9), ["Na", "Cl"], [[0.02, 0, 0], [-0.2, 5, 0]])
    assert "are 1.980 Å apart" in check.broken(across)


def test_doubling_the_cell_of_the_same_group_is_seen():
    template = build_template("cscl", repeat=2)
    species = ["Cs"] * 8 + ["Cl"] * 8
    crystal = Structure(Lattice.cubic(8), species, template.frac_coords)
    rules = RuleCheck(Rules(symmetry="space-group"), template)
    assert rules.broken(crystal) == ""
    # One other atom at a corner of the large cell: Pm-3m again, of twice the length.
    other = Structure(Lattice.cubic(8), ["Rb", *species[1:]], template.frac_coords)
    assert "48 operations of Pm-3m, not 384" in rules.broken(other)


def test_equal_sites_of_an_ordered_compound_hold_one_element():
    check = RuleCheck(Rules(mixed=False), build_template("rutile"))
    template = build_template("rutile")
    assert check.broken(template.to_structure(["Ti", "Ti", "O", "O", "O", "O"])) == ""
    mixed = template.to_structure(["Mn", "Mn", "O", "S", "O", "O"])
    assert check.broken(mixed) == "mixed = false: there are O and S on equal sites"
    anything = RuleCheck(Rules(), build_template("rutile"))
    assert anything.broken(mixed) == ""
    with pytest.raises(InputError, match="mixed = false is about a template"):
        RuleCheck(Rules(mixed=False))


def test_spinel_at_its_own_site_is_kept_and_a_shifted_oxygen_breaks_the_group():
    template = build_template("spinel", table=oxidation_table("icsd"))
    check = RuleCheck(Rules(symmetry="space-group", frozen=["A"]), template)
    own = template.to_structure()
    assert check.broken(own) == ""
    coords = np.array(own.frac_coords)
    coords[-1, 0] += 0.01
    assert check.broken(Structure(own.lattice, own.species, coords)).startswith("symmetry")


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (Rules(frozen=["Y"]), "frozen: the template has no sites 'Y'"),
        (Rules(ratios={"X[3]": {"F": 1.0}}), "ratios: the template has no sites 'X[3]'"),
        (Rules(same=["X[2:1]"]), "same: the template has no sites"),
    ],
)
def test_sites_that_are_not_there_are_refused(rules, words):
    with pytest.raises(InputError, match=words.replace("[", r"\[")):
        RuleCheck(rules, build_template("perovskite"))


def test_rules_about_sites_need_a_template():
    with pytest.raises(InputError, match="which sites are 'A'"):
        RuleCheck(Rules(frozen=["A"]))
    with pytest.raises(InputError, match="symmetry = lattice"):
        RuleCheck(Rules(symmetry="lattice"))
    assert RuleCheck(Rules(forbidden=["K"])).broken(perovskite_crystal()).startswith("forbidden")


def test_what_is_no_crystal_of_the_template_obeys_nothing():
    check = RuleCheck(Rules(), build_template("perovskite"))
    assert check.broken(perovskite_crystal(length=0.3)) == "it is no crystal"
    rock_salt = Structure(Lattice.cubic(4), ["K", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert check.broken(rock_salt) == "the template has 5 sites: there are 2"


def test_the_table_has_the_verdict_and_its_reason():
    template = build_template("perovskite")
    check = RuleCheck(Rules(sites={"A": ["K"]}), template)
    wrong = perovskite_crystal(("Rb+", *KMGF3[1:]))
    turned = Structure.from_sites(list(perovskite_crystal())[::-1])
    targets = [Target.parse("toy < 9")]
    crystals = [perovskite_crystal(), wrong, turned]
    table = judge(crystals, targets, predictor=Bowl(), template=template, rules=check)
    assert table["rules"].tolist() == [True, False, True]
    assert table["success"].tolist() == [True, False, True]
    assert table["rule_broken"].tolist() == ["", "sites.A = K: there is Rb", ""]
    assert "rules" not in judge(crystals, targets, predictor=Bowl())


def test_a_run_is_judged_by_its_own_rules_seeds_included(monkeypatch):
    seeds = [
        perovskite_crystal(),
        Structure(Lattice.cubic(4.2), ["Na", "Cl"], [[0.0] * 3, [0.5] * 3]),
    ]
    settings = {"targets": ["toy < 9"], "n": 4, "steps": 3, "template": "seeds", "device": "cpu"}
    config = DesignConfig.from_mapping({**settings, "symmetry": "space-group", "forbidden": "Cs"})
    run = run_design(config, predictor=Bowl(), seeds=seeds)
    assert run.table["rules"].all()
    assert (run.table["rule_broken"] == "").all()
    # A search that ignored the rule would be found out.
    bad = [s.copy() for s in run.structures]
    for structure in bad:
        structure.replace(0, "Cs+")
    result = dataclasses.replace(run.result, structures=bad)
    monkeypatch.setattr(sys.modules["smoacs.runs.execute"], "run_search", lambda *_, **__: result)
    table = run_design(config, predictor=Bowl(), seeds=seeds).table
    assert table["rule_broken"].str.startswith("forbidden = Cs").all()
    assert not table["success"].any()


@given(st.data())
def test_sums_of_free_charges_agree_with_the_composition_alone(data):
    """Without charges on sites a crystal obeys exactly if its composition can be neutral."""
    symbols = data.draw(
        st.lists(st.sampled_from(["Fe", "Ti", "O", "K", "F"]), min_size=1, max_size=6)
    )
    lattice = Lattice.from_parameters(4 * len(symbols), 4, 4, 90, 90, 90)
    coords = [[k / len(symbols), 0, 0] for k in range(len(symbols))]
    rules = Rules()
    obeyed = not RuleCheck(rules).broken(Structure(lattice, symbols, coords))
    assert obeyed == is_neutral({s: symbols.count(s) for s in symbols}, rules.states())
