"""CHGNet's units and signs, against finite differences of its own energies."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.training.displaced.potential import chgnet_energies, chgnet_labels

pytest.importorskip("chgnet", reason="needs the extra train")

GPA = 160.21766208
STEP = 0.02


@pytest.fixture(scope="module")
def crystal():
    """Low symmetry, stretched along c, compressed along a, far from rest."""
    lattice = Lattice.from_parameters(3.75, 4.0, 4.3, 84, 93, 97)
    sites = [[0, 0, 0], [0.52, 0.47, 0.5], [0.5, 0.53, 0.03], [0.48, 0.02, 0.5], [0.05, 0.5, 0.46]]
    return Structure(lattice, ["Sr", "Ti", "O", "O", "O"], sites)


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def moved(crystal, atom, axis, step):
    shift = np.zeros(3)
    shift[axis] = step
    new = crystal.copy()
    new.translate_sites([atom], shift, frac_coords=False)
    return new


def strained(crystal, i, j, step):
    strain = np.zeros((3, 3))
    strain[i, j] += 0.5 * step
    strain[j, i] += 0.5 * step
    cell = crystal.lattice.matrix @ (np.eye(3) + strain)
    return Structure(Lattice(cell), crystal.species, crystal.frac_coords)


def test_forces_and_stress_are_slopes_of_the_energy(crystal):
    label = chgnet_labels([crystal], derivatives=True)[0]
    n = len(crystal)
    displaced = [moved(crystal, 2, k, s) for k in range(3) for s in (STEP, -STEP)]
    pairs = [(i, j) for i in range(3) for j in range(i, 3)]
    deformed = [strained(crystal, i, j, s) for i, j in pairs for s in (STEP, -STEP)]
    energy = n * chgnet_energies([*displaced, *deformed]).reshape(-1, 2)
    slopes = (energy[:, 0] - energy[:, 1]) / (2 * STEP)
    assert np.abs(slopes[:3]).max() > 0.5
    np.testing.assert_allclose(label.forces[2], -slopes[:3], atol=0.02)
    stress = slopes[3:] / crystal.volume * GPA
    assert np.abs(stress).max() > 5
    symmetric = 0.5 * (label.stress + label.stress.T)
    np.testing.assert_allclose([symmetric[i, j] for i, j in pairs], stress, atol=0.7)


def test_sign_of_stress(crystal):
    sizes = [crystal.copy() for _ in range(2)]
    for structure, factor in zip(sizes, (0.93, 1.07), strict=True):
        structure.scale_lattice(crystal.volume * factor**3)
    squeezed, stretched = chgnet_labels(sizes, derivatives=True)
    assert np.trace(squeezed.stress) < -10
    assert np.trace(stretched.stress) > 10
