import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, neighbor_list
from smoacs.evaluation import (
    GPA,
    MAX_FORCE,
    MAX_PRESSURE,
    energy_gradients,
    evaluate,
    evaluate_residuals,
    force_sizes,
    is_at_rest,
    residuals,
)
from smoacs.predictors import ENERGY, load_predictor
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
