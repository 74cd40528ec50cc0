"""From tables in the training layout to flat arrays with neighbour lists, and on to batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from ase.geometry import cellpar_to_cell
from vesin import NeighborList as VesinList

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.crystals import Crystals, NeighborList
from smoacs.training.layout import LABEL_COLUMNS, RELAXED, is_list, tensors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SKIN = 0.3
"""Neighbours are collected this much (Å) beyond the cutoff, so that noise needs no new list."""


@dataclass(frozen=True)
class Dataset:
    """n crystals as flat arrays; atoms and edges of crystal k lie between the offsets k and k + 1.

    Attributes:
        numbers: Atomic numbers, [N].
        frac_coords: [N, 3].
        cells: Å, [n, 3, 3].
        labels: In the properties' units, NaN where missing, [n, properties].
        forces: eV/Å, NaN where missing, [N, 3].
        stress: GPa, positive where the energy grows with strain, NaN where missing, [n, 3, 3].
        edges: Atoms i <= j within the crystal, sorted, [M, 2].
        shifts: [M, 3].
        atom_offsets: [n + 1].
        edge_offsets: [n + 1].
        off_equilibrium: Whether the crystal is not a relaxed one, [n].
        sources: Number of the table that the crystal came from, [n].
        formulas: Reduced formulas.
    """

    numbers: NDArray[np.int16]
    frac_coords: NDArray[np.float32]
    cells: NDArray[np.float32]
    labels: NDArray[np.float32]
    forces: NDArray[np.float32]
    stress: NDArray[np.float32]
    edges: NDArray[np.int32]
    shifts: NDArray[np.int8]
    atom_offsets: NDArray[np.int64]
    edge_offsets: NDArray[np.int64]
    off_equilibrium: NDArray[np.bool_]
    sources: NDArray[np.int16]
    formulas: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each crystal, [n]."""
        return np.diff(self.atom_offsets)

    @cached_property
    def has_derivatives(self) -> NDArray[np.bool_]:
        """Whether the crystal has labels of forces or of stress, [n]."""
        forces = np.isfinite(self.forces[self.atom_offsets[:-1], 0])
        has: NDArray[np.bool_] = forces | np.isfinite(self.stress[:, 0, 0])
        return has


@dataclass(frozen=True)
class Noise:
    """Random deformation of training crystals; labels that depend strongly on it are dropped.

    Attributes:
        share: Share of the crystals of a batch that are deformed.
        strain: Standard deviation of the isotropic strain.
        shear: Standard deviation of the other strain components.
        displacement: Standard deviation of the displacements, Å.
    """

    share: float = 0.35
    strain: float = 0.02
    shear: float = 0.01
    displacement: float = 0.03


@dataclass(frozen=True)
class Batch:
    """B crystals of N atoms, their neighbours and labels; shapes as in `Dataset`.

    `labels` are 0 and `weights` [B, properties] are 0 where a label is missing or does not hold;
    `forces` and `stress` are NaN there.
    """

    crystals: Crystals
    neighbors: NeighborList
    labels: Tensor
    weights: Tensor
    forces: Tensor
    stress: Tensor
    off_equilibrium: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(
            crystals=self.crystals.to(device),
            neighbors=self.neighbors.to(device),
            labels=self.labels.to(device),
            weights=self.weights.to(device),
            forces=self.forces.to(device),
            stress=self.stress.to(device),
            off_equilibrium=self.off_equilibrium.to(device),
        )


def build_dataset(rows: pd.DataFrame, properties: tuple[str, ...], cutoff: float) -> Dataset:
    """Make flat arrays and neighbour lists of all rows."""
    finder = VesinList(cutoff=cutoff + SKIN, full_list=False)
    cells = np.stack([cellpar_to_cell(np.asarray(p, dtype=float)) for p in rows["lattice"]])
    fracs = [np.asarray(f, dtype=np.float32).reshape(-1, 3) for f in rows["frac_coords"]]
    edges, shifts = [], []
    for cell, frac in zip(cells, fracs, strict=True):
        i, j, s = finder.compute(frac.astype(float) @ cell, cell, periodic=True, quantities="ijS")
        i, j = i.astype(np.int32), j.astype(np.int32)
        turned = i > j
        pair = np.stack([np.where(turned, j, i), np.where(turned, i, j)], axis=1)
        order = np.lexsort((pair[:, 1], pair[:, 0]))
        edges.append(pair[order])
        shifts.append(np.where(turned[:, None], -s, s).astype(np.int8)[order])
    labels = np.full((len(rows), len(properties)), np.nan, dtype=np.float32)
    for k, name in enumerate(properties):
        column = name if name in rows.columns else LABEL_COLUMNS.get(name, name)
        if column in rows.columns:
            labels[:, k] = rows[column].to_numpy(dtype=np.float32)
    n_atoms = [len(f) for f in fracs]
    return Dataset(
        numbers=np.concatenate([np.asarray(z, dtype=np.int16) for z in rows["numbers"]]),
        frac_coords=np.concatenate(fracs),
        cells=cells.astype(np.float32),
        labels=labels,
        forces=_forces(rows, n_atoms),
        stress=tensors_of(rows["stress"] if "stress" in rows.columns else [None] * len(rows)),
        edges=np.concatenate(edges),
        shifts=np.concatenate(shifts),
        atom_offsets=np.cumsum([0, *n_atoms]),
        edge_offsets=np.cumsum([0, *(len(e) for e in edges)]),
        off_equilibrium=(rows["kind"] != RELAXED).to_numpy()
        if "kind" in rows.columns
        else np.zeros(len(rows), dtype=bool),
        sources=rows["source"].to_numpy(dtype=np.int16)
        if "source" in rows.columns
        else np.zeros(len(rows), dtype=np.int16),
        formulas=tuple(rows["formula"]) if "formula" in rows.columns else (),
    )


