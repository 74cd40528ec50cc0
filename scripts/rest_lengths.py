"""Rest lengths of perovskites by CHGNet 0.3.0, for `make_dft_dataset.py` (extra `train`)."""

import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

SITES: Final = np.array(
    [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], dtype=float
)
"""Fractional coordinates of A, of B, and of the X that lie on B's bonds along a, b and c."""

FACTORS: Final = np.linspace(0.80, 1.30, 21)
"""Lengths of the cube that are tried, in units of the sum of ionic radii."""

STEPS: Final = np.linspace(-0.09, 0.09, 7)
"""Changes of one length of the box that are tried at a time."""

SWEEPS: Final = 2


class RestLengths:
    """Rest lengths (Å) of cubes, and of boxes with a length of their own along each axis.

    What was found is kept in a file.
    """

    def __init__(self, path: Path) -> None:
        """Read what the file holds; a line that a killed run left unfinished is skipped."""
        self._path = path
        self._model: Any = None
        self._known: dict[str, list[float] | None] = {}
        text = path.read_text() if path.exists() else ""
        if not text.endswith("\n"):
            text = text[: text.rfind("\n") + 1]
            path.write_text(text)
        for line in text.splitlines():
            self._known.update(json.loads(line))

    def __call__(
        self, species: Sequence[str], radii: Sequence[float], *, boxed: bool
    ) -> list[float] | None:
        """Lengths at rest (Å), [3]; None if CHGNet sees no minimum near the ionic radii.

        Args:
            species: Elements on A, B, X, X, X.
            radii: Their ionic radii (Å).
            boxed: Whether each axis has its own length.
        """
        boxed = boxed and len(set(species[2:])) > 1
        key = f"{' '.join(species)} {'box' if boxed else 'cube'}"
        if key not in self._known:
            if boxed:
                cube = self(species, radii, boxed=False)
                found = None if cube is None else self._box(species, radii, cube[0])
            else:
                found = self._cube(species, radii)
            self._known[key] = found
            with self._path.open("a") as file:
                file.write(json.dumps({key: found}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return self._known[key]

    def _cube(self, species: Sequence[str], radii: Sequence[float]) -> list[float] | None:
        """The minimum that is nearest to the length which the radii ask for."""
        guess = ionic_length(radii)
        energies = self._energies(species, np.outer(guess * FACTORS, np.ones(3)))
        inner = np.flatnonzero((energies[1:-1] < energies[:-2]) & (energies[1:-1] < energies[2:]))
        if len(inner) == 0:
            return None
        best = int(inner[np.argmin(np.abs(FACTORS[inner + 1] - 1.0))]) + 1
        return [round(float(guess * _vertex(FACTORS, energies, best)), 4)] * 3

    def _box(self, species: Sequence[str], radii: Sequence[float], cube: float) -> list[float]:
        """The minimum in one length after the other, from lengths in proportion to B-X.

        Axes with the same X keep the same length: a tetragonal cell has fewer k-points.
        """
        bonds = radii[1] + np.array(radii[2:])
        box = cube * bonds / bonds.mean()
        alike = [np.array(species[2:]) == x for x in dict.fromkeys(species[2:])]
        for _, axes in itertools.product(range(SWEEPS), alike):
            trials = np.repeat(box[None], len(STEPS), axis=0)
            trials[:, axes] *= 1.0 + STEPS[:, None]
            energies = self._energies(species, trials)
            box[axes] *= 1.0 + _vertex(STEPS, energies, int(np.argmin(energies)))
        return [round(float(length), 4) for length in box]

    def _energies(
        self, species: Sequence[str], lengths: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """CHGNet's energies (eV/atom) of boxes, [n, 3] to [n]."""
        if self._model is None:
            from chgnet.model import CHGNet  # noqa: PLC0415 - an extra, slow to import
            from torch import set_num_threads  # noqa: PLC0415

            set_num_threads(1)
            self._model = CHGNet.load(use_device="cpu", verbose=False)
            self._model.graph_converter.on_isolated_atoms = "ignore"
        boxes = [Structure(Lattice.orthorhombic(*row), species, SITES) for row in lengths]
        answers = self._model.predict_structure(boxes, task="e", batch_size=len(boxes))
        return np.array([float(answer["e"]) for answer in answers])


def ionic_length(radii: Sequence[float]) -> float:
    """Length of the cube (Å) that radii on A, B, X, X, X ask for: mean of those by B-X and A-X."""
    r_a, r_b, *r_x = radii
    x = float(np.mean(r_x))
    return float((r_b + x) + np.sqrt(0.5) * (r_a + x))


def _vertex(x: NDArray[np.float64], y: NDArray[np.float64], i: int) -> float:
    """Lowest point of the parabola through points i - 1, i and i + 1 of even spacing."""
    if not 0 < i < len(x) - 1:
        return float(x[i])
    curvature = y[i - 1] - 2.0 * y[i] + y[i + 1]
    return float(x[i] + 0.5 * (x[i + 1] - x[i]) * (y[i - 1] - y[i + 1]) / curvature)
