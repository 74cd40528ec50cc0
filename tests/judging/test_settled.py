"""Crystals that were let go are judged where they ended, their template by their parents."""

import math

import pytest
from pymatgen.core import Lattice, Structure

from smoacs.judging import judge
from smoacs.judging.rules import RuleCheck, Rules
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.relaxation import Settled
from smoacs.targets import Target
from smoacs.templates import build_template
from toys import PEROVSKITE_SITES, Spring

PREDICTOR = CombinedPredictor([Spring(), ToleranceFactor()])
TARGETS = [Target.parse("0.8 <= tolerance_factor <= 1.1")]
SPECIES = ["Sr2+", "Ti4+", "O2-", "O2-", "O2-"]


def parent():
    return Structure(Lattice.cubic(3.9), SPECIES, PEROVSKITE_SITES)


def tilted(angle=0.03):
    """Octahedra turned about c against each other: a cell of ten atoms, on no site of the cube."""
    end = parent().make_supercell([[1, 1, 0], [-1, 1, 0], [0, 0, 1]], in_place=False)
    for k, site in enumerate(end):
        if site.specie.symbol == "O" and min(site.frac_coords[2], 1 - site.frac_coords[2]) > 0.4:
            turn = angle if round(4 * site.frac_coords[0]) % 4 == 1 else -angle
            end.translate_sites([k], [turn, turn if k % 2 else -turn, 0])
    return end


def settled(**changes):
    found = {
        "structure": tilted(),
        "energy": -1.02,
        "parent_energy": -1.0,
        "lowest_frequency": 0.5,
        "parent_frequency": -3.0,
        "parent_space_group": 221,
        "space_group": 127,
        "converged": True,
        "failure": "",
    }
    return Settled(**{**found, **changes})


def judged(item, **settings):
    end = parent() if item.structure is None else item.structure
    return judge(
        [end],
        TARGETS,
        predictor=PREDICTOR,
        template=build_template("perovskite"),
        settled=[item],
        parents=[parent()],
        **settings,
    ).iloc[0]


def test_a_tilted_perovskite_is_one_still():
    row = judged(settled())
    assert row["success"]
    assert row["template_kept"]
    assert row["minimum"]
    assert row["n_atoms"] == 10
    assert row["tolerance_factor"] == pytest.approx(1.0, abs=0.1)  # of the sites of its parent
    assert row["parent_space_group"] == "Pm-3m"
    assert row["space_group"] != "Pm-3m"
    assert row["energy_gain"] == pytest.approx(0.02)
    assert row["lowest_frequency"] == 0.5
    alone = judge(
        [tilted()], TARGETS, predictor=PREDICTOR, template=build_template("perovskite")
    ).iloc[0]
    assert not alone["template_kept"]


@pytest.mark.parametrize(
    ("frequency", "converged", "minimum"),
    [(-0.09, True, True), (-0.11, True, False), (0.5, False, False), (math.nan, True, True)],
)
def test_a_minimum_has_no_imaginary_frequency(frequency, converged, minimum):
    row = judged(settled(lowest_frequency=frequency, converged=converged))
    assert row["minimum"] == row["success"] == minimum


def test_what_could_not_be_let_go_is_no_success_and_says_why():
    row = judged(settled(structure=None, converged=False, failure="falls to pieces"))
    assert not row["success"]
    assert not row["minimum"]
    assert row["settling_failure"] == "falls to pieces"
    assert row["space_group"] == "Pm-3m"


def test_other_bonds_are_another_structure_type():
    end = tilted()
    lattice = Lattice.from_parameters(*end.lattice.abc[:2], 9.0, 90, 90, 90)
    row = judged(settled(structure=Structure(lattice, end.species, end.frac_coords)))
    assert not row["template_kept"]
    assert row["template_reason"] == "its atoms have other neighbours than its parent's"


def test_rules_on_sites_are_the_parents_and_distances_its_own():
    ideal = build_template("perovskite")
    titanium = RuleCheck(Rules(sites={"B": ["Ti"]}, min_distance=0.7), ideal)
    assert judged(settled(), rules=titanium)["rules"]
    zirconium = RuleCheck(Rules(sites={"B": ["Zr"]}), ideal)
    assert "sites.B" in judged(settled(), rules=zirconium)["rule_broken"]
    short = tilted()
    short = Structure(short.lattice.scale(0.6 * short.volume), short.species, short.frac_coords)
    assert "min_distance" in judged(settled(structure=short), rules=titanium)["rule_broken"]
