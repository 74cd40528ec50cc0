"""Lattice lengths and angles, and the metric tensor that stands for both."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def metric_tensor(lengths: Floats, angles: Floats) -> Floats:
    """Scalar products of the lattice vectors, Å², [3, 3], of lengths (Å) and angles (degrees)."""
    alpha, beta, gamma = cosines(angles)
    metric = np.array([[1.0, gamma, beta], [gamma, 1.0, alpha], [beta, alpha, 1.0]])
    scaled: Floats = metric * np.outer(lengths, lengths)
    return scaled


def lattice_parameters(metric: Floats) -> tuple[Floats, Floats]:
    """Lengths (Å) and angles (degrees), each [3], of a metric tensor."""
    lengths = np.sqrt(np.diag(metric))
    cosine = metric / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(np.clip([cosine[1, 2], cosine[0, 2], cosine[0, 1]], -1.0, 1.0)))
    return lengths, angles


def relative_volume(angles: Floats) -> float:
    """Squared volume of a cell with these angles (degrees) and unit lengths; 1 if rectangular."""
    values = cosines(angles)
    return float(1.0 + 2.0 * np.prod(values) - np.sum(values**2))


def cosines(angles: Floats) -> Floats:
    """Cosines of angles in degrees; exactly 0 at 90°."""
    values: Floats = np.where(angles == 90.0, 0.0, np.cos(np.radians(angles)))  # noqa: PLR2004
    return values
