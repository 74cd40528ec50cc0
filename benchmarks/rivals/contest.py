"""The one loop that all rivals share: propose, evaluate on the counting predictor, tell."""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rivals.counting import BudgetSpentError, CountingPredictor
from benchmarks.rivals.relaxed import relaxed_losses
from benchmarks.rivals.space import Proposals, Space
from smoacs.crystals import Crystals, chunk_systems, neighbor_list
from smoacs.evaluation.threads import atoms_per_chunk, cores, single_thread

Ending = Literal["budget", "time", "nothing left"]


class Rival(Protocol):
    """A search that proposes crystals and is told their losses.

    Attributes:
        relaxes: Whether the geometry is relaxed on the predicted energy before the loss is taken;
            each step of that is a predictor call.
    """

    relaxes: bool

    def propose(self, most: int) -> Proposals:
        """At least one crystal and at most so many; none where nothing is left to try."""
        ...

    def observe(self, proposals: Proposals, losses: NDArray[np.float64]) -> None:
        """Take the losses of what was proposed, [B]; less is better."""
        ...


@single_thread()
def compete(rival: Rival, space: Space, predictor: CountingPredictor) -> Ending:
    """Let a rival search until its calls or its time are spent.

    What it found is in the predictor.

    Args:
        rival: The search.
        space: Where it searches.
        predictor: With the budget.

    Returns:
        Why it ended.
    """
    with ThreadPoolExecutor(cores(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        while predictor.left > 0 and not predictor.out_of_time:
            try:
                proposals = rival.propose(predictor.left)
                if not len(proposals):
                    return "nothing left"
                if rival.relaxes:
                    losses = relaxed_losses(space, proposals, predictor)
                else:
                    losses = _losses(space.crystals(proposals), predictor, pool)
            except BudgetSpentError:
                break
            rival.observe(proposals, losses)
    return "time" if predictor.out_of_time else "budget"


def _losses(
    crystals: Crystals, predictor: CountingPredictor, pool: ThreadPoolExecutor
) -> NDArray[np.float64]:
    def work(systems: torch.Tensor) -> NDArray[np.float64]:
        part = crystals.select(systems)
        with torch.no_grad():
            return predictor.losses(predictor(part, neighbor_list(part, predictor.cutoff)))

    chunks = chunk_systems(crystals.counts, atoms_per_chunk(crystals.counts))
    return np.concatenate(list(pool.map(work, chunks)))
