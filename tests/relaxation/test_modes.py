"""Frequencies are phonopy's own, with the same potential through ASE."""

import dataclasses

import numpy as np
import pytest
import torch
from ase import Atoms
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor

from smoacs.crystals import Crystals
from smoacs.relaxation import Response, vibrations
from smoacs.relaxation.modes import repeats
from tests.relaxation.test_fire import AsePotential, calculator, rattled

CENTRED = Structure(Lattice.cubic(3.35), ["Cu"] * 2, [[0, 0, 0], [0.5] * 3])
FACES = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
CLOSE = Structure(Lattice.cubic(4.11), ["Cu"] * 4, FACES)
ORDERED = Structure(Lattice.tetragonal(2.9, 4.2), ["Au3+", "Cu+"], [[0, 0, 0], [0.5] * 3])


def by_phonopy(structure, counts):
    """All frequencies at the commensurate points, by phonopy's own mesh and ASE's forces."""
    numbers = [site.specie.Z for site in structure]
    cell = PhonopyAtoms(
        numbers=numbers, cell=structure.lattice.matrix, scaled_positions=structure.frac_coords
    )
    model = Phonopy(cell, np.diag(counts), primitive_matrix=np.eye(3), symprec=1e-3)
    model.generate_displacements(distance=0.01)
    forces = []
    for image in model.supercells_with_displacements:
        atoms = Atoms(image.numbers, positions=image.positions, cell=image.cell, pbc=True)
        atoms.calc = calculator()
        forces.append(atoms.get_forces())
    model.produce_force_constants(forces=forces)
    model.symmetrize_force_constants()
    points = [
        [i / counts[0], j / counts[1], k / counts[2]]
        for i in range(counts[0])
        for j in range(counts[1])
        for k in range(counts[2])
    ]
    model.run_qpoints(points)
    return np.sort(np.ravel(model.qpoints.frequencies))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("structure", "counts"), [(CENTRED, (2, 2, 2)), (CLOSE, (2, 2, 2)), (ORDERED, (3, 3, 2))]
)
def test_all_frequencies_at_the_commensurate_points(structure, counts):
    (found,) = vibrations([structure], AsePotential(), length=6.5, most_atoms=200)
    assert len(found.supercell) == len(structure) * np.prod(counts)
    np.testing.assert_allclose(found.frequencies, by_phonopy(structure, counts), atol=2e-4)


@pytest.mark.filterwarnings("ignore")
def test_one_side_and_forces_left_over_give_what_both_sides_give():
    """Without symmetry phonopy displaces to both sides; residual forces cancel there."""
    crystal = AseAtomsAdaptor.get_structure(rattled(1))
    response = AsePotential()(Crystals.from_structures([crystal]))
    assert response.forces.abs().max() > 0.1
    potential = AsePotential()
    (found,) = vibrations([crystal], potential, length=5.0, most_atoms=200)
    assert sum(potential.batches) == 1 + 3
    expected = by_phonopy(crystal, repeats(crystal, 5.0))
    np.testing.assert_allclose(found.frequencies, expected, rtol=0.015, atol=0.05)


def test_modes_are_displacements_that_the_energy_bends_along():
    (found,) = vibrations([CENTRED], AsePotential(), length=6.5, most_atoms=200)
    assert found.lowest < -1
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=2).max(axis=1), 1.0)

    def energy(mode, amplitude):
        shift = amplitude * found.vectors[mode] @ np.linalg.inv(found.supercell.lattice.matrix)
        moved = Structure(
            found.supercell.lattice,
            found.supercell.species,
            found.supercell.frac_coords + shift,
        )
        atoms = Atoms([29] * len(moved), positions=moved.cart_coords, cell=moved.lattice.matrix)
        atoms.pbc = True
        atoms.calc = calculator()
        return atoms.get_potential_energy()

    still = energy(0, 0.0)
    assert energy(0, 0.03) < still
    assert energy(-1, 0.03) > still
    curvature = (energy(-1, 0.02) + energy(-1, -0.02) - 2 * still) / 0.02**2
    mass = 63.546 * np.square(found.vectors[-1]).sum()
    thz = 15.633302 * np.sqrt(curvature / mass)
    assert thz == pytest.approx(found.frequencies[-1], rel=0.01)


def test_species_follow_their_atoms_into_the_supercell():
    (found,) = vibrations([ORDERED], AsePotential(), length=5.0, most_atoms=200)
    assert len(found.supercell) == 16
    for site in found.supercell:
        corner = ORDERED.lattice.get_fractional_coords(site.coords)
        at_corner = np.allclose(corner, np.round(corner), atol=1e-6)
        assert str(site.specie) == ("Au3+" if at_corner else "Cu+")


def test_too_large_or_no_number():
    class Mute(AsePotential):
        def __call__(self, crystals):
            response = super().__call__(crystals)
            return Response(response.energy, torch.nan * response.forces, response.stress)

    large, small = vibrations([CLOSE, CENTRED], AsePotential(), length=6.5, most_atoms=20)
    assert large is None
    assert small is not None
    (none,) = vibrations([CENTRED], Mute(), length=5.0, most_atoms=200)
    assert none is None


def test_elements_without_a_mass_in_phonopy():
    class AsCopper(AsePotential):
        def __call__(self, crystals):
            copper = torch.zeros_like(crystals.species_probs)
            copper[:, 28] = 1.0
            return super().__call__(dataclasses.replace(crystals, species_probs=copper))

    polonium = CENTRED.copy()
    polonium.replace_species({"Cu": "Po"})
    light, heavy = (
        vibrations([crystal], AsCopper(), length=5.0, most_atoms=200)[0]
        for crystal in (CENTRED, polonium)
    )
    slower = np.sqrt(63.546 / 209)
    np.testing.assert_allclose(heavy.frequencies, slower * light.frequencies, atol=1e-3, rtol=1e-3)
