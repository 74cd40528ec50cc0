"""The batched optimiser takes ASE's own path, step by step."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from ase.stress import voigt_6_to_full_3x3_stress
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.crystals import Crystals
from smoacs.relaxation import Response, relax
from smoacs.relaxation.structures import symmetry_of


def calculator():
    return LennardJones(sigma=2.6, epsilon=0.4, rc=6.0, smooth=True)


class AsePotential:
    """ASE's Lennard-Jones, crystal by crystal; refuses cells beyond `largest` Å³."""

    def __init__(self, largest=np.inf):
        self.largest = largest
        self.batches = []

    def __call__(self, crystals):
        self.batches.append(crystals.n_systems)
        answers = []
        for structure in crystals.to_structures():
            atoms = Atoms(AseAtomsAdaptor.get_atoms(structure), calculator=calculator())
            refused = np.nan if structure.volume > self.largest else 1.0
            answers.append(
                (
                    refused * atoms.get_potential_energy(),
                    atoms.get_forces(),
                    voigt_6_to_full_3x3_stress(atoms.get_stress()),
                )
            )
        energy, forces, stress = zip(*answers, strict=True)
        return Response(
            torch.tensor(np.array(energy)),
            torch.tensor(np.concatenate(forces)),
            torch.tensor(np.array(stress)),
        )


def rattled(number):
    """Crystals of 2 to 8 atoms, off rest and without symmetry."""
    atoms = [
        bulk("Cu", "fcc", a=3.9).repeat((2, 1, 1)),
        bulk("Cu", "hcp", a=2.8, c=4.4),
        bulk("Cu", "fcc", a=4.2, cubic=True).repeat((2, 1, 1)),
    ][number]
    rng = np.random.default_rng(number)
    atoms.set_cell(
        atoms.cell.array @ (np.eye(3) + 0.06 * rng.normal(size=(3, 3))), scale_atoms=True
    )
    atoms.positions += 0.08 * rng.normal(size=atoms.positions.shape)
    return atoms


def batch(numbers):
    return Crystals.from_structures([AseAtomsAdaptor.get_structure(rattled(n)) for n in numbers])


def ase_relaxed(number, fmax, steps):
    atoms = rattled(number)
    atoms.calc = calculator()
    optimizer = FIRE(FrechetCellFilter(atoms), logfile=None)
    optimizer.run(fmax=fmax, steps=steps)
    return atoms, optimizer.get_number_of_steps()


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_takes_the_steps_of_ase(steps):
    result = relax(batch([0, 1, 2]), AsePotential(), fmax=1e-9, max_steps=steps)
    start = 0
    for number in range(3):
        atoms, _ = ase_relaxed(number, 1e-9, steps)
        np.testing.assert_allclose(result.crystals.cell[number], atoms.cell.array, atol=1e-8)
        mine = result.crystals.positions[start : start + len(atoms)]
        np.testing.assert_allclose(mine, atoms.positions, atol=1e-8)
        assert result.energy[number] == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
        start += len(atoms)


def test_ends_where_ase_ends_and_batches_shrink():
    potential = AsePotential()
    result = relax(batch([0, 1, 2]), potential, fmax=0.05, max_steps=300)
    assert result.converged.all()
    assert not result.refused.any()
    assert (result.max_force < 0.05).all()
    for number in range(3):
        atoms, steps = ase_relaxed(number, 0.05, 300)
        assert result.steps[number] == steps
        np.testing.assert_allclose(result.crystals.cell[number], atoms.cell.array, atol=1e-6)
    assert potential.batches == sorted(potential.batches, reverse=True)
    assert potential.batches[-1] == 1
    assert sum(potential.batches) == int(result.steps.sum()) + 3


def test_alone_as_in_company():
    together = relax(batch([0, 1, 2]), AsePotential(), max_steps=20)
    alone = relax(batch([1]), AsePotential(), max_steps=20)
    own = together.crystals.select(torch.tensor([1]))
    torch.testing.assert_close(own.cell, alone.crystals.cell, rtol=0, atol=1e-12)
    torch.testing.assert_close(own.frac_coords, alone.crystals.frac_coords, rtol=0, atol=1e-12)


