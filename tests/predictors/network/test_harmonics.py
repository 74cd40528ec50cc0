"""Harmonics of degree 1 and 2 and what they are multiplied with, component by component."""

import math

import torch

from smoacs.predictors.network.harmonics import (
    QUADRATIC,
    cubic_invariant,
    harmonics,
    quadratic_factors,
)

R3 = math.sqrt(3.0)
FACTORS = quadratic_factors(QUADRATIC.double())
GENERATOR = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.randn(*shape, generator=GENERATOR).double().requires_grad_()


def of_degree_2(x, y, z):
    squares = z * z - 0.5 * (x * x + y * y), 0.5 * R3 * (x * x - y * y)
    return [R3 * x * y, R3 * y * z, squares[0], R3 * x * z, squares[1]]


def assert_same(found, expected, leaves):
    torch.testing.assert_close(found, expected)
    slopes = [
        torch.autograd.grad(x.sin().sum(), leaves, retain_graph=True) for x in (found, expected)
    ]
    torch.testing.assert_close(*slopes)
    assert min(float(slope.abs().max()) for slope in slopes[0]) > 0.1


def test_harmonics():
    vectors = random(7, 3)
    unit = vectors / vectors.norm(dim=1, keepdim=True)
    x, y, z = unit.unbind(1)
    expected = torch.stack([x, y, z, *of_degree_2(x, y, z)], dim=1)
    assert_same(harmonics(unit, FACTORS), expected, [vectors])


def test_cubic_invariant():
    vectors, others = random(2, 3, 4, 6), random(2, 5, 4, 6)
    expected = (torch.stack(of_degree_2(*vectors.unbind(1)), dim=1) * others).sum(1)
    found = cubic_invariant(vectors, others, FACTORS)
    assert_same(found, expected, [vectors, others])
