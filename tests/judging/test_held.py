"""Forces on atoms that were asked not to move do not keep a crystal from being at rest."""

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from smoacs.judging import RuleCheck, Rules, judge
from smoacs.judging.residuals import evaluate_rest
from smoacs.request import DesignConfig
from smoacs.runs import run_design
from smoacs.targets import Target
from smoacs.templates import build_template
from toys import PairEnergy

TEMPLATE = build_template("spinel")
ELEMENT = {"A": "Mg2+", "B": "Al3+", "X": "O2-"}
SPINEL = TEMPLATE.to_structure([ELEMENT[label] for label in TEMPLATE.site_labels])
TARGETS = (Target.parse("formation_energy < 100"),)


def check(**asked):
    config = DesignConfig.from_mapping({"targets": ["toy < 1"], "template": "spinel", **asked})
    return RuleCheck(Rules.from_settings(config.model_dump()), TEMPLATE)


def row(structure, **asked):
    table = judge(
        [structure],
        TARGETS,
        predictor=PairEnergy(),
        template=TEMPLATE,
        must_rest=True,
        rules=check(**asked),
    )
    return table.iloc[0]


@pytest.mark.parametrize(
    "asked",
    [
        {"frozen": "X"},
        {"max_displacement": {"X": 0.0}},
        {"frozen": "X[0]", "symmetry": "space-group"},
    ],
)
def test_only_anions_are_pushed_in_a_spinel_and_those_are_held(asked):
    free = row(SPINEL)
    assert free["max_force"] > 0.1
    fixed = row(SPINEL, **asked)
    assert fixed["max_force"] == pytest.approx(0.0, abs=1e-3)
    assert fixed["pressure"] == free["pressure"]
    assert fixed["rules"]


@pytest.mark.parametrize(
    "asked", [{"frozen": "A"}, {"frozen": "X[0]"}, {"max_displacement": {"X": 0.001}}]
)
def test_every_atom_that_may_move_counts(asked):
    assert row(SPINEL, **asked)["max_force"] == pytest.approx(row(SPINEL)["max_force"], rel=1e-4)


def test_atoms_are_held_in_any_order():
    assert check(frozen="X").fixed(3).tolist() == [False] * 3
    order = np.random.default_rng(1).permutation(len(SPINEL))
    mixed = Structure.from_sites([SPINEL[int(k)] for k in order])
    assert row(mixed)["max_force"] > 0.1
    assert row(mixed, frozen="X")["max_force"] == pytest.approx(0.0, abs=1e-3)


def test_held_atoms_of_each_crystal_of_a_batch():
    slow = SPINEL.copy()
    slow.scale_lattice(SPINEL.volume * 1.05)
    fixed = [check(frozen="X").fixed(14), np.zeros(14, dtype=bool), np.zeros(1, dtype=bool)]
    broken = Structure(SPINEL.lattice, ["Lr"], [[0, 0, 0]])
    force = evaluate_rest([SPINEL, slow, broken], PairEnergy(), fixed)["max_force"]
    alone = evaluate_rest([slow], PairEnergy())["max_force"]
    assert force[0] == pytest.approx(0.0, abs=1e-3)
    assert force[1] == pytest.approx(alone[0], rel=1e-5)
    assert np.isnan(force[2])


class Bound(PairEnergy):
    """Pair repulsion in a box of about 9 Å³ an atom, where it is still felt."""

    def __call__(self, crystals, neighbors):
        energy = super().__call__(crystals, neighbors)["formation_energy"]
        strain = torch.log(crystals.volume / crystals.counts / 9.0)
        return {"formation_energy": energy + 5.0 * strain.square()}


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
def test_designs_with_frozen_atoms_are_found_at_rest(search):
    settings = {
        "targets": ["formation_energy < 100"],
        "template": "spinel",
        "elements": "Mg Al O",
        "frozen": "X",
        "rest": "symmetry",
        "search": search,
        "n": 1,
        "steps": 60,
        "device": "cpu",
    }
    run = run_design(DesignConfig.from_mapping(settings), predictor=Bound())
    assert run.table["at_rest"].all()
    assert run.result.search.get("successes", 1) == 1
    free = evaluate_rest(run.result.structures, Bound())
    assert free["max_force"].min() > 0.1
    assert np.abs(free["pressure"]).max() < 3.0
