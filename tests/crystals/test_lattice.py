"""Lattice vectors, metric tensors and parameters, against pymatgen and against each other."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from pymatgen.core import Lattice

from smoacs.crystals import cell_from_parameters
from smoacs.crystals.lattice import (
    cell_parameters,
    cosines,
    directions,
    metric_tensors,
    relative_volume,
)

ANGLES = st.floats(50, 120)
LENGTHS = st.lists(st.floats(1, 30), min_size=3, max_size=3)


def parameters(lengths, angles):
    """Of one cell that has a volume, in double precision."""
    both = torch.tensor([lengths, angles], dtype=torch.float64)
    assume(float(relative_volume(cosines(both[1:]))) > 0.01)
    return both[:1], both[1:]


@given(lengths=LENGTHS, angles=st.lists(ANGLES, min_size=3, max_size=3))
def test_cell_is_that_of_pymatgen(lengths, angles):
    ours = cell_from_parameters(*parameters(lengths, angles))
    theirs = Lattice.from_parameters(*lengths, *angles, vesta=True)
    np.testing.assert_allclose(ours[0], theirs.matrix, atol=1e-9 * max(lengths))
    relative = float(torch.linalg.det(ours[0])) / np.prod(lengths)
    factor = float(relative_volume(cosines(torch.tensor([angles]).double())))
    assert factor == pytest.approx(relative**2)


@given(lengths=LENGTHS, angles=st.lists(ANGLES, min_size=3, max_size=3))
def test_metric_tensor_is_of_the_cell_and_gives_the_parameters_back(lengths, angles):
    given_lengths, given_angles = parameters(lengths, angles)
    metric = metric_tensors(given_lengths, given_angles)
    cell = cell_from_parameters(given_lengths, given_angles)
    torch.testing.assert_close(metric, cell @ cell.mT, rtol=1e-9, atol=1e-9)
    for found, asked in zip(cell_parameters(metric), (given_lengths, given_angles), strict=True):
        torch.testing.assert_close(found, asked, rtol=1e-9, atol=1e-9)


def test_right_angles_are_exact():
    lengths, right = torch.tensor([[2.0, 3.0, 4.0]]), torch.full((1, 3), 90.0)
    cell = cell_from_parameters(lengths, right)
    assert torch.equal(cell[0], torch.diag(lengths[0]))
    metric = metric_tensors(lengths, right)
    assert torch.equal(metric[0], torch.diag(lengths[0] ** 2))
    found = cell_parameters(metric)
    assert torch.equal(found[0], lengths)
    assert torch.equal(found[1], right)
    assert torch.equal(relative_volume(cosines(right)), torch.ones(1))


@pytest.mark.parametrize("angles", [[75.0, 95.0, 110.0], [90.0, 90.0, 90.0], [90.0, 90.0, 120.0]])
def test_gradient_of_the_cell(angles):
    lengths = torch.tensor([[4.1, 5.2, 6.3]]).double().requires_grad_()
    angles = torch.tensor([angles]).double().requires_grad_()
    assert torch.autograd.gradcheck(cell_from_parameters, (lengths, angles))
    (slope,) = torch.autograd.grad(cell_from_parameters(lengths, angles).sum(), angles)
    assert slope.abs().min() > 0.01  # no angle is stuck, square ones neither


def test_directions_have_length_one():
    angles = torch.tensor([[75.0, 95.0, 110.0], [90.0, 90.0, 120.0]]).double()
    torch.testing.assert_close(directions(angles).norm(dim=2), torch.ones(2, 3).double())
