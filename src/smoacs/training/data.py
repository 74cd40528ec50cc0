"""Training data: Parquet in the training layout -> flat arrays with neighbour lists -> batches.

The layout (one row per crystal): `numbers` (atomic numbers), `frac_coords` (flat, row-major),
`lattice` (a, b, c in Å, then angles in degrees), `split` (train / val / test), and one column per
label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from ase.geometry import cellpar_to_cell
from vesin import NeighborList as VesinList

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.crystals import Crystals, NeighborList
from smoacs.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

LABEL_COLUMNS = {
    "formation_energy": "formation_energy_per_atom",
    "band_gap": "band_gap",
    "energy_above_hull": "energy_above_hull",
    "bulk_modulus": "bulk_modulus_vrh",
    "shear_modulus": "shear_modulus_vrh",
    "critical_temperature": "tc",
}
"""Property -> column of the training layout."""

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
        edges: Atoms i <= j within the crystal, sorted, [M, 2].
        shifts: [M, 3].
        atom_offsets: [n + 1].
        edge_offsets: [n + 1].
        off_equilibrium: Whether the crystal is not a relaxed one, [n].
        formulas: Reduced formulas.
    """

    numbers: NDArray[np.int16]
    frac_coords: NDArray[np.float32]
    cells: NDArray[np.float32]
    labels: NDArray[np.float32]
    edges: NDArray[np.int32]
    shifts: NDArray[np.int8]
    atom_offsets: NDArray[np.int64]
    edge_offsets: NDArray[np.int64]
    off_equilibrium: NDArray[np.bool_]
    formulas: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def n_atoms(self) -> NDArray[np.int64]:
        """Atoms of each crystal, [n]."""
        return np.diff(self.atom_offsets)


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
    """Crystals, neighbours, labels [B, properties] and label weights [B, properties]."""

    crystals: Crystals
    neighbors: NeighborList
    labels: Tensor
    weights: Tensor


def read_rows(path: Path, properties: tuple[str, ...]) -> pd.DataFrame:
    """Read one Parquet file in the training layout, checked.

    Raises:
        InputError: If the file cannot be read, a column is missing, no property has a label
            column, or an atomic number is out of range.
    """
    try:
        rows = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        msg = f"cannot read training data {path}: {error}"
        raise InputError(msg) from error
    needed = ["numbers", "frac_coords", "lattice", "split"]
    missing = [c for c in needed if c not in rows.columns]
    if missing:
        msg = f"training data {path} lacks the column(s) {', '.join(missing)}"
        raise InputError(msg)
    if not any(LABEL_COLUMNS.get(p, p) in rows.columns for p in properties):
        msg = f"training data {path} has a label column for none of {', '.join(properties)}"
        raise InputError(msg)
    largest = max(int(np.max(z)) for z in rows["numbers"])
    if largest > N_ELEMENTS:
        msg = (
            f"training data {path} holds atomic number {largest}; {N_ELEMENTS} is the largest known"
        )
        raise InputError(msg)
    return rows


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
        column = LABEL_COLUMNS.get(name, name)
        if column in rows.columns:
            labels[:, k] = rows[column].to_numpy()
    return Dataset(
        numbers=np.concatenate([np.asarray(z, dtype=np.int16) for z in rows["numbers"]]),
        frac_coords=np.concatenate(fracs),
        cells=cells.astype(np.float32),
        labels=labels,
        edges=np.concatenate(edges),
        shifts=np.concatenate(shifts),
        atom_offsets=np.cumsum([0] + [len(f) for f in fracs]),
        edge_offsets=np.cumsum([0] + [len(e) for e in edges]),
        off_equilibrium=(rows["kind"] != "relaxed").to_numpy()
        if "kind" in rows.columns
        else np.zeros(len(rows), dtype=bool),
        formulas=tuple(rows["formula"]) if "formula" in rows.columns else (),
    )


def make_batch(
    data: Dataset,
    index: NDArray[np.int64],
    cutoff: float,
    *,
    noise: Noise | None = None,
    keep_on_noise: tuple[bool, ...] = (),
    rng: np.random.Generator | None = None,
) -> Batch:
    """Collates the crystals `index`, deforming some of them if `noise` (needs `rng`) is given.

    `keep_on_noise` says for each property whether its label still holds for a slightly deformed
    crystal.
    """
    atoms = [slice(data.atom_offsets[k], data.atom_offsets[k + 1]) for k in index]
    bonds = [slice(data.edge_offsets[k], data.edge_offsets[k + 1]) for k in index]
    n_atoms = np.array([a.stop - a.start for a in atoms])
    start = np.concatenate([[0], np.cumsum(n_atoms)[:-1]])
    frac: NDArray[np.floating] = np.concatenate([data.frac_coords[a] for a in atoms])
    edges = np.concatenate([data.edges[b] + s for b, s in zip(bonds, start, strict=True)])
    shifts = np.concatenate([data.shifts[b] for b in bonds])
    numbers = np.concatenate([data.numbers[a] for a in atoms]).astype(np.int64)
    cells: NDArray[np.floating] = data.cells[index]
    labels = data.labels[index]
    weights = np.isfinite(labels).astype(np.float32)
    system_idx = np.repeat(np.arange(len(index)), n_atoms)
    if noise is not None and rng is not None:
        hit = (rng.random(len(index)) < noise.share) & ~data.off_equilibrium[index]
        cells, frac = _deform(cells, frac, system_idx, hit=hit, noise=noise, rng=rng)
        weights[hit] *= np.array(keep_on_noise, dtype=np.float32)
    probs = torch.zeros(len(numbers), N_ELEMENTS)
    probs[torch.arange(len(numbers)), torch.from_numpy(numbers) - 1] = 1.0
    crystals = Crystals(
        species_probs=probs,
        frac_coords=torch.from_numpy(frac.astype(np.float32)),
        cell=torch.from_numpy(cells.astype(np.float32)),
        system_idx=torch.from_numpy(system_idx),
    )
    neighbors = NeighborList(
        edge_index=torch.from_numpy(edges.T.astype(np.int64)),
        shifts=torch.from_numpy(shifts.astype(np.int64)),
        cutoff=cutoff,
        skin=SKIN,
        frac_coords=crystals.frac_coords,
        cell=crystals.cell,
    )
    return Batch(
        crystals, neighbors, torch.from_numpy(np.nan_to_num(labels)), torch.from_numpy(weights)
    )


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
