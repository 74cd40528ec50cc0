"""Lattice lengths of soft candidates at zero pressure, against an energy whose minimum is known."""

import pytest
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator
from smoacs.predictors import ENERGY
from smoacs.relaxation import SecantLattice, start_at_radii
from smoacs.search.state import state_of
from smoacs.templates import perovskite
from toys import Spring


def perovskites(n):
    template = perovskite().with_elements(allowed=Spring.elements)
    generator = torch.Generator().manual_seed(0)
    candidates = Candidates.start(
        DesignSpace.from_templates([template] * n),
        generator,
        score_noise=1.0,
        combination_noise=1.0,
    )
    candidates.harden()
    return candidates


def slopes_of_lengths(candidates, evaluator):
    """Gradient of the energies by the lengths, eV/Å, and the volumes, Å³."""
    crystals = candidates.hard()
    cell_grad = evaluator.energy_slopes(crystals).cell_grad
    (gradient,) = torch.autograd.grad(crystals.cell, candidates.lengths, cell_grad)
    return gradient, crystals.volume.detach()


def test_the_minimum_is_reached():
    candidates = perovskites(16)
    start_at_radii(candidates, candidates.hard(), 1)
    before = candidates.hard().volume / Spring().rest_volume(candidates.hard())
    assert (before - 1).abs().max() > 0.05
    lattice = SecantLattice(candidates)
    with Evaluator(Spring(), (ENERGY,)) as evaluator:
        for _ in range(8):
            lattice.step(*slopes_of_lengths(candidates, evaluator))
    ratio = candidates.hard().volume / Spring().rest_volume(candidates.hard())
    assert ratio.detach().tolist() == pytest.approx([1.0] * 16, abs=0.01)


def test_steps_are_short_and_within_bounds():
    candidates = perovskites(2)
    candidates.place(torch.tensor([[4.0, 4.0, 4.0], [2.0, 9.9, 10.0]]))
    lattice = SecantLattice(candidates)
    steep = torch.tensor([[1e4, -1e4, 0.0], [1e4, -1e4, -1e4]])
    lattice.step(steep, torch.full((2,), 64.0))
    strain = candidates.lengths.detach().log() - torch.tensor(4.0).log()
    torch.testing.assert_close(strain[0], torch.tensor([-0.06, 0.06, 0.0]))
    assert candidates.lengths.tolist()[1] == [2.0, 10.0, 10.0]
    assert set(state_of(lattice)) == {"_stiffness", "_pressure", "_strain"}
