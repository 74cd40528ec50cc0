"""Relaxation of batches: minima that are known, and symmetry that stays."""

from dataclasses import replace

import numpy as np
import pytest
import spglib
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS, element_index
from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import GPA, Evaluator, evaluate_residuals, is_at_rest
from smoacs.predictors import ENERGY, load_predictor
from smoacs.relaxation import QuasiNewton, relax_candidates, relax_structures
from smoacs.relaxation.variables import Variables
from smoacs.templates import (
    Operations,
    build_template,
    from_structure,
    perovskite,
    prototype,
    site_operations,
)
from toys import PairEnergy

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
    space = DesignSpace.from_templates([template] * len(rows))
    elements = torch.tensor([[element_index(symbol) for symbol in row.split()] for row in rows])
    return Candidates.real(space, torch.zeros(len(rows), dtype=torch.int64), elements)


def relaxed(candidates, operations, predictor, observer=None):
    """Where candidates end, and the predictor calls that it took."""
    with Evaluator(predictor, (ENERGY,)) as evaluator:
        ends = relax_candidates(candidates, operations, evaluator, observer)
    return ends, evaluator.predictor_calls


def test_a_quadratic_energy_is_minimised_in_few_calls():
    template = build_template("anatase")
    candidates = crystals_on(template, ["Ti Ti O O O O"])
    ends, calls = relaxed(candidates, Operations.identity(6), Elastic())
    lengths, angles = (x.detach()[0].tolist() for x in (candidates.lengths, candidates.angles))
    assert lengths == pytest.approx([4.0, 4.0, 4.0 * RATIO], rel=5e-3)
    assert angles == pytest.approx([90.0] * 3, abs=1.0)
    assert ends.finite.all()
    assert not ends.given_up.any()
    assert abs(float(ends.pressure)) < 0.5
    assert float(ends.max_force) == 0
    assert float(ends.values[ENERGY]) == pytest.approx(-1.0, abs=1e-3)
    assert calls <= 20


def group_of(candidates, system):
    """Space group of one candidate, by spglib."""
    part = candidates.hard(torch.tensor([system])).detached()
    cell = part.cell[0].double().numpy().tolist()
    coords = part.frac_coords.double().numpy().tolist()
    numbers = candidates.rows[system].tolist()
    return spglib.get_symmetry_dataset((cell, coords, numbers), symprec=1e-3).number


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
    candidates = crystals_on(template, [sites])
    ends, _ = relaxed(candidates, site_operations(template), predictor)
    assert ends.finite.all()
    assert abs(float(ends.pressure)) < 0.6
    assert float(ends.max_force) < 0.04
    again, same = evaluate_residuals(predictor, candidates.hard().detached())
    assert float(again) == pytest.approx(float(ends.pressure), abs=0.05)
    assert float(same) == pytest.approx(float(ends.max_force), abs=0.01)
    assert group_of(candidates, 0) == group


def test_a_crystal_that_is_not_finite_stands_still():
    class Broken(Elastic):
        def __call__(self, crystals, neighbors):
            energy = super().__call__(crystals, neighbors)["formation_energy"]
            first = torch.arange(len(energy)) == 0
            return {"formation_energy": torch.where(first, energy * torch.nan, energy)}

    template = build_template("rock-salt")
    candidates = crystals_on(template, ["Mg O", "Ca O"])
    before = candidates.lengths.detach().clone()
    ends, _ = relaxed(candidates, site_operations(template), Broken())
    assert ends.finite.tolist()[0] is False
    assert torch.equal(candidates.lengths.detach()[0], before[0])
    assert ends.values[ENERGY].isnan().tolist()[0]


def test_guessed_cells_get_the_symmetry_of_their_decoration():
    template = build_template("perovskite")
    candidates = crystals_on(template, ["Sr Ti O O O", "K Mg F F Cl"])
    stretch = torch.tensor([[1.0, 1.1, 1.2]])
    shifts = 0.01 * torch.arange(30).view(10, 3) % 0.02
    candidates.place(candidates.lengths.detach() * stretch, displacements=shifts)
    Variables(candidates, site_operations(template)).symmetrise(torch.arange(2))
    assert [group_of(candidates, system) for system in range(2)] == [221, 123]


