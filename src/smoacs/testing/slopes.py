"""Slopes of properties along random paths, by gradient and by finite differences."""

from dataclasses import dataclass

import torch
from torch import Tensor

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.base import Predictor
from smoacs.testing.comparison import ModelTolerance, tolerance_of

STRAIN = 0.2
"""Share of a step in Å that is taken as strain, so that neighbours move by some steps."""


@dataclass(frozen=True)
class Path:
    """Crystals that move along a straight line in one kind of variable.

    Attributes:
        crystals: Where the path begins.
        kind: What moves: "species_probs", "positions", "strain" or "ionic_radii".
        direction: Change of it per step: [N, E], [N, 3] in Å, [B, 3, 3] or [N] in Å.
    """

    crystals: Crystals
    kind: str
    direction: Tensor

    def at(self, t: Tensor) -> Crystals:
        """Crystals after `t` steps."""
        crystals, change = self.crystals, t * self.direction
        if self.kind == "strain":
            return crystals.replace(cell=crystals.cell + crystals.cell @ change)
        if self.kind == "positions":
            cell = crystals.cell[crystals.system_idx]
            change = (change.unsqueeze(1) @ torch.linalg.inv(cell)).squeeze(1)
            return crystals.replace(frac_coords=crystals.frac_coords + change)
        return crystals.replace(**{self.kind: vars(crystals)[self.kind] + change})


def random_paths(crystals: Crystals, generator: torch.Generator) -> list[Path]:
    """One path for each kind of variable; species weights stay positive with sum 1 for |t| < 1."""

    def uniform(like: Tensor) -> Tensor:
        return 2 * torch.rand(like.shape, generator=generator).to(like) - 1

    weights = crystals.species_probs
    change = 0.5 * weights * uniform(weights)
    directions = {
        "species_probs": change - weights * change.sum(1, keepdim=True),
        "positions": uniform(crystals.frac_coords),
        "strain": STRAIN * uniform(crystals.cell),
    }
    if crystals.ionic_radii is not None:
        directions["ionic_radii"] = uniform(crystals.ionic_radii)
    return [Path(crystals, kind, direction) for kind, direction in directions.items()]


def gradient_slopes(predictor: Predictor, path: Path) -> tuple[dict[str, float], ModelTolerance]:
    """Slopes of each property's sum over crystals, by autograd, and the tolerances to expect.

    A property that does not depend on the path, or hides how it does, has slope 0.
    """
    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    out = _values(predictor, path.at(t))
    slopes = dict.fromkeys(out, 0.0)
    for name, values in out.items():
        if values.requires_grad:
            (slope,) = torch.autograd.grad(
                values.sum(), t, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            slopes[name] = float(slope)
    return slopes, tolerance_of(out)


def difference_slopes(predictor: Predictor, path: Path, step: float) -> dict[str, float]:
    """Slopes of each property's sum over crystals, by five-point finite differences.

    Neighbours are found anew at every point.
    """
    slopes = dict.fromkeys(predictor.properties, 0.0)
    with torch.no_grad():
        for offset, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1)):
            crystals = path.at(torch.tensor(offset * step, dtype=torch.float64))
            for name, values in _values(predictor, crystals).items():
                slopes[name] += weight * float(values.double().sum()) / (12 * step)
    return slopes


def _values(predictor: Predictor, crystals: Crystals) -> dict[str, Tensor]:
    out = predictor(crystals, neighbor_list(crystals, predictor.cutoff))
    return {name: out[name] for name in predictor.properties}
