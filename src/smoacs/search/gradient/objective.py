"""What a search by gradients descends: the losses of all targets, added or scalarised."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from smoacs.crystals import Crystals
from smoacs.evaluation import ChemistrySlopes, Evaluator, LossSlopes, is_at_rest
from smoacs.targets import Target, Targets
from smoacs.targets.scalarisation import Front

TargetLoss = Callable[[Target, Tensor], Tensor]
"""Loss of one target for raw values of its property, [b] -> [b]."""


class Objective:
    """Losses, gradients and verdicts of candidates.

    Attributes:
        evaluator: Evaluates crystals.
        targets: What is wanted.
        front: Scalarises the targets to maximise or minimise, for each candidate its own way; None
            adds their losses like any other.
        at_rest: Whether geometry follows the energy, and only chemistry the targets; else both
            follow the targets.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        targets: Targets,
        *,
        front: Front | None = None,
        at_rest: bool = False,
    ) -> None:
        """Take what evaluates the crystals, what is wanted, and how."""
        self.evaluator = evaluator
        self.targets = targets
        self.front = front
        self.at_rest = at_rest

    def __call__(
        self,
        crystals: Crystals,
        loss: TargetLoss,
        candidates: Tensor | None = None,
        *,
        chemistry: bool = True,
    ) -> LossSlopes:
        """Evaluate all crystals; each counts as one predictor call.

        Args:
            crystals: The candidates; their graph, if any, is not touched.
            loss: The loss of each target.
            candidates: Number of each crystal among all candidates, [b]; None if these are all.
            chemistry: Whether the loss is differentiated; if not, only the energy is, which must be
                asked for (`at_rest`).

        Raises:
            ResourceError: The memory does not even hold one crystal at a time.
        """

        def total(out: Mapping[str, Tensor], chunk: Tensor) -> Tensor:
            own = chunk if candidates is None else candidates[chunk]
            return self.total(self.targets.losses(out, loss), own)

        slopes = self.evaluator.loss_slopes(
            crystals, total, at_rest=self.at_rest, chemistry=chemistry
        )
        if self.front is not None:
            self.front.observe(slopes.values)
        return slopes

    def chemistry_slopes(self, crystals: Crystals) -> ChemistrySlopes:
        """Differentiate each target's property by the chemistry; one predictor call a crystal."""
        return self.evaluator.chemistry_slopes(crystals, self.targets.properties)

    def total(self, losses: Sequence[Tensor], candidates: Tensor) -> Tensor:
        """One loss, [b], of those of all targets; conflicting ones in each candidate's own way."""
        if self.front is None:
            return torch.stack(list(losses)).sum(0)
        pairs = list(zip(self.targets, losses, strict=True))
        conflict = self.front.loss(torch.stack([x for t, x in pairs if t.direction], 1), candidates)
        return torch.stack([conflict, *(x for t, x in pairs if not t.direction)]).sum(0)

    def met(self, slopes: LossSlopes) -> Tensor:
        """Candidates that are finite, meet every target and, if asked to, are at rest, [B]."""
        verdict = self.targets.met(slopes.values) & slopes.finite
        if slopes.pressure is not None and slopes.max_force is not None:
            verdict = verdict & is_at_rest(slopes.pressure, slopes.max_force)
        return verdict


def pulled_back(
    crystals: Crystals, slopes: LossSlopes, variables: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Gradients by the variables that crystals were computed from, by name.

    Args:
        crystals: With their graph.
        slopes: Gradients by the crystals.
        variables: Leaves; those that nothing depends on are left out.
    """
    pairs = [
        (crystals.species_probs, slopes.species_grad),
        (crystals.frac_coords, slopes.frac_grad),
        (crystals.cell, slopes.cell_grad),
    ]
    if crystals.ionic_radii is not None and slopes.radii_grad is not None:
        pairs.append((crystals.ionic_radii, slopes.radii_grad))
    live = [(tensor, grad) for tensor, grad in pairs if tensor.requires_grad]
    # The same as handing the gradients to torch, which would import sympy to check their shapes.
    total = torch.stack([(tensor * grad).sum() for tensor, grad in live]).sum()
    grads: Sequence[Tensor | None] = torch.autograd.grad(
        total, list(variables.values()), allow_unused=True
    )
    found = zip(variables, grads, strict=True)
    return {name: grad for name, grad in found if grad is not None}


def no_loss(like: Tensor) -> Tensor:
    """Loss of candidates of which nothing is known: as bad as can be, [B]."""
    return torch.full_like(like, math.inf)
