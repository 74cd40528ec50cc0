"""What the judge says of doubt, and of crystals outside the training data."""

import dataclasses

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.judging import domain_note, evaluate_domain, judge
from smoacs.predictors import CombinedPredictor
from smoacs.predictors.builtin import load_network
from smoacs.predictors.domain import TrainingDomain
from smoacs.targets import Target


def rock_salt(length, cation="Na"):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), [cation, "Cl"], [[0, 0, 0], [0.5] * 3]
    )


@pytest.fixture(scope="module")
def predictor():
    network = load_network("mp2018")
    domain = TrainingDomain(
        element_counts={"Na": 100, "Cl": 100}, ranges={"volume_per_atom": (15.0, 30.0)}
    )
    network.header = dataclasses.replace(network.header, domain=domain)
    return CombinedPredictor([network])


STRUCTURES = [rock_salt(5.64), rock_salt(7.5), rock_salt(5.6, "Li"), rock_salt(0.8)]


def test_columns(predictor):
    table = judge(STRUCTURES, [Target.parse("formation_energy < 0")], predictor=predictor)
    assert table["in_domain"].tolist() == [True, False, False, False]
    warnings = table["domain_warning"]
    assert not warnings[0]
    assert "52.7 Å³ is above 30" in warnings[1]
    assert "Li is in only 0" in warnings[2]
    assert "no crystal" in warnings[3]
    assert bool(table["success"][0])


def test_one_line(predictor):
    _, reasons = evaluate_domain(STRUCTURES, predictor)
    note = domain_note(reasons)
    assert note.startswith("3 of 4 structures lie outside")
    assert "\n" not in note
    assert domain_note(["", ""]) is None


def test_without_a_domain_nothing_is_claimed():
    network = load_network("mp2018")
    network.header = dataclasses.replace(network.header, domain=None)
    assert network.applicability(Crystals.from_structures(STRUCTURES[:1])) is None
    assert evaluate_domain(STRUCTURES, network) is None


class Doubtful:
    """A gap equal to the length of the cell over 2, known to 0.1 eV for chlorides of sodium."""

    properties = {"gap": "eV", "gap.std": "eV"}  # noqa: RUF012
    cutoff = 0.0
    elements = frozenset({"Na", "Li", "Cl"})

    def __call__(self, crystals, neighbors):
        del neighbors
        gap = crystals.cell[:, 0, 0] / 2
        return {"gap": gap, "gap.std": torch.full_like(gap, 0.1)}


@pytest.mark.parametrize(("kappa", "met"), [(0.0, [1, 1, 0]), (1.0, [1, 0, 0]), (2.5, [0, 0, 0])])
def test_conservative(kappa, met):
    structures = [rock_salt(a) for a in (5.0, 5.3, 5.5)]
    table = judge(
        structures,
        [Target.parse("gap = 2.5 ± 0.2")],
        predictor=Doubtful(),
        conservative=kappa,
    )
    np.testing.assert_array_equal(table["gap_met"], np.array(met, dtype=bool))
    np.testing.assert_allclose(table["gap.std"], 0.1)


class DoubtsLithium(Doubtful):
    """Knows the gap of chlorides of sodium, and that of lithium to 0.5 eV."""

    properties = {"gap": "eV", "gap.std": "eV", "length": "Å"}  # noqa: RUF012

    def __call__(self, crystals, neighbors):
        out = super().__call__(crystals, neighbors)
        lithium = torch.zeros_like(crystals.volume).index_add(
            0, crystals.system_idx, crystals.species_probs[:, 2].to(crystals.volume)
        )
        return out | {"gap.std": 0.125 * lithium, "length": crystals.cell[:, 0, 0]}


@pytest.mark.parametrize(("kappa", "fronts"), [(0.0, [0, 0]), (1.0, [0, 1])])
def test_the_front_is_that_of_the_worse_side(kappa, fronts):
    targets = [Target.parse("maximize gap"), Target.parse("minimize length")]
    structures = [rock_salt(5.0), rock_salt(5.2, "Li")]
    table = judge(structures, targets, predictor=DoubtsLithium(), conservative=kappa)
    assert table["pareto"].tolist() == fronts


def test_conservative_needs_a_spread(predictor):
    with pytest.raises(InputError, match="no spread for volume_per_atom"):
        judge(
            STRUCTURES[:1],
            [Target.parse("volume_per_atom < 30")],
            predictor=Volume(),
            conservative=1.0,
        )


class Volume(Doubtful):
    properties = {"volume_per_atom": "Å^3"}  # noqa: RUF012

    def __call__(self, crystals, neighbors):
        del neighbors
        return {"volume_per_atom": crystals.volume / crystals.counts}


@pytest.mark.parametrize("kappa", [-1.0, float("nan"), float("inf")])
def test_conservative_is_a_number_of_at_least_zero(kappa):
    with pytest.raises(InputError, match=r"conservative = .* at least 0"):
        judge([], [Target.parse("gap > 1")], predictor=Doubtful(), conservative=kappa)
