import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from smoacs.dft import Calculation, DftError, DftSettings, DftValues, plan_calculation

SITES = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]


def perovskite(a, b, x, length=4.0):
    return Structure(Lattice.cubic(length), [a, b, x, x, x], SITES)


def plan(structure, **settings):
    return plan_calculation(structure, DftSettings(**settings))


@pytest.mark.parametrize(
    ("lengths", "grid"),
    [
        ((3.4, 4.0, 6.9), (6, 4, 4)),
        ((3.5, 7.0, 7.1), (4, 2, 2)),
        ((13.9, 14.0, 50.0), (2, 2, 2)),
        ((2.0, 2.4, 4.0), (8, 6, 4)),
    ],
)
def test_kpoints_are_even_and_at_least_as_dense_as_asked_for(lengths, grid):
    structure = Structure(Lattice.orthorhombic(*lengths), ["H"], [[0, 0, 0]])
    assert plan(structure).kpoints == grid


def test_the_cutoff_follows_the_elements():
    assert plan(perovskite("K", "Mg", "F")).cutoff == 800.0
    assert plan(perovskite("K", "Mg", "Cl")).cutoff == 500.0


def test_spin_follows_the_charges():
    assert not plan(perovskite("Sr", "Ti", "O")).spin_polarized
    nickel = plan(perovskite("K", "Ni", "F"))
    assert nickel.spin_polarized
    assert nickel.moments == (0, 2, 0, 0, 0)
    assert nickel.hubbard_u == {"Ni": 6.2}
    assert not plan(perovskite("K", "Ni", "F"), spin="off").spin_polarized
    assert plan(perovskite("Sr", "Ti", "O"), spin="on").spin_polarized
    assert plan(perovskite("K", "Ni", "F"), hubbard_u="none").hubbard_u == {}
    decorated = perovskite("Sr", "Ti", "O")
    decorated.add_oxidation_state_by_site([3, 3, -2, -2, -2])
    assert plan(decorated).moments == (1, 1, 0, 0, 0)
    alloy = Structure(Lattice.cubic(3), ["Fe", "Al"], [[0, 0, 0], [0.5] * 3])
    assert plan(alloy).moments == (5, 0)


def test_the_key_forgives_orientation_noise_and_whole_cells():
    structure = perovskite("Sr", "Ti", "O", 3.945)
    key = plan(structure).key
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = Structure(structure.lattice.matrix @ rotation.T, structure.species, SITES)
    assert plan(turned).key == key
    moved = Structure(Lattice.cubic(3.945 + 1e-6), structure.species, np.array(SITES) + 1 - 1e-7)
    assert plan(moved).key == key
    assert plan(perovskite("Sr", "Ti", "O", 3.946)).key != key
    assert plan(perovskite("Ba", "Ti", "O", 3.945)).key != key
    assert plan(structure, smearing=0.1).key != key
    assert plan(structure, hubbard_u="none").key == key, "no U in it either way"


@given(
    lengths=st.tuples(*[st.floats(2.5, 9.0)] * 3),
    angles=st.tuples(*[st.floats(70.0, 110.0)] * 3),
)
def test_json_round_trip(lengths, angles):
    structure = Structure(Lattice.from_parameters(*lengths, *angles), ["Ni", "O"], SITES[:2])
    calculation = plan(structure)
    again = Calculation.from_json(calculation.to_json())
    assert again == calculation
    assert again.key == calculation.key
    np.testing.assert_allclose(np.linalg.norm(again.cell, axis=1), lengths, atol=1e-3)


def test_results_must_be_numbers():
    values = DftValues(
        band_gap=1.0,
        band_gap_direct=1.0,
        energy_per_atom=-1.0,
        pressure=None,
        stress=None,
        forces=(),
        max_force=0.0,
        magnetic_moment=0.0,
        spin_polarized=False,
        hubbard_u={},
        cutoff=500.0,
        kpoints=(4, 4, 4),
        iterations=9,
        engine="fake",
    )
    with pytest.raises(DftError, match="max_force is inf"):
        dataclasses.replace(values, max_force=float("inf"))
