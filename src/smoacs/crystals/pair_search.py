"""Finding all pairs of atoms within a distance, in three ways that give the same pairs.

Small crystals are searched all at once: every pair of atoms with every image that may be near.
Larger ones are searched one by one: where a cell is so wide that no atom is near two images of
another, every pair is tried with the nearest image, and else vesin's cell lists are used.
"""

import math
from enum import Enum
from functools import lru_cache
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from vesin import NeighborList as VesinList

from smoacs.crystals.crystals import Crystals

MIN_VOLUME = 1e-3
"""Cells flatter than this (Å³) have no sensible neighbours."""

SMALL_ATOMS = 20
SMALL_IMAGES = 2
"""Up to so many atoms, and cells that images must be away at most, all at once is faster."""

WIDE_ATOMS = 400
"""Up to so many atoms, trying every pair takes less time than cell lists."""

Edges = tuple[Tensor, Tensor]
"""Atoms i <= j of each edge, [2, M], and whole lattice vectors from i's cell to j's image, [M, 3],
both int64."""


class _Way(Enum):
    """How a crystal is searched; see the module."""

    ALL_AT_ONCE = 1
    NEAREST_IMAGES = 2
    CELL_LISTS = 3

    @classmethod
    def of(cls, n_atoms: int, images: float) -> "_Way":
        """The fastest for so many atoms, whose images are so many cells away at most."""
        if n_atoms <= SMALL_ATOMS and images <= SMALL_IMAGES:
            return cls.ALL_AT_ONCE
        return cls.NEAREST_IMAGES if n_atoms <= WIDE_ATOMS and images == 0 else cls.CELL_LISTS


def close_pairs(crystals: Crystals, reach: float) -> Edges:
    """All pairs within `reach` (Å) of each crystal, once each, sorted by (i, j).

    A crystal with a non-finite or flat cell, or non-finite coordinates, has none.
    """
    frac, cell = crystals.frac_coords.detach().double(), crystals.cell.detach().double()
    counts = crystals.counts
    volume, heights = volumes_and_heights(cell)
    usable = has_volume(volume)
    if not math.isfinite(float(frac.sum())):
        usable[crystals.system_idx[~frac.isfinite().all(1)]] = False
    # Rounded, coordinates differ by half a cell at most: an image further off is out of reach.
    images = (reach / heights + 0.5).floor()
    sizes = counts.tolist()
    ways = [
        _Way.of(n_atoms, farthest) if reach > 0 and is_usable else None
        for n_atoms, farthest, is_usable in zip(
            sizes, images.amax(1).tolist(), usable.tolist(), strict=True
        )
    ]
    found: list[Edges] = []
    if _Way.ALL_AT_ONCE in ways:
        small = torch.tensor([way is _Way.ALL_AT_ONCE for way in ways], device=frac.device)
        atom = torch.arange(len(frac), device=frac.device)
        partners = (counts.cumsum(0) * small).index_select(0, crystals.system_idx) - atom
        most = images.where(small[:, None], 0.0).amax(0).tolist()
        grid = _grid(tuple(map(int, most)), frac.device)
        atoms = (frac, crystals.system_idx, partners.clamp(min=0))
        found.append(_pairs_all_at_once(atoms, cell, grid, reach))
    for b, (way, n_atoms, end) in enumerate(zip(ways, sizes, accumulate(sizes), strict=True)):
        if way in _ONE_BY_ONE:
            start = end - n_atoms
            found.append(_ONE_BY_ONE[way](frac[start:end], cell[b], start, reach))
    return _joined(found, frac.device)


def volumes_and_heights(
    cell: Float[Tensor, "systems 3 3"],
) -> tuple[Float[Tensor, " systems"], Float[Tensor, "systems 3"]]:
    """Volume of each cell, Å³, and the distances between its opposite faces, Å."""
    faces = torch.linalg.cross(cell.roll(-1, 1), cell.roll(-2, 1))
    volume = (cell[:, 0] * faces[:, 0]).sum(1).abs()
    return volume, volume[:, None] / faces.norm(dim=2)


def has_volume(volume: Float[Tensor, " systems"]) -> Tensor:
    """Whether a cell of this volume, Å³, is finite and not flat, [B]."""
    solid: Tensor = (volume > MIN_VOLUME) & (volume < math.inf)
    return solid


@lru_cache(maxsize=SMALL_IMAGES**3)
def _grid(images: tuple[int, ...], device: torch.device) -> Tensor:
    """Whole lattice vectors up to so many cells away along each axis, in their order, [I, 3]."""
    return torch.cartesian_prod(*(torch.arange(-r, r + 1, device=device) for r in images))


