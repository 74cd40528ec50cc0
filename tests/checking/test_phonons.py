"""Phonons of crystals whose stability is known."""

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from pymatgen.core import Lattice, Structure

from smoacs.checking import RelaxSettings, phonon_table
from smoacs.checking.phonons import phonons, supercell
from smoacs.checking.potentials import AsePotential

FACES = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]


@pytest.fixture
def potential():
    calculator = LennardJones(sigma=2.6, epsilon=0.4, rc=6.0, smooth=True)
    return AsePotential("lennard-jones", lambda: calculator)


def relaxed(potential, structure):
    settings = RelaxSettings(fmax=1e-3, max_steps=200)
    return next(iter(potential.relax([structure], settings)))[0].structure


def test_close_packing_is_stable(potential):
    close_packed = relaxed(potential, Structure(Lattice.cubic(3.9), ["Cu"] * 4, FACES))
    assert phonons(close_packed, potential).lowest_frequency == pytest.approx(0, abs=0.05)


def test_a_simple_cube_is_not(potential):
    cube = relaxed(potential, Structure(Lattice.cubic(2.8), ["Cu"], [[0, 0, 0]]))
    assert phonons(cube, potential).lowest_frequency < -1


def test_the_table_and_its_cache(potential, tmp_path):
    cube = Structure(Lattice.cubic(2.75), ["Cu"], [[0, 0, 0]])
    huge = Structure(Lattice.orthorhombic(0.9, 40, 40), ["Cu"] * 30, np.random.rand(30, 3))  # noqa: NPY002
    cache = tmp_path / "phonons.jsonl"
    table = phonon_table([cube, None, huge], potential, cache=cache)
    assert table["dynamically_stable"].tolist() == [False, None, None]
    assert table["phonon_failure"].tolist() == [
        "",
        "not relaxed",
        "a supercell would have more than 200 atoms",
    ]

    class Silent:
        name = potential.name

    again = phonon_table([cube, None, huge], Silent(), cache=cache)
    assert again["phonon_frequency"][0] == table["phonon_frequency"][0]


def test_two_cells_of_a_perovskite():
    assert supercell(Structure(Lattice.orthorhombic(3.8, 4.5, 8.1), ["Cu"], [[0, 0, 0]])) == (
        2,
        2,
        1,
    )
