"""Losses of crystals relaxed on the predicted energy, as the exhaustive search relaxes them."""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rivals.counting import CountingPredictor
from benchmarks.rivals.space import Proposals, Space
from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator
from smoacs.relaxation import relax_candidates, start_at_radii
from smoacs.templates import Template, site_operations

PEROVSKITE = 5
"""Sites of the perovskite cell whose length follows from ionic radii."""


def relaxed_losses(
    space: Space, proposals: Proposals, predictor: CountingPredictor
) -> NDArray[np.float64]:
    """Relax crystals, each from its ions' sizes or its template's lattice; give their losses, [B].

    Every step of every crystal is a predictor call, and what is passed on the way counts, too.
    """
    losses = np.empty(len(proposals))
    for index in np.unique(proposals.template):
        rows = np.flatnonzero(proposals.template == index)
        losses[rows] = _relax(space.templates[index], proposals.select(rows), predictor)
    return losses


def _relax(
    template: Template, proposals: Proposals, predictor: CountingPredictor
) -> NDArray[np.float64]:
    candidates = Candidates.real(
        DesignSpace.from_templates([template] * len(proposals)),
        torch.as_tensor(proposals.combination),
        torch.as_tensor(np.concatenate(proposals.elements)),
    )
    cells = round((template.n_sites / PEROVSKITE) ** (1 / 3))
    start_at_radii(candidates, candidates.hard().detached(), cells)
    names = list(dict.fromkeys(target.property for target in predictor.targets))
    with Evaluator(predictor, names) as evaluator:
        ends = relax_candidates(candidates, site_operations(template), evaluator)
    return predictor.losses(ends.values)
