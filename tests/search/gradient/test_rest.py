"""Designs at rest, against an energy whose minimum is known."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, DesignSpace, NeighborList, SoftCrystals, neighbor_list
from smoacs.errors import InputError
from smoacs.evaluation import GPA, energy_gradients, evaluate_residuals, is_at_rest, residuals
from smoacs.judging import judge
from smoacs.predictors import CombinedPredictor, ToleranceFactor, load_predictor
from smoacs.relaxation.lattice import LatticeRelaxer
from smoacs.relaxation.radii import radius_length, scale_to_radii, start_at_radii
from smoacs.runs import design
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.rest import with_shared_choices
from smoacs.targets import Target
from smoacs.templates import perovskite

BULK_MODULUS = 60.0
"""GPa, of `Spring` at its rest volume."""


class Spring:
    """Energy quadratic in ln V around a volume that grows with the mean atomic number."""

    properties: ClassVar = {"formation_energy": "eV/atom", "band_gap": "eV"}
    cutoff = 0.0
    elements = frozenset({"Sr", "Ti", "O", "Ba", "K", "Mg", "F", "Cl", "S", "Zr", "Na"})

    def rest_volume(self, crystals: Crystals) -> torch.Tensor:
        numbers = torch.arange(1, 99).to(crystals.species_probs)
        z = torch.zeros(crystals.n_systems).to(crystals.cell)
        z = z.index_add(0, crystals.system_idx, crystals.species_probs @ numbers)
        return 40.0 + 0.4 * z

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, torch.Tensor]:
        del neighbors
        rest = self.rest_volume(crystals)
        strain = torch.log(crystals.volume / rest)
        energy = 0.5 * BULK_MODULUS / GPA * rest * strain**2 / crystals.counts - 1.0
        return {"formation_energy": energy, "band_gap": 0.05 * rest}


@pytest.fixture(scope="module")
def spring():
    return CombinedPredictor([Spring(), ToleranceFactor()])


@pytest.fixture
def exact():
    """The built-in predictor in double precision: finite differences over tiny steps."""
    predictor = load_predictor(device="cpu")
    predictor.parts[0].network.double()
    return predictor


@pytest.fixture
def distorted():
    rng = np.random.default_rng(3)
    lattice = Lattice(np.diag([3.8, 4.1, 4.4]) + 0.2 * rng.normal(size=(3, 3)))
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    frac = np.array(frac) + 0.04 * rng.normal(size=(5, 3))
    return Structure(lattice, ["Sr", "Ti", "O", "O", "O"], frac)


def test_pressure_is_minus_energy_by_volume(distorted, exact):
    predictor = exact
    step = 1e-5
    scaled = [distorted.copy() for _ in range(2)]
    for structure, sign in zip(scaled, (-1, 1), strict=True):
        structure.scale_lattice(distorted.volume * (1 + sign * step))
    crystals = Crystals.from_structures(scaled)
    energy = predictor(crystals, neighbor_list(crystals, predictor.cutoff))["formation_energy"]
    difference = 5 * float(energy[1] - energy[0]) / (2 * step * distorted.volume)
    pressure, _ = evaluate_residuals(predictor, Crystals.from_structures([distorted]))
    assert abs(float(pressure[0])) > 1.0
    assert float(pressure[0]) == pytest.approx(-GPA * difference, rel=1e-3)


def test_largest_force_is_the_energy_slope_of_that_atom(distorted, exact):
    predictor = exact
    crystals = Crystals.from_structures([distorted])
    crystals.frac_coords.requires_grad_()
    crystals.cell.requires_grad_()
    out = predictor(crystals, neighbor_list(crystals, predictor.cutoff))["formation_energy"]
    frac_grad, cell_grad = energy_gradients(out, crystals)
    _, largest = residuals(frac_grad, cell_grad, crystals)
    inverse = np.linalg.inv(distorted.lattice.matrix)
    forces = -(frac_grad.numpy() @ inverse.T)
    atom = int(np.linalg.norm(forces, axis=1).argmax())
    direction = forces[atom] / np.linalg.norm(forces[atom])
    assert float(largest[0]) == pytest.approx(np.linalg.norm(forces[atom]), rel=1e-5)
    moved = [distorted.copy() for _ in range(2)]
    step = 2e-5
    for structure, sign in zip(moved, (-1, 1), strict=True):
        structure.translate_sites([atom], sign * step * direction, frac_coords=False)
    crystals = Crystals.from_structures(moved)
    energy = predictor(crystals, neighbor_list(crystals, predictor.cutoff))["formation_energy"]
    slope = -5 * float(energy[1] - energy[0]) / (2 * step)
    assert float(largest[0]) > 0.1
    assert slope == pytest.approx(float(largest[0]), rel=1e-3)


def test_rest_is_bounded_on_both_sides():
    pressure = torch.tensor([0.0, 2.9, -2.9, 3.1, -3.1, 0.0, torch.nan])
    force = torch.tensor([0.0, 0.09, 0.09, 0.0, 0.0, 0.11, 0.0])
    assert is_at_rest(pressure, force).tolist() == [True, True, True, False, False, False, False]


def soft_perovskites(n, seed=0):
    space = DesignSpace.from_templates([perovskite().with_elements(allowed=Spring.elements)] * n)
    generator = torch.Generator().manual_seed(seed)
    return SoftCrystals.start(space, generator, score_noise=1.0, combination_noise=1.0)


def test_relaxer_reaches_the_minimum(spring):
    soft = soft_perovskites(16)
    combination, elements = soft.discretise()
    start_at_radii(soft, 1.0, 1)
    relaxer = LatticeRelaxer(soft)
    targets = [Target.parse("band_gap > 1")]
    with Objective(spring, targets, at_rest=True) as objective:
        for _ in range(8):
            crystals = soft.hard_crystals(combination, elements)
            evaluation = objective(crystals, lambda target, values: target.loss(values))
            evaluation.backward(crystals)
            relaxer.step(crystals.volume.detach())
    crystals = soft.hard_crystals(combination, elements)
    ratio = crystals.volume / Spring().rest_volume(crystals)
    assert ratio.detach().tolist() == pytest.approx([1.0] * 16, abs=0.01)


def test_many_sites_of_a_kind_choose_together():
    template = perovskite(3)
    space = DesignSpace.from_templates([template] * 4)
    shared = with_shared_choices(space, template, torch.Generator().manual_seed(0))
    soft = SoftCrystals.start(shared, torch.Generator().manual_seed(0), score_noise=1.0)
    elements = soft.discretise()[1].view(4, -1)
    labels = np.array(template.site_labels)
    for row in elements:
        kinds = [len(set(row[torch.tensor(labels == kind)].tolist())) for kind in "ABX"]
        assert sorted(kinds) in ([1, 1, 1], [1, 1, 2])
    assert len({tuple(row.tolist()) for row in elements}) == 4


def test_few_sites_choose_for_themselves():
    space = DesignSpace.from_templates([perovskite()] * 4)
    assert with_shared_choices(space, perovskite(), torch.Generator()) is space


def test_radius_length_is_near_that_of_known_perovskites():
    soft = soft_perovskites(1)
    template = perovskite()
    known = {("Sr", "Ti", "O"): 3.905, ("K", "Mg", "F"): 3.99, ("Ba", "Zr", "O"): 4.19}
    from smoacs.chemistry import element_index  # noqa: PLC0415

    for (a, b, x), length in known.items():
        choice = torch.tensor([element_index(s) for s in (a, b, x, x, x)])
        k = 1 if x == "O" else 0
        assert template.combinations[k, 4] == (-2 if x == "O" else -1)
        crystals = soft.hard_crystals(torch.tensor([k]), choice)
        assert float(radius_length(crystals)[0]) == pytest.approx(length, rel=0.05)


def test_scaling_follows_the_ions():
    soft = soft_perovskites(4)
    combination, elements = soft.discretise()
    before = soft.cell_parameters()[0].clone()
    scale_to_radii(soft, combination, elements, elements)
    assert torch.allclose(soft.cell_parameters()[0], before)
    radii = perovskite().with_elements(allowed=Spring.elements).radii
    sizes = torch.tensor(radii)[combination][:, 2]  # of every element on the first X site
    largest = elements.view(4, 5).clone()
    largest[:, 2:] = sizes.argmax(1, keepdim=True)
    old = radius_length(soft.hard_crystals(combination, elements))
    new = radius_length(soft.hard_crystals(combination, largest.flatten()))
    scale_to_radii(soft, combination, elements, largest.flatten())
    after = soft.cell_parameters()[0]
    inside = (after < 10.0).all(1)  # the others stop at the upper bound
    assert inside.any()
    assert float((new / old).max()) > 1.02
    assert torch.allclose(after[inside], (before * (new / old)[:, None])[inside], rtol=1e-5)


def test_a_design_at_rest_is_at_rest(spring):
    run = design(
        targets=["band_gap = 3.1 ± 0.1", "0.8 <= tolerance_factor <= 1.0"],
        n=8,
        steps=40,
        at_rest=True,
        predictor=spring,
    )
    assert run.table["at_rest"].mean() > 0.8
    rested = run.table[run.table["at_rest"]]
    assert (rested["pressure"].abs() < 3).all()
    assert (rested["max_force"] < 0.1).all()
    assert (run.table["success"] <= run.table["at_rest"]).all()


def test_the_judge_refuses_a_strained_cell(spring):
    lattice = Lattice.cubic(4.4)
    frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]]
    strained = Structure(lattice, ["Sr", "Ti", "O", "O", "O"], frac)
    targets = [Target.parse("band_gap > 1")]
    lenient = judge([strained], targets, predictor=spring)
    strict = judge([strained], targets, predictor=spring, must_rest=True)
    assert lenient["success"].tolist() == [True]
    assert strict["success"].tolist() == [False]
    assert strict["pressure"].iloc[0] < -3


def test_rest_needs_an_energy():
    with pytest.raises(InputError, match="formation_energy"):
        judge([], [], predictor=ToleranceFactor(), must_rest=True)


def test_paper_and_rest_exclude_each_other():
    with pytest.raises(InputError, match="exclude each other"):
        design(targets=["band_gap > 1"], preset="paper", at_rest=True)
