"""No refuge in mixtures: a blend of two decorations must not beat both of them.

To a network an average of elements is just another point, and an optimiser finds those that look
better than any real crystal. Random crystals get random other elements; on the straight path
between the two, energies below both ends cost.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.training.data.batches import Batch, Dataset, make_batch
from smoacs.training.fitting.loss import LossTerm, huber

LOWER_IS_BETTER = ("formation_energy", "energy_above_hull")
"""Properties in which a blend must not be lower than both of its ends."""

MAX_ATOMS = 20
"""Larger crystals are left out, for speed."""

_SWAP_SHARE = 0.3
"""Chance of each element of a crystal, after the first, to be swapped, too."""

_LEAST_SHARE = 0.15
"""A blend holds at least this much of either end."""


def mixture_batch(
    data: Dataset,
    index: NDArray[np.int64],
    cutoff: float,
    *,
    elements: NDArray[np.integer],
    rng: np.random.Generator,
) -> Batch:
    """Both ends and a blend of each crystal: all as they are, then all swapped, then all blended.

    Args:
        data: Where the crystals are.
        index: The crystals, [B].
        cutoff: The network's, Å.
        elements: Atomic numbers to swap in.
        rng: Draws elements and shares.
    """
    batch = make_batch(data, np.tile(index, 3), cutoff)
    crystals = batch.crystals
    n = crystals.n_atoms // 3
    numbers = crystals.species_probs[:n].argmax(1).numpy() + 1
    system = crystals.system_idx[:n].numpy()
    swapped = numbers.copy()
    for k in range(len(index)):
        own = np.unique(numbers[system == k])
        chosen = rng.random(len(own)) < _SWAP_SHARE
        chosen[rng.integers(len(own))] = True
        for z in own[chosen]:
            swapped[(system == k) & (numbers == z)] = rng.choice(elements)
    first = crystals.species_probs[:n]
    second = torch.nn.functional.one_hot(torch.from_numpy(swapped - 1), N_ELEMENTS).to(first)
    shares = rng.uniform(_LEAST_SHARE, 1 - _LEAST_SHARE, size=len(index))
    share = torch.from_numpy(shares[system]).to(first)[:, None]
    blend = share * first + (1 - share) * second
    return replace(
        batch, crystals=crystals.replace(species_probs=torch.cat([first, second, blend]))
    )


def mixture_loss(raw: Tensor, properties: Sequence[str], terms: Sequence[LossTerm]) -> Tensor:
    """Mean Huber loss of how far blends lie below both of their ends; a scalar.

    Args:
        raw: One member's raw outputs for a `mixture_batch` of B crystals, [3 B, properties].
        properties: Names of the columns.
        terms: Their scales.
    """
    first, second, blend = raw.chunk(3)
    bound = torch.minimum(first, second).detach()
    total = raw.new_zeros(())
    for k, (name, term) in enumerate(zip(properties, terms, strict=True)):
        if name in LOWER_IS_BETTER:
            total = total + huber(torch.relu(bound[:, k] - blend[:, k]) / (term.scale or 1)).mean()
    return total
