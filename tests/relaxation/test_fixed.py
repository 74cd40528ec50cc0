import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS
from smoacs.relaxation import relax_structures
from smoacs.structures import SELECTIVE_DYNAMICS


class Morse:
    """A bond of 2.5 Å between all atoms, by J. P. M. Morse's curve, cut off smoothly."""

    cutoff = 6.0
    elements = frozenset(ELEMENTS[:80])
    properties = {"formation_energy": "eV/atom"}  # noqa: RUF012

    def __call__(self, crystals, neighbors):
        distance = neighbors.vectors(crystals).norm(dim=1)
        well = torch.exp(-3.0 * (distance - 2.5))
        taper = torch.relu(1 - (distance / self.cutoff) ** 2) ** 2
        i = neighbors.edge_index[0]
        energy = torch.zeros_like(crystals.volume)
        energy = energy.index_add(0, crystals.system_idx[i], (well**2 - 2 * well) * taper)
        return {"formation_energy": 0.3 * energy / crystals.counts}


def copper(length):
    corners = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Structure(Lattice.cubic(length), ["Cu"] * 4, corners)


def rattled(flags=None):
    structure = copper(3.75)
    structure[1].frac_coords = [0.03, 0.46, 0.55]
    if flags is not None:
        structure.add_site_property(SELECTIVE_DYNAMICS, flags)
    return structure


def moved(start, end):
    delta = np.abs(end.structure.frac_coords - start.frac_coords)
    return np.minimum(delta, 1 - delta)


def test_atoms_that_the_structure_holds_stay_while_others_and_the_cell_move():
    start = rattled([[False] * 3, [False] * 3, [True] * 3, [True] * 3])
    fixed, free = relax_structures([start, rattled()], Morse(), fmax=0.01)
    np.testing.assert_allclose(moved(start, fixed)[:2], 0, atol=1e-6)
    assert moved(start, fixed)[2:].max() > 1e-3
    assert moved(start, free)[1].max() > 0.02
    assert abs(fixed.structure.volume / start.volume - 1) > 1e-3
    assert fixed.converged
    assert (
        fixed.structure.site_properties[SELECTIVE_DYNAMICS] == [[False] * 3] * 2 + [[True] * 3] * 2
    )


def test_an_atom_held_along_one_lattice_vector_of_a_skewed_cell():
    lattice = Lattice.from_parameters(2.6, 2.7, 2.8, 62, 58, 66)
    start = Structure(lattice, ["Cu"] * 2, [[0, 0, 0], [0.46, 0.55, 0.42]])
    start.add_site_property(SELECTIVE_DYNAMICS, [[True] * 3, [True, False, True]])
    start.make_supercell([2, 1, 1])
    fixed = np.array(start.site_properties[SELECTIVE_DYNAMICS])
    (end,) = relax_structures([start], Morse(), max_steps=25)
    np.testing.assert_allclose(moved(start, end)[~fixed], 0, atol=1e-6)
    assert moved(start, end)[fixed].max() > 1e-3


def test_fixed_cell_and_fixed_atoms():
    start = rattled()
    (cell,) = relax_structures([start], Morse(), fix_cell=True)
    np.testing.assert_allclose(cell.structure.lattice.matrix, start.lattice.matrix, atol=1e-6)
    assert moved(start, cell)[1].max() > 0.02
    (atoms,) = relax_structures([start], Morse(), fix_atoms=True)
    np.testing.assert_allclose(moved(start, atoms), 0, atol=1e-6)
    assert abs(atoms.structure.volume / start.volume - 1) > 1e-3
    (both,) = relax_structures([start], Morse(), fix_cell=True, fix_atoms=True)
    assert (both.converged, both.steps) == (True, 0)


@pytest.mark.parametrize("keep_symmetry", [False, True])
def test_symmetry_does_not_move_what_is_held(keep_symmetry):
    start = copper(3.75)
    start.add_site_property(SELECTIVE_DYNAMICS, [[False] * 3] + [[True] * 3] * 3)
    (end,) = relax_structures([start], Morse(), keep_symmetry=keep_symmetry)
    np.testing.assert_allclose(moved(start, end)[0], 0, atol=1e-6)
    assert end.converged