def test_what_an_observer_lets_go_stays_where_it_is():
    template = build_template("rock-salt")
    rows = ["Mg O", "Ca O", "Sr O"]
    candidates = crystals_on(template, rows)
    before = candidates.lengths.detach().clone()
    steps = []

    def observer(step, moving, found):
        steps.append((step, moving.tolist(), sorted(found.values)))
        return moving == 1

    ends, _ = relaxed(candidates, site_operations(template), Elastic(), observer)
    assert ends.given_up.tolist() == [False, True, False]
    assert torch.equal(candidates.lengths.detach()[1], before[1])
    assert not torch.equal(candidates.lengths.detach()[0], before[0])
    assert steps[0] == (0, [0, 1, 2], ["formation_energy"])
    assert all(1 not in moving for _, moving, _ in steps[1:])


class Pressed(PairEnergy):
    """Atoms that repel each other, pressed together."""

    def __call__(self, crystals, neighbors):
        energy = super().__call__(crystals, neighbors)["formation_energy"]
        return {"formation_energy": energy + 0.03 * crystals.volume / crystals.counts}


def settled(template, elements, *, steps, shake=0.0, seed=0):
    """Candidates of a template after some steps, their optimiser, and the last evaluation."""
    n = len(elements)
    candidates = Candidates.real(
        DesignSpace.from_templates([template] * n),
        torch.zeros(n, dtype=torch.int64),
        torch.as_tensor(elements),
    )
    shape = candidates.displacements.shape
    shifts = shake * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    lengths = torch.full((n, 3), 4.0) if template.n_sites == 5 else candidates.space.lengths
    candidates.place(lengths, displacements=shifts)
    newton, index = QuasiNewton(candidates, site_operations(template)), torch.arange(n)
    newton.restart(index)
    with Evaluator(Pressed(), (ENERGY,)) as evaluator:
        for step in range(steps + 1):
            crystals = candidates.hard().detached()
            found = evaluator.energy_slopes(crystals)
            gradient = newton.look(
                index, crystals, frac_grad=found.frac_grad, cell_grad=found.cell_grad
            )
            if step < steps:
                newton.step(index, gradient, crystals.cell)
    return candidates, newton, found


def rutile_rows(n):
    """Mg, Ti and O on rutile, n times, with other elements on one site."""
    rows = np.array([[21, 21, 7, 7, 7, 7]] * n)
    rows[1:, 0] = 11
    return rows


def test_free_coordinates_and_cell_come_to_rest():
    _, newton, found = settled(prototype("rutile"), rutile_rows(3), steps=25)
    assert bool(is_at_rest(found.pressure, found.max_force).all())
    assert float(newton.stress.max()) < 1.0
    assert float(newton.force.max()) < 0.05


def test_energy_at_rest_is_that_of_another_relaxation():
    template = prototype("rutile")
    candidates, _, found = settled(template, rutile_rows(2), steps=40)
    others = relax_structures(candidates.hard().to_structures(), Pressed(), fmax=0.02)
    energy = found.values[ENERGY].tolist()
    assert energy == pytest.approx([other.energy for other in others], abs=2e-3)


def test_symmetry_of_the_decoration_is_kept():
    x = [[19, 21, 7, 7, 7], [19, 21, 7, 7, 8]]
    candidates, _, _ = settled(perovskite(), x, steps=12, shake=0.02)
    lengths = candidates.lengths.detach()
    assert float((lengths[0].max() - lengths[0].min()) / lengths[0].mean()) < 1e-5
    a, b, c = lengths[1].tolist()
    assert b == pytest.approx(c, rel=1e-5)
    assert a != pytest.approx(b, rel=1e-4)
    moved = candidates.displacements.detach().view(2, 5, 3)
    assert float((moved[0] - moved[0].mean(0)).abs().max()) < 1e-5


def test_frozen_sites_stay_and_boxes_hold():
    lattice = Lattice.from_parameters(4.1, 4.4, 5.0, 85, 95, 100)
    structure = Structure(lattice, ["Na", "Cl", "Mg", "O"], np.random.default_rng(0).random((4, 3)))
    template = from_structure(structure, coord_box=0.01)
    box = np.full((4, 3), 0.01)
    box[0] = 0.0
    template = replace(template, coord_box=box)
    elements = [[10, 16, 11, 7]] * 2
    candidates, newton, _ = settled(template, elements, steps=15)
    moved = candidates.displacements.detach().view(2, 4, 3)
    assert float(moved[:, 0].abs().max()) == 0
    assert float(moved.abs().max()) <= 0.01 + 1e-7
    assert bool(newton.force.isfinite().all())


def test_each_candidate_moves_as_if_alone():
    rows = rutile_rows(3)
    together = settled(prototype("rutile"), rows, steps=6)[0].displacements.detach().view(3, 6, 3)
    alone = settled(prototype("rutile"), rows[1:2], steps=6)[0].displacements.detach()
    assert torch.allclose(together[1], alone, atol=1e-5)
