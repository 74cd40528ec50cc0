"""Which crystals a batch is made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smoacs.errors import InputError
from smoacs.training.data.batches import Dataset


@dataclass(frozen=True)
class Pools:
    """Crystals by how they enter a batch.

    Attributes:
        main: Each comes once an epoch.
        drawn: Pairs of crystals and how many of them are drawn into each batch, with replacement.
    """

    main: NDArray[np.int64]
    drawn: tuple[tuple[NDArray[np.int64], int], ...]
    main_per_batch: int

    @property
    def n_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.main) // self.main_per_batch)


def make_pools(
    data: Dataset,
    batch_size: int,
    off_equilibrium_share: float,
    shares: Sequence[float],
    *,
    source_shares: Sequence[float] = (),
) -> Pools:
    """Sort the crystals into pools.

    Args:
        data: The training crystals.
        batch_size: Crystals per batch.
        off_equilibrium_share: Share of a batch that is away from equilibrium, if there are any.
        shares: For each property the share of a batch that is drawn from the crystals with its
            label; 0 for those that come as they come.
        source_shares: For each table the share of a batch that is drawn from its crystals, relaxed
            or not; 0 for those that come as they come.

    Raises:
        InputError: If no crystal is left that is in none of the shares.
    """
    drawn = []
    apart = np.zeros(len(data), dtype=bool)
    for number, share in enumerate(source_shares):
        of_source = data.sources == number
        if share > 0 and of_source.any():
            drawn.append((np.flatnonzero(of_source), share))
            apart |= of_source
    off = data.off_equilibrium & ~apart
    main = ~off & ~apart
    if off.any() and off_equilibrium_share > 0:
        drawn.append((np.flatnonzero(off), off_equilibrium_share))
    for k, share in enumerate(shares):
        if share > 0:
            labelled = ~off & ~apart & np.isfinite(data.labels[:, k])
            drawn.append((np.flatnonzero(labelled), share))
            main &= ~labelled
    if not main.any():
        raise InputError(
            "every crystal has a label of a property, or is of a table, with a share of the batch: "
            "leave out the share of the largest set"
        )
    counted = tuple((index, max(1, round(batch_size * share))) for index, share in drawn)
    rest = batch_size - sum(count for _, count in counted)
    return Pools(np.flatnonzero(main), counted, max(1, rest))


def epoch_batches(pools: Pools, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Random batches: every crystal of the main pool once, the others in their shares."""
    for part in np.array_split(rng.permutation(pools.main), pools.n_batches):
        extra = [rng.choice(index, count) for index, count in pools.drawn]
        yield np.concatenate([part, *extra])