def test_a_refused_crystal_stops_and_holds_up_none():
    crystals = batch([0, 1, 2])
    limit = float(crystals.volume[:2].max()) * 1.5
    result = relax(crystals, AsePotential(largest=limit))
    assert result.refused.tolist() == [False, False, True]
    assert result.converged.tolist() == [True, True, False]
    assert torch.equal(result.crystals.cell[2], crystals.cell[2])
    assert torch.isnan(result.energy[2])
    assert result.steps[2] == 0


def test_steps_run_out():
    told = []
    result = relax(batch([0]), AsePotential(), max_steps=2, progress=lambda *x: told.append(x))
    assert result.steps.tolist() == [2]
    assert not result.converged.any()
    assert told == [(0, 1)] * 3


def test_response_from_gradients_of_an_energy():
    crystals = batch([0, 2]).to("cpu", torch.float64)
    frac = crystals.frac_coords.clone().requires_grad_()
    cell = crystals.cell.clone().requires_grad_()
    moved = crystals.replace(frac_coords=frac, cell=cell)
    spring = (moved.positions**2).sum(1) * torch.linspace(1, 2, crystals.n_atoms)
    energy = torch.zeros(2, dtype=torch.float64).index_add(0, crystals.system_idx, spring)
    frac_grad, cell_grad = torch.autograd.grad(energy.sum(), [frac, cell])
    response = Response.from_gradients(energy.detach(), frac_grad, cell_grad, crystals)
    position = crystals.positions
    forces = -2 * position * torch.linspace(1, 2, crystals.n_atoms)[:, None]
    torch.testing.assert_close(response.forces, forces)
    virial = torch.zeros(2, 3, 3, dtype=torch.float64)
    virial.index_add_(0, crystals.system_idx, -position[:, :, None] * forces[:, None, :])
    torch.testing.assert_close(response.stress, virial / crystals.volume[:, None, None])


def group(crystals, number):
    """Space group of one crystal of a batch, by spglib at 0.01 Å."""
    (structure,) = crystals.select(torch.tensor([number])).to_structures()
    return SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number()


class Pushed(AsePotential):
    """The same with noise on forces and stresses, which no symmetry keeps."""

    def __call__(self, crystals):
        response = super().__call__(crystals)
        generator = torch.Generator().manual_seed(len(self.batches))
        draw = {"generator": generator, "dtype": torch.float64}
        return Response(
            response.energy,
            response.forces + 0.05 * torch.randn(response.forces.shape, **draw),
            response.stress + 0.01 * torch.randn(response.stress.shape, **draw),
        )


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
def test_symmetry_keeps_the_space_group_of_each_crystal():
    structures = [
        Structure(
            Lattice.hexagonal(2.6, 4.6), ["Cu"] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]
        ),
        AseAtomsAdaptor.get_structure(rattled(0)),
        Structure(Lattice.tetragonal(2.5, 4.1), ["Cu"] * 2, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    ]
    crystals = Crystals.from_structures(structures)
    groups = [group(crystals, number) for number in range(3)]
    assert groups[1] in {1, 2}
    kept = relax(crystals, Pushed(), symmetry=symmetry_of(structures), max_steps=12)
    assert [group(kept.crystals, number) for number in range(3)] == groups
    free = relax(crystals, Pushed(), max_steps=12)
    assert group(free.crystals, 0) < groups[0]
    assert group(free.crystals, 2) < groups[2]
    unmoved = torch.allclose(kept.crystals.cell[0], crystals.cell[0], atol=1e-3)
    assert not unmoved


def test_symmetry_of_symmetric_forces_changes_nothing():
    structures = [Structure(Lattice.tetragonal(2.5, 4.1), ["Cu"] * 2, [[0, 0, 0], [0.5] * 3])]
    crystals = Crystals.from_structures(structures)
    found = [
        relax(crystals, AsePotential(), symmetry=symmetry, max_steps=10).crystals
        for symmetry in (None, symmetry_of(structures))
    ]
    torch.testing.assert_close(found[0].cell, found[1].cell, rtol=0, atol=1e-8)
    torch.testing.assert_close(found[0].frac_coords, found[1].frac_coords, rtol=0, atol=1e-8)