def _forces(rows: pd.DataFrame, n_atoms: list[int]) -> NDArray[np.float32]:
    given = rows["forces"] if "forces" in rows.columns else [None] * len(rows)
    return np.concatenate(
        [
            np.asarray(value, dtype=np.float32).reshape(n, 3)
            if is_list(value)
            else np.full((n, 3), np.nan, dtype=np.float32)
            for value, n in zip(given, n_atoms, strict=True)
        ]
    )


def make_batch(
    data: Dataset,
    index: NDArray[np.int64],
    cutoff: float,
    *,
    noise: Noise | None = None,
    keep_on_noise: tuple[bool, ...] = (),
    rng: np.random.Generator | None = None,
    at_rest: bool = False,
) -> Batch:
    """Collate the crystals `index`, deforming some of them if `noise` (needs `rng`) is given.

    `keep_on_noise` says for each property whether its label still holds for a slightly deformed
    crystal. Crystals without such a label, those away from equilibrium, and those with labels of
    forces or stress stay as they are. With `at_rest`, relaxed crystals without labels of forces and
    stress get labels of zero.
    """
    atoms, n_atoms = _ranges(data.atom_offsets, index)
    bonds, n_bonds = _ranges(data.edge_offsets, index)
    start = np.cumsum(n_atoms) - n_atoms
    frac: NDArray[np.floating] = data.frac_coords[atoms]
    edges = data.edges[bonds].astype(np.int64) + np.repeat(start, n_bonds)[:, None]
    numbers = data.numbers[atoms].astype(np.int64)
    cells: NDArray[np.floating] = data.cells[index]
    labels = data.labels[index]
    weights = np.isfinite(labels).astype(np.float32)
    system_idx = np.repeat(np.arange(len(index)), n_atoms)
    if noise is not None and rng is not None:
        kept = weights * np.array(keep_on_noise, dtype=np.float32)
        free = ~data.off_equilibrium[index] & ~data.has_derivatives[index] & kept.any(1)
        hit = (rng.random(len(index)) < noise.share) & free
        cells, frac = _deform(cells, frac, system_idx, hit=hit, noise=noise, rng=rng)
        weights[hit] = kept[hit]
    forces, stress = data.forces[atoms], data.stress[index]
    if at_rest:
        forces = _at_rest(forces, ~data.off_equilibrium[index][system_idx])
        stress = _at_rest(stress, ~data.off_equilibrium[index])
    probs = torch.zeros(len(numbers), N_ELEMENTS)
    probs[torch.arange(len(numbers)), torch.from_numpy(numbers) - 1] = 1.0
    crystals = Crystals(
        species_probs=probs,
        frac_coords=torch.from_numpy(frac.astype(np.float32)),
        cell=torch.from_numpy(cells.astype(np.float32)),
        system_idx=torch.from_numpy(system_idx),
    )
    neighbors = NeighborList(
        edge_index=torch.from_numpy(np.ascontiguousarray(edges.T)),
        shifts=torch.from_numpy(data.shifts[bonds].astype(np.int64)),
        cutoff=cutoff,
        skin=SKIN,
        n_atoms=crystals.n_atoms,
    )
    return Batch(
        crystals=crystals,
        neighbors=neighbors,
        labels=torch.from_numpy(np.nan_to_num(labels)),
        weights=torch.from_numpy(weights),
        forces=torch.from_numpy(forces),
        stress=torch.from_numpy(stress),
        off_equilibrium=torch.from_numpy(data.off_equilibrium[index]),
    )


def _at_rest(labels: NDArray[np.float32], relaxed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Zeros in place of the missing labels of relaxed crystals or of their atoms."""
    mask = relaxed.reshape(-1, *[1] * (labels.ndim - 1)) & ~np.isfinite(labels)
    return np.where(mask, np.float32(0), labels)


def _ranges(
    offsets: NDArray[np.int64], index: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All places between the offsets k and k + 1 for each k of `index`, and how many each has."""
    counts = offsets[index + 1] - offsets[index]
    before = np.cumsum(counts) - counts
    places = np.repeat(offsets[index] - before, counts) + np.arange(counts.sum())
    return places, counts


def _deform(
    cells: NDArray[np.floating],
    frac: NDArray[np.floating],
    system_idx: NDArray[np.int64],
    *,
    hit: NDArray[np.bool_],
    noise: Noise,
    rng: np.random.Generator,
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Strained cells and displaced coordinates of the crystals that are `hit` ([B])."""
    b = len(cells)
    shear = noise.shear * rng.normal(size=(b, 3, 3))
    strain = 0.5 * (shear + shear.transpose(0, 2, 1))
    strain += noise.strain * rng.normal(size=(b, 1, 1)) * np.eye(3)
    cells = cells @ (np.eye(3) + strain * hit[:, None, None])
    step = noise.displacement * rng.normal(size=frac.shape) * hit[system_idx, None]
    return cells, frac + (step[:, None] @ np.linalg.inv(cells)[system_idx])[:, 0]


def element_symbols(data: Dataset) -> tuple[str, ...]:
    """Symbols of the elements that occur."""
    return tuple(ELEMENTS[z - 1] for z in np.unique(data.numbers))
