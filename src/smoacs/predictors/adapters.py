"""What adapters of other people's models share: bounded memory, and a limit of density.

Such models hold kilobytes for every angle, and the angles of a crystal grow with the square of its
density. So crystals are evaluated in chunks of limited work, whose gradients are taken at once and
kept instead of the chunks' graphs; and crystals denser than any real one are stretched.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction, FunctionCtx, once_differentiable

from smoacs.crystals import Crystals, NeighborList, chunk_systems

DENSE = 2.5
"""Å³/atom. Less volume than in any crystal at rest: the densest of the Materials Project, beryllium
and boron compounds and diamond, have 4.5 and more."""

BLEND = 0.4
"""Range of the logarithm of the volume over which the stretching sets in."""

REPULSION = 50.0
"""eV/atom, times the squared logarithm of `DENSE` over the volume per atom."""

CRYSTALS_PER_CHUNK = 64

ValuesOf = Callable[[Crystals, NeighborList], Tensor]
"""One value for each crystal, [b], which depends on that crystal alone."""

Chunk = tuple[Crystals, NeighborList]


def loosen(crystals: Crystals) -> tuple[Crystals, Tensor]:
    """Stretch crystals of less than `DENSE` volume per atom, to at least `DENSE` exp(-`BLEND` / 2).

    Values of the crystals returned are smooth in those given; all others come back unchanged.

    Returns:
        The crystals, and an energy that rises with the density of what was stretched, eV/atom, [B].
    """
    volume = crystals.volume / crystals.counts
    lack = torch.relu(math.log(DENSE) - torch.log(volume + 1e-6))
    stretch = torch.where(lack < BLEND, lack**2 / (2 * BLEND), lack - BLEND / 2)
    cell = crystals.cell * torch.exp(stretch / 3)[:, None, None]
    return crystals.replace(cell=cell), REPULSION * lack**2


def count_work(
    crystals: Crystals, neighbors: NeighborList, cutoff: float, angle_cutoff: float
) -> Tensor:
    """Directed edges within `cutoff` plus angles within `angle_cutoff` (Å) of each crystal, [B]."""
    with torch.no_grad():
        distance = neighbors.vectors(crystals).norm(dim=1)

    def degrees(radius: float) -> Tensor:
        ends = neighbors.edge_index[:, distance < radius].flatten()
        return torch.bincount(ends, minlength=crystals.n_atoms)

    near, nearest = degrees(cutoff), degrees(angle_cutoff)
    work = near + nearest * (nearest - 1)
    zeros = torch.zeros(crystals.n_systems, dtype=torch.int64, device=work.device)
    return zeros.index_add(0, crystals.system_idx, work)


def evaluate_in_chunks(
    function: ValuesOf,
    crystals: Crystals,
    neighbors: NeighborList,
    *,
    work: Tensor,
    work_per_chunk: int,
) -> Tensor:
    """Evaluate crystals in chunks; differentiable once.

    Args:
        function: What to evaluate.
        crystals: Crystals.
        neighbors: Their neighbours.
        work: Cost of each crystal in any unit, [B].
        work_per_chunk: Cost of a chunk, which one crystal alone may exceed.

    Returns:
        The function's values, [B].
    """
    least = -(-work_per_chunk // CRYSTALS_PER_CHUNK)
    chunks = [
        _chunk(systems, crystals, neighbors)
        for systems in chunk_systems(work + least, work_per_chunk)
    ]
    inputs = (crystals.species_probs, crystals.frac_coords, crystals.cell)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        values: Tensor = _Values.apply(  # type: ignore[no-untyped-call]
            function, chunks, crystals.system_idx, *inputs
        )
        return values
    return torch.cat([function(*chunk) for chunk in chunks])


class _Values(torch.autograd.Function):
    """Values of all chunks; each value's gradient is taken with it."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        function: ValuesOf,
        chunks: list[Chunk],
        system_idx: Tensor,
        *inputs: Tensor,
    ) -> Tensor:
        """Evaluate; `inputs` are the species_probs, frac_coords and cell of all chunks."""
        del inputs
        values, gradients = [], []
        for crystals, neighbors in chunks:
            fields = (crystals.species_probs, crystals.frac_coords, crystals.cell)
            leaves = [field.detach().requires_grad_() for field in fields]
            species, frac, cell = leaves
            with torch.enable_grad():
                live = crystals.replace(species_probs=species, frac_coords=frac, cell=cell)
                value = function(live, neighbors)
                gradients.append(torch.autograd.grad(value.sum(), leaves, materialize_grads=True))
            values.append(value.detach())
        ctx.save_for_backward(system_idx, *map(torch.cat, zip(*gradients, strict=True)))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: BackwardCFunction, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Scale each crystal's gradients by its value's slope, [B]."""
        saved: tuple[Tensor, ...] = ctx.saved_tensors
        system_idx, species, frac, cell = saved
        atom_slope = slope[system_idx, None]
        return (
            *(None, None, None),
            (atom_slope * species).to(species),
            (atom_slope * frac).to(frac),
            (slope[:, None, None] * cell).to(cell),
        )


def _chunk(systems: Tensor, crystals: Crystals, neighbors: NeighborList) -> Chunk:
    """Some consecutive crystals with their part of the neighbour list, outside the graph."""
    first, last = int(systems[0]), int(systems[-1])
    system = crystals.system_idx[neighbors.edge_index[0]]
    edges = (system >= first) & (system <= last)
    atoms = (crystals.system_idx >= first) & (crystals.system_idx <= last)
    start = int((crystals.system_idx < first).sum())
    part = NeighborList(
        edge_index=neighbors.edge_index[:, edges] - start,
        shifts=neighbors.shifts[edges],
        cutoff=neighbors.cutoff,
        skin=neighbors.skin,
        n_atoms=int(atoms.sum()),
    )
    return crystals.select(systems), part
