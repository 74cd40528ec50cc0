"""Phonons of crystals whose stability is known."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from pymatgen.core import Lattice, Structure

from smoacs.checking import PhononSettings, RelaxSettings, phonon_table
from smoacs.checking.phonons import phonons
from smoacs.checking.potentials import AsePotential
from smoacs.errors import InputError

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
    assert phonons(close_packed, potential).frequency == pytest.approx(0, abs=0.05)


def test_a_simple_cube_is_not(potential):
    cube = relaxed(potential, Structure(Lattice.cubic(2.8), ["Cu"], [[0, 0, 0]]))
    assert phonons(cube, potential).frequency < -1


def test_frequencies_are_those_of_phonopy_with_the_calculator_itself(potential):
    from phonopy import Phonopy  # noqa: PLC0415 - slow to import
    from phonopy.structure.atoms import PhonopyAtoms  # noqa: PLC0415 - same

    cell = relaxed(potential, Structure(Lattice.cubic(3.9), ["Cu"] * 4, FACES))
    model = Phonopy(
        PhonopyAtoms(
            symbols=["Cu"] * 4, cell=cell.lattice.matrix, scaled_positions=cell.frac_coords
        ),
        np.eye(3, dtype=int) * 2,
        primitive_matrix=np.eye(3),
    )
    model.generate_displacements(distance=0.02)
    forces = []
    for image in model.supercells_with_displacements:
        atoms = Atoms(
            image.symbols, cell=image.cell, scaled_positions=image.scaled_positions, pbc=True
        )
        atoms.calc = LennardJones(sigma=2.6, epsilon=0.4, rc=6.0, smooth=True)
        forces.append(atoms.get_forces())
    model.forces = forces
    model.produce_force_constants(show_drift=False)
    model.symmetrize_force_constants(show_drift=False)
    found = phonons(cell, potential, PhononSettings(mesh=6))
    for mesh, mine in (([2, 2, 2], found.frequency), ([6, 6, 6], found.mesh_frequency)):
        model.run_mesh(mesh, is_gamma_center=True)
        assert mine == pytest.approx(model.mesh.frequencies.min(), abs=1e-3)


def test_the_table_and_its_cache(potential, tmp_path):
    cube = Structure(Lattice.cubic(2.75), ["Cu"], [[0, 0, 0]])
    random = np.random.default_rng(0)
    huge = Structure(Lattice.orthorhombic(0.9, 40, 40), ["Cu"] * 50, random.random((50, 3)))
    cache = tmp_path / "phonons.jsonl"
    table = phonon_table([cube, None, huge], potential, cache=cache)
    assert table["dynamically_stable"].tolist() == [False, None, None]
    assert table["phonon_failure"].tolist() == [
        "",
        "not relaxed",
        "a supercell would have more than 400 atoms",
    ]

    class Silent:
        name = potential.name

    again = phonon_table([huge, cube, None], Silent(), cache=cache)
    assert again["phonon_frequency"][1] == table["phonon_frequency"][0]
    lenient = phonon_table([cube], Silent(), cache=cache, settings=PhononSettings(threshold=-100.0))
    assert lenient["dynamically_stable"].tolist() == [True], "the threshold costs no calculation"


def test_a_calculator_that_fails_is_recorded():
    class Broken:
        name = "broken"

        def forces(self, structures):
            raise ValueError(f"knows no {structures[0][0].specie.symbol}")

    found = phonons(Structure(Lattice.cubic(3.9), ["Cu"] * 4, FACES), Broken())
    assert found.failure == "ValueError: knows no Cu"
    assert np.isnan(found.frequency)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"length": 0.0}, "length of phonons is 0.0 Å"),
        ({"displacement": -0.1}, "displacement of phonons"),
        ({"mesh": -1}, r"mesh of phonons \(-1\)"),
        ({"threshold": 0.2}, "threshold of phonons is 0.2 THz"),
    ],
)
def test_settings_that_make_no_sense(wrong, message):
    with pytest.raises(InputError, match=message):
        PhononSettings(**wrong)
