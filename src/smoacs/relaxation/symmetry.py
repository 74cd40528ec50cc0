"""Relaxation that keeps each crystal's space group: forces and stresses are averaged over it.

An operation x -> W x + t of fractional coordinates turns Cartesian vectors by R = A W A⁻¹, where
the columns of A are the lattice vectors. While the cell only deforms in ways that keep the group,
R stays the same, so that the averages are linear maps that are set up once.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import spglib
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.sparse import coo_array, csr_array

from smoacs.crystals import Crystals
from smoacs.relaxation.held import held_directions
from smoacs.relaxation.optimiser import Potential, Response

SYMPREC = 0.01
"""Å. Tolerance of the search for the space group."""


class SymmetricPotential:
    """A potential whose forces and stresses have each crystal's symmetry."""

    def __init__(self, potential: Potential, structures: Sequence[Structure]) -> None:
        """Find the symmetry of the structures that are to be relaxed on the potential."""
        self._potential = potential
        self._offsets = np.cumsum([0, *(len(s) for s in structures)])
        rows, columns, values, tensors = [], [], [], []
        for structure, offset in zip(structures, self._offsets, strict=False):
            turns, images = operations(structure)
            n, count = len(structure), len(turns)
            # The force on atom i, turned, is one of those averaged on its image.
            target = 3 * (images[:, :, None, None] + offset) + np.arange(3)[:, None]
            source = 3 * (np.arange(n)[:, None, None] + offset) + np.arange(3)
            shape = (count, n, 3, 3)
            rows.append(np.broadcast_to(target, shape).ravel())
            columns.append(np.broadcast_to(source, shape).ravel())
            values.append(np.broadcast_to(turns[:, None] / count, shape).ravel())
            tensors.append(np.einsum("gik,gjl->ijkl", turns, turns).reshape(9, 9) / count)
        size = 3 * int(self._offsets[-1])
        triplets = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        self._forces = csr_array(coo_array(triplets, shape=(size, size)))
        self._stress = torch.as_tensor(np.stack(tensors))

    def marked(self, crystals: Crystals) -> Crystals:
        """The crystals, carrying their places in `site_roles`.

        Crystals leave the batch when they are done; that field stays with their atoms, and nothing
        in a relaxation reads it as roles.
        """
        places = torch.arange(crystals.n_systems)[crystals.system_idx.cpu()]
        return crystals.replace(site_roles=places.to(crystals.system_idx.device))

    def __call__(self, crystals: Crystals) -> Response:
        """Evaluate marked crystals."""
        roles = crystals.site_roles
        if roles is None:
            msg = "crystals must be marked"
            raise ValueError(msg)
        response = self._potential(crystals.replace(site_roles=None))
        places = torch.unique(roles).cpu().numpy()
        atoms = np.concatenate([np.arange(*self._offsets[k : k + 2]) for k in places])
        forces = np.zeros((int(self._offsets[-1]), 3))
        forces[atoms] = response.forces.detach().cpu().numpy()
        averaged = (self._forces @ forces.ravel()).reshape(-1, 3)[atoms]
        maps = self._stress[places].to(response.stress)
        stress = (maps @ response.stress.flatten(1).unsqueeze(2)).view(-1, 3, 3)
        return Response(response.energy, torch.as_tensor(averaged).to(response.forces), stress)


def _kinds(structure: Structure) -> list[int]:
    """A number for each atom, equal for atoms of one element that are held in the same way."""
    held = held_directions(structure) @ np.array([1, 2, 4])
    return [site.specie.Z + 1000 * int(code) for site, code in zip(structure, held, strict=True)]


def operations(structure: Structure) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Operations of the space group: Cartesian rotations [G, 3, 3] and images of atoms [G, n].

    Those that map an atom onto none within the tolerance are left out; the identity always stays.
    """
    matrix = structure.lattice.matrix
    frac = structure.frac_coords
    numbers = _kinds(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib's, about its own next version
        cell = (matrix.tolist(), frac.tolist(), numbers)
        found = spglib.get_symmetry(cell, symprec=SYMPREC)
    identity = np.eye(3)[None], np.arange(len(structure))[None]
    if found is None:
        return identity
    basis = matrix.T
    inverse = np.linalg.inv(basis)
    turns, images = [], []
    for rotation, shift in zip(found["rotations"], found["translations"], strict=True):
        moved = frac @ rotation.T + shift
        difference = moved[:, None] - frac[None]
        difference -= np.round(difference)
        distance = np.linalg.norm(difference @ matrix, axis=2)
        distance[np.not_equal.outer(numbers, numbers)] = np.inf
        image = distance.argmin(1)
        if distance.min(1).max() < 2 * SYMPREC and len(set(image.tolist())) == len(image):
            left, _, right = np.linalg.svd(basis @ rotation @ inverse)
            turns.append(left @ right)  # the nearest rotation
            images.append(image)
    if not turns:
        return identity
    return np.stack(turns), np.stack(images)
