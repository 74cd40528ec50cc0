"""Losses of crystals relaxed on the predicted energy, as the exhaustive search relaxes them."""

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.rivals.counting import CountingPredictor
from benchmarks.rivals.space import Proposals, Space
from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.evaluation import Evaluator
from smoacs.relaxation.quasi_newton import Relaxation
from smoacs.relaxation.radii import radius_length
from smoacs.relaxation.site_symmetry import SiteSymmetry
from smoacs.templates import Template

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
    kinds = DesignSpace.from_templates([template] * len(proposals))
    soft = SoftCrystals.start(kinds, torch.Generator().manual_seed(0))
    combination = torch.as_tensor(proposals.combination)
    elements = torch.as_tensor(np.concatenate(proposals.elements))
    with torch.no_grad():
        length = radius_length(soft.hard_crystals(combination, elements))
        cells = round((template.n_sites / PEROVSKITE) ** (1 / 3))
        lengths = kinds.lengths if length is None else (cells * length[:, None]).expand(-1, 3)
        soft.lengths.copy_(lengths / soft.length_unit)
    soft.project()
    names = list(dict.fromkeys(target.property for target in predictor.targets))
    with Evaluator(predictor, names, device=torch.device("cpu")) as evaluator:
        relaxation = Relaxation(soft, combination, elements, SiteSymmetry.of(template))
        values, *_ = relaxation.run(evaluator)
    return predictor.losses(values)
