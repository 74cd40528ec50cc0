"""Real spherical harmonics of degree 1 and 2, up to a factor; few large operations each.

A search of a hundred atoms calls them so often that the number of operations, not of numbers, is
what they cost: all products of components come from one, all sums of them from another.
"""

import math

import torch
from torch import Tensor

DEGREES = (1, 1, 1, 2, 2, 2, 2, 2)
"""Of the eight harmonics; those of degree 1 change their sign with the direction."""

_XY, _YZ, _ZZ, _XZ, _XX_YY = range(5)

QUADRATIC = torch.zeros(2, 3, 3, 5)
"""Harmonics of degree 2, √3 xy, √3 yz, z² - (x² + y²) / 2, √3 xz, √3 (x² - y²) / 2, as sums of
products of two components, [2, 3, 3, 5]: what comes without √3 and what with it, which so keeps all
digits in any precision."""

QUADRATIC[0, (0, 1, 2), (0, 1, 2), _ZZ] = torch.tensor([-0.5, -0.5, 1.0])
QUADRATIC[1, (0, 1, 0), (1, 2, 2), (_XY, _YZ, _XZ)] = 1.0
QUADRATIC[1, (0, 1), (0, 1), _XX_YY] = torch.tensor([0.5, -0.5])


def quadratic_factors(quadratic: Tensor) -> Tensor:
    """Of each product of two components in each harmonic of degree 2, [9, 5], from `QUADRATIC`."""
    without, with_root = quadratic.flatten(1, 2).unbind()
    return torch.add(without, with_root, alpha=math.sqrt(3.0))


def harmonics(unit: Tensor, factors: Tensor) -> Tensor:
    """Of degree 1 and 2, of unit vectors [M, 3]: [M, 8].

    Args:
        unit: Of length 1.
        factors: See `quadratic_factors`.
    """
    products = unit.unsqueeze(2) * unit.unsqueeze(1)
    return torch.cat([unit, products.flatten(1) @ factors], dim=1)


def quadratic_harmonics(vectors: Tensor, factors: Tensor) -> Tensor:
    """Harmonics of degree 2, [M, 5, N, c], of vectors of any length.

    Args:
        vectors: [M, 3, N, c].
        factors: See `quadratic_factors`.
    """
    members, _, *rest = vectors.shape
    products = vectors.unsqueeze(2) * vectors.unsqueeze(1)
    of_each = factors.T.expand(members, -1, -1)
    return torch.bmm(of_each, products.view(members, 9, -1)).view(members, 5, *rest)


def cubic_invariant(vectors: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    """Harmonics of degree 2 of vectors, times moments of that degree, [M, N, c].

    Args:
        vectors: [M, 3, N, c].
        others: [M, 5, N, c].
        factors: See `quadratic_factors`.
    """
    return (quadratic_harmonics(vectors, factors) * others).sum(1)