def _pairs_all_at_once(
    atoms: tuple[Tensor, Tensor, Tensor], cell: Tensor, grid: Tensor, reach: float
) -> Edges:
    """Try every pair with every image.

    Args:
        atoms: Fractional coordinates, [N, 3]; crystal, [N]; and with how many atoms, itself and
            those after it, each one may pair, [N].
        cell: Å, [B, 3, 3].
        grid: Images to try, [I, 3]; its middle is the cell itself.
        reach: Å.
    """
    frac, system_idx, partners = atoms
    numbers = torch.arange(len(frac), device=frac.device)
    i = torch.repeat_interleave(numbers, partners)
    place = torch.arange(len(i), device=frac.device)
    j = i + place - (partners.cumsum(0) - partners).index_select(0, i)
    system = system_idx.index_select(0, i)
    apart = frac.index_select(0, j) - frac.index_select(0, i)
    whole = apart.round()
    vectors = ((apart - whole).unsqueeze(1) @ cell.index_select(0, system)).squeeze(1)
    steps = (grid.to(cell) @ cell).permute(2, 0, 1).contiguous()
    square = torch.zeros(len(i), len(grid), dtype=cell.dtype, device=cell.device)
    for component, step in zip(vectors.unbind(1), steps, strict=True):
        square += step.index_select(0, system).add_(component[:, None]).square_()
    # An atom meets its own images in opposite pairs: one of the two is enough.
    later = torch.arange(len(grid), device=grid.device) > len(grid) // 2
    pair, image = ((square <= reach * reach) & ((i < j)[:, None] | later)).nonzero().unbind(1)
    edge_index = torch.stack([i.index_select(0, pair), j.index_select(0, pair)])
    return edge_index, grid.index_select(0, image) - whole.long().index_select(0, pair)


@lru_cache(maxsize=8)
def _all_pairs(n_atoms: int, device: torch.device) -> Tensor:
    """Atoms i < j of all pairs, in their order, [2, P]."""
    return torch.triu_indices(n_atoms, n_atoms, 1, device=device)


def _pairs_of_nearest_images(frac: Tensor, box: Tensor, start: int, reach: float) -> Edges:
    """Try every pair of one crystal with the image that is nearest along the lattice vectors.

    Args:
        frac: Fractional coordinates, [n, 3].
        box: Å, [3, 3], whose opposite faces are more than twice the reach apart.
        start: Number of the first atom in the batch.
        reach: Å.
    """
    pairs = _all_pairs(len(frac), frac.device)
    points = _columns(frac.T.contiguous(), pairs.flatten()).unflatten(1, (2, -1))
    apart = points[:, 1] - points[:, 0]
    whole = apart.round()
    vectors = box.T @ apart.sub_(whole)
    near = (vectors.square_().sum(0) <= reach * reach).nonzero().squeeze(1)
    return _columns(pairs, near) + start, _columns(whole, near).T.neg().long()


def _columns(x: Tensor, which: Tensor) -> Tensor:
    """Columns of [k, n], in a third of the time that torch takes for them on a CPU."""
    return torch.stack([row.index_select(0, which) for row in x.unbind()])


def _pairs_by_cell_lists(frac: Tensor, box: Tensor, start: int, reach: float) -> Edges:
    """Search one crystal.

    Args:
        frac: Fractional coordinates, [n, 3].
        box: Å, [3, 3].
        start: Number of the first atom in the batch.
        reach: Å.
    """
    lattice = box.cpu().numpy()
    # Chunks of crystals have a thread each already.
    finder = VesinList(cutoff=reach, full_list=False, n_threads=1)
    points = frac.cpu().numpy() @ lattice
    i, j, shift = finder.compute(points, lattice, periodic=True, quantities="ijS")
    i, j = i.astype(np.int64), j.astype(np.int64)
    turned = i > j
    i, j = np.where(turned, j, i), np.where(turned, i, j)
    shift = np.where(turned[:, None], -shift, shift).astype(np.int64)
    order = np.argsort(i * len(points) + j, kind="stable")
    edge_index = torch.as_tensor(np.stack([i[order], j[order]]), device=frac.device)
    return edge_index + start, torch.as_tensor(shift[order], device=frac.device)


_ONE_BY_ONE = {
    _Way.NEAREST_IMAGES: _pairs_of_nearest_images,
    _Way.CELL_LISTS: _pairs_by_cell_lists,
}


def _joined(found: list[Edges], device: torch.device) -> Edges:
    """Edges of different crystals as one list, sorted by (i, j)."""
    if len(found) == 1:
        return found[0]
    nothing = torch.zeros(0, 3, dtype=torch.int64, device=device)
    edge_index = torch.cat([nothing.T[:2], *(edges for edges, _ in found)], dim=1)
    shifts = torch.cat([nothing, *(shift for _, shift in found)])
    order = edge_index[0].argsort(stable=True)
    return edge_index[:, order], shifts[order]
