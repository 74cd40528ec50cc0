"""Weights of a Nequix potential as plain matrices; `read_nequix.py` reads them from its file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

WIDTH = 16
"""Channels are padded to a multiple of this, the width of the kernel's vectors."""


@dataclass(frozen=True)
class Path:
    """One way from a degree at the sender to a degree at the receiver.

    Attributes:
        degrees: Of sender, spherical harmonic and receiver.
        channels: Padded number.
        coupling: [2 l3 + 1, 2 l1 + 1, 2 l2 + 1].
    """

    degrees: tuple[int, int, int]
    channels: int
    coupling: Array


@dataclass(frozen=True)
class Layer:
    """One convolution.

    Attributes:
        inputs: Padded channels by degree.
        paths: In the order of the radial weights, by degree of the receiver.
        first: Linear map of the features before they are sent, by degree.
        radial: Weight matrices of the radial network; the last one gives all paths' weights.
        second: Linear map of the sums, by degree, [sum of channels, outputs].
        skip: Linear map of the features themselves, by degree; degrees without one are left out.
        norm: Affine weights by degree.
    """

    inputs: dict[int, int]
    paths: list[Path]
    first: dict[int, Array]
    radial: list[Array]
    second: dict[int, Array]
    skip: dict[int, Array]
    norm: dict[int, Array]


@dataclass(frozen=True)
class Weights:
    """All of a potential; energies in eV, lengths in Å.

    Attributes:
        cutoff: Å.
        basis: Number of radial functions.
        power: Of the cutoff's polynomial.
        numbers: Atomic numbers known, in the order of the embedding.
        layers: The convolutions.
        scalars: Channels of degree 0 that a gated layer passes on.
        gate: Factor of the gate's silu, which e3nn scales to unit second moment.
        readout: [channels].
        scale: eV, of an atom's readout.
        atoms: eV, what each element adds.
        harmonics: By degree: matrix from monomials to components.
    """

    cutoff: float
    basis: int
    power: float
    numbers: tuple[int, ...]
    layers: list[Layer]
    scalars: int
    gate: float
    readout: Array
    scale: float
    atoms: Array
    harmonics: dict[int, Array]


def padded(channels: int) -> int:
    """The next multiple of the kernel's width."""
    return -(-channels // WIDTH) * WIDTH


def monomials(degree: int) -> list[tuple[int, int, int]]:
    """Powers of x, y and z of the given degree."""
    return [
        (i, j, degree - i - j) for i in range(degree, -1, -1) for j in range(degree - i, -1, -1)
    ]
