"""Steps towards rest, against crystals whose rest is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.evaluation import is_at_rest
from smoacs.relaxation import relax_structures
from smoacs.relaxation.settler import Settler
from smoacs.relaxation.site_symmetry import SiteSymmetry
from smoacs.search.gradient.objective import Objective
from smoacs.targets import Target
from smoacs.templates import from_structure, perovskite, prototype
from toys import PairEnergy


class Pressed(PairEnergy):
    """Atoms that repel each other, pressed together."""

    def __call__(self, crystals, neighbors):
        energy = super().__call__(crystals, neighbors)["formation_energy"]
        return {"formation_energy": energy + 0.03 * crystals.volume / crystals.counts}


TARGETS = [Target.parse("formation_energy < 0")]


def settled(template, elements, *, steps, shake=0.0, seed=0):
    """Candidates of a template after some steps, and the last evaluation."""
    n = len(elements)
    soft = SoftCrystals.start(
        DesignSpace.from_templates([template] * n), torch.Generator().manual_seed(seed)
    )
    with torch.no_grad():
        noise = torch.randn(soft.displacements.shape, generator=torch.Generator().manual_seed(seed))
        soft.displacements.add_(shake * noise)
        soft.lengths.fill_(4.0 / soft.length_unit if template.n_sites == 5 else 1.0)
    soft.project()
    flat = torch.as_tensor(elements).flatten()
    combination = torch.zeros(n, dtype=torch.int64)
    settler = Settler(soft, SiteSymmetry.of(template))
    settler.restart(torch.ones(n, dtype=torch.bool), flat)
    index = torch.arange(n)
    with Objective(Pressed(), TARGETS, at_rest=True) as objective:
        for step in range(steps + 1):
            crystals = soft.hard_crystals(combination, flat)
            evaluation = objective(crystals, lambda t, v: t.loss(v), index, chemistry=False)
            gradient = settler.look(
                index, crystals, frac_grad=evaluation.frac_grad, cell_grad=evaluation.cell_grad
            )
            if step < steps:
                settler.step(index, gradient, crystals.cell.detach())
    return soft, settler, evaluation, soft.hard_crystals(combination, flat)


def rutile_rows(n):
    """Mg, Ti and O on rutile, n times, with other elements on one site."""
    rows = np.array([[21, 21, 7, 7, 7, 7]] * n)
    rows[1:, 0] = 11
    return rows


def test_free_coordinates_and_cell_come_to_rest():
    _, settler, evaluation, _ = settled(prototype("rutile"), rutile_rows(3), steps=25)
    assert bool(is_at_rest(evaluation.pressure, evaluation.max_force).all())
    assert float(settler.stress.max()) < 1.0
    assert float(settler.force.max()) < 0.05


def test_energy_at_rest_is_that_of_another_relaxation():
    template = prototype("rutile")
    _, _, evaluation, crystals = settled(template, rutile_rows(2), steps=40)
    predictor = Pressed()
    relaxed = relax_structures(crystals.to_structures(), predictor, fmax=0.02)
    energy = evaluation.values["formation_energy"].tolist()
    assert energy == pytest.approx([r.energy for r in relaxed], abs=2e-3)


def test_symmetry_of_the_decoration_is_kept():
    x = [[19, 21, 7, 7, 7], [19, 21, 7, 7, 8]]
    soft, _, _, _ = settled(perovskite(), x, steps=12, shake=0.02)
    lengths = soft.cell_parameters()[0].detach()
    assert float((lengths[0].max() - lengths[0].min()) / lengths[0].mean()) < 1e-5
    a, b, c = lengths[1].tolist()
    assert b == pytest.approx(c, rel=1e-5)
    assert a != pytest.approx(b, rel=1e-4)
    moved = soft.displacements.detach().view(2, 5, 3)
    assert float((moved[0] - moved[0].mean(0)).abs().max()) < 1e-5


def test_frozen_sites_stay_and_boxes_hold():
    lattice = Lattice.from_parameters(4.1, 4.4, 5.0, 85, 95, 100)
    structure = Structure(lattice, ["Na", "Cl", "Mg", "O"], np.random.default_rng(0).random((4, 3)))
    template = from_structure(structure, coord_box=0.01)
    box = np.full((4, 3), 0.01)
    box[0] = 0.0
    template = replace(template, coord_box=box)
    elements = [[10, 16, 11, 7]] * 2
    soft, settler, _, _ = settled(template, elements, steps=15)
    moved = soft.displacements.detach().view(2, 4, 3)
    assert float(moved[:, 0].abs().max()) == 0
    assert float(moved.abs().max()) <= 0.01 + 1e-7
    assert bool(settler.force.isfinite().all())


def test_each_candidate_moves_as_if_alone():
    rows = rutile_rows(3)
    together = settled(prototype("rutile"), rows, steps=6)[0].displacements.detach().view(3, 6, 3)
    alone = settled(prototype("rutile"), rows[1:2], steps=6)[0].displacements.detach()
    assert torch.allclose(together[1], alone, atol=1e-5)
