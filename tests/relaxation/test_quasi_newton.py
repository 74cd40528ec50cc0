"""Relaxation of batches: minima that are known, and symmetry that stays."""

import numpy as np
import pytest
import spglib
import torch

from smoacs.chemistry import ELEMENTS, element_index
from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.evaluation import GPA, Evaluator, evaluate_residuals
from smoacs.predictors import load_predictor
from smoacs.relaxation.quasi_newton import Relaxation
from smoacs.relaxation.site_symmetry import SiteSymmetry
from smoacs.templates import build_template

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR:DeprecationWarning")  # spglib

BULK, SHEAR = 70.0, 25.0
RATIO = 1.7
"""Of c to a, at rest."""


class Elastic:
    """Energy quadratic in the logarithms of a, b, c around a tetragonal cell; stiff on angles."""

    properties = {"formation_energy": "eV/atom"}  # noqa: RUF012
    cutoff = 0.0
    elements = frozenset(ELEMENTS)

    def __call__(self, crystals, neighbors):
        del neighbors
        lengths = crystals.cell.norm(dim=2)
        rest = torch.tensor([4.0, 4.0, 4.0 * RATIO]).to(lengths)
        strain = torch.log(lengths / rest)
        volume = float(rest.prod())
        trace = strain.sum(1)
        energy = 0.5 * BULK * trace**2 + SHEAR * ((strain - trace[:, None] / 3) ** 2).sum(1)
        unit = crystals.cell / lengths[:, :, None]
        skew = (unit @ unit.mT - torch.eye(3).to(unit)).square().sum((1, 2))
        total = volume / GPA * (energy + SHEAR * skew)
        return {"formation_energy": total / crystals.counts - 1.0}


def crystals_on(template, rows):
    soft = SoftCrystals.start(DesignSpace.from_templates([template] * len(rows)), torch.Generator())
    with torch.no_grad():
        soft.lengths.copy_(soft.space.lengths / soft.length_unit)
    elements = torch.tensor([[element_index(symbol) for symbol in row.split()] for row in rows])
    combination = torch.zeros(len(rows), dtype=torch.int64)
    return soft, combination, elements.flatten()


def evaluator(predictor, *properties):
    return Evaluator(predictor, properties or ("formation_energy",), device=torch.device("cpu"))


def test_a_quadratic_energy_is_minimised_in_few_calls():
    template = build_template("anatase")
    soft, combination, elements = crystals_on(template, ["Ti Ti O O O O"])
    symmetry = SiteSymmetry(np.arange(6)[None], np.eye(3)[None])
    with evaluator(Elastic()) as predict:
        values, finite, pressure, force = Relaxation(soft, combination, elements, symmetry).run(
            predict
        )
    lengths, angles = (p.detach()[0].tolist() for p in soft.cell_parameters())
    assert lengths == pytest.approx([4.0, 4.0, 4.0 * RATIO], rel=5e-3)
    assert angles == pytest.approx([90.0] * 3, abs=1.0)
    assert finite.all()
    assert abs(float(pressure)) < 0.5
    assert float(force) == 0
    assert float(values["formation_energy"]) == pytest.approx(-1.0, abs=1e-3)
    assert predict.calls <= 20


@pytest.mark.parametrize(
    ("name", "sites", "group"),
    [
        ("perovskite", "Sr Ti O O O", 221),
        ("perovskite", "K Mg F F Cl", 123),
        ("rutile", "Ti Ti O O O O", 136),
        ("wurtzite", "Zn Zn O O", 186),
        ("rock-salt", "Mg O", 225),
    ],
)
def test_crystals_come_to_rest_in_the_space_group_of_their_decoration(name, sites, group):
    predictor = load_predictor(device="cpu")
    template = build_template(name)
    soft, combination, elements = crystals_on(template, [sites])
    with evaluator(predictor) as predict:
        relaxation = Relaxation(soft, combination, elements, SiteSymmetry.of(template))
        _, finite, pressure, force = relaxation.run(predict)
    assert finite.all()
    assert abs(float(pressure)) < 0.6
    assert float(force) < 0.04
    crystals = soft.hard_crystals(combination, elements)
    again, same = evaluate_residuals(predictor, crystals.to("cpu"))
    assert float(again) == pytest.approx(float(pressure), abs=0.05)
    assert float(same) == pytest.approx(float(force), abs=0.01)
    cell = crystals.cell.detach().double().numpy()[0].tolist()
    coords = crystals.frac_coords.detach().double().numpy().tolist()
    found = spglib.get_symmetry_dataset((cell, coords, elements.tolist()), symprec=1e-3)
    assert found.number == group


def test_a_crystal_that_is_not_finite_stands_still():
    class Broken(Elastic):
        def __call__(self, crystals, neighbors):
            energy = super().__call__(crystals, neighbors)["formation_energy"]
            first = torch.arange(len(energy)) == 0
            return {"formation_energy": torch.where(first, energy * torch.nan, energy)}

    template = build_template("rock-salt")
    soft, combination, elements = crystals_on(template, ["Mg O", "Ca O"])
    before = soft.lengths.detach().clone()
    with evaluator(Broken()) as predict:
        symmetry = SiteSymmetry.of(template)
        values, finite, _, _ = Relaxation(soft, combination, elements, symmetry).run(predict)
    assert finite.tolist()[0] is False
    assert torch.equal(soft.lengths.detach()[0], before[0])
    assert values["formation_energy"].isnan().tolist()[0]


def test_guessed_cells_get_the_symmetry_of_their_decoration():
    template = build_template("perovskite")
    soft, combination, elements = crystals_on(template, ["Sr Ti O O O", "K Mg F F Cl"])
    with torch.no_grad():
        soft.lengths.mul_(torch.tensor([[1.0, 1.1, 1.2], [1.0, 1.1, 1.2]]))
        soft.displacements.add_(0.01 * torch.arange(30).view(10, 3) % 0.02)
    Relaxation(soft, combination, elements, SiteSymmetry.of(template)).symmetrise()
    crystals = soft.hard_crystals(combination, elements)
    for system, group in enumerate((221, 123)):
        part = crystals.select(torch.tensor([system]))
        cell = part.cell[0].detach().double().numpy().tolist()
        coords = part.frac_coords.detach().double().numpy().tolist()
        numbers = elements.view(2, -1)[system].tolist()
        found = spglib.get_symmetry_dataset((cell, coords, numbers), symprec=1e-3)
        assert found.number == group


def test_what_an_observer_lets_go_stays_where_it_is():
    template = build_template("rock-salt")
    rows = ["Mg O", "Ca O", "Sr O"]
    soft, combination, elements = crystals_on(template, rows)
    before = soft.lengths.detach().clone()
    steps = []

    def observer(step, moving, found):
        steps.append((step, moving.tolist(), sorted(found.properties)))
        return moving == 1

    with evaluator(Elastic()) as predict:
        relaxation = Relaxation(soft, combination, elements, SiteSymmetry.of(template))
        relaxation.run(predict, observer)
    assert relaxation.given_up.tolist() == [False, True, False]
    assert torch.equal(soft.lengths.detach()[1], before[1])
    assert not torch.equal(soft.lengths.detach()[0], before[0])
    assert steps[0] == (0, [0, 1, 2], ["formation_energy"])
    assert all(1 not in moving for _, moving, _ in steps[1:])
