import pytest
import torch

from smoacs.crystals import Crystals
from smoacs.evaluation import evaluate, residuals
from smoacs.evaluation.derivatives import (
    ENERGY,
    GPA,
    MAX_FORCE,
    MAX_PRESSURE,
    evaluate_residuals,
    force_sizes,
    is_at_rest,
)
from toys import PairEnergy, random_structures


@pytest.fixture
def crystals():
    return Crystals.from_structures(random_structures(0, (2, 5, 3)))


def energies(crystals):
    """eV, of the whole cells."""
    return torch.as_tensor(evaluate(PairEnergy(), crystals)[ENERGY]) * crystals.counts


def test_pressure_is_the_slope_of_the_energy_in_the_volume(crystals):
    pressure, _ = evaluate_residuals(PairEnergy(), crystals)
    step = 1e-5
    ends = [energies(crystals.replace(cell=crystals.cell * (1 + s * step))) for s in (1, -1)]
    slope = (ends[0] - ends[1]) / (6 * step * crystals.volume)
    torch.testing.assert_close(pressure, -GPA * slope, rtol=1e-6, atol=1e-6)
    assert (pressure > 0.1).all()  # atoms that repel each other want to expand


def test_largest_force_is_the_slope_of_the_energy_in_a_position(crystals):
    _, largest = evaluate_residuals(PairEnergy(), crystals)
    inverse = torch.linalg.inv(crystals.cell)[crystals.system_idx]
    step, sizes = 1e-5, []
    for atom in range(crystals.n_atoms):
        force = []
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                frac = crystals.frac_coords.clone()
                frac[atom] += sign * step * inverse[atom, axis]
                ends.append(energies(crystals.replace(frac_coords=frac)).sum())
            force.append((ends[1] - ends[0]) / (2 * step))
        sizes.append(torch.stack(force).norm())
    expected = torch.zeros(3).double()
    expected.scatter_reduce_(0, crystals.system_idx, torch.stack(sizes), "amax")
    torch.testing.assert_close(largest, expected, rtol=1e-6, atol=1e-6)
    assert (largest > 0.01).all()


def test_force_and_pressure_do_not_depend_on_the_orientation(crystals):
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q
    turned = crystals.replace(cell=crystals.cell @ turn)
    for ours, theirs in zip(
        evaluate_residuals(PairEnergy(), crystals),
        evaluate_residuals(PairEnergy(), turned),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_no_gradient_no_residuals(crystals):
    zero = (torch.zeros_like(crystals.frac_coords), torch.zeros_like(crystals.cell))
    pressure, force = residuals(*zero, crystals)
    assert (pressure == 0).all()
    assert (force == 0).all()
    assert force_sizes(zero[0], crystals).shape == (10,)


def test_at_rest():
    pressure = MAX_PRESSURE * torch.tensor([0.0, -0.9, 1.1, -1.1, 0.0, torch.nan])
    force = MAX_FORCE * torch.tensor([0.0, 0.9, 0.0, 0.0, 1.1, 0.0])
    assert is_at_rest(pressure, force).tolist() == [True, True, False, False, False, False]
