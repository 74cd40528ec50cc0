"""Lattice lengths of soft crystals moved to zero pressure."""

import torch
from torch import Tensor

from smoacs.crystals import SoftCrystals
from smoacs.evaluation import GPA

START_STIFFNESS = 100.0
"""GPa; first guess of how fast an axis' pressure falls with its strain, over 3."""

STIFFNESS_RANGE = (10.0, 400.0)

MIN_STRAIN = 1e-4

MAX_STRAIN = 0.06
"""Largest change of a length in one step, relative."""


class LatticeRelaxer:
    """Moves lattice lengths to zero pressure: a secant step on each axis of each candidate.

    Along axis i, p_i = -L_i dE/dL_i / V is the pressure on it; the step in ln L_i is p_i / (3 K_i)
    with the stiffness K_i learnt from the last two steps.
    """

    def __init__(self, soft: SoftCrystals) -> None:
        """Take the candidates whose lengths to move."""
        self._soft = soft
        lengths = soft.lengths.detach()
        self._stiffness = torch.full_like(lengths, START_STIFFNESS)
        self._pressure = torch.full_like(lengths, torch.nan)
        self._strain = torch.zeros_like(lengths)

    def step(self, volume: Tensor) -> None:
        """Move the lengths of all candidates, with cells of this volume (Å³, [B]).

        The gradients are cleared.
        """
        lengths = self._soft.lengths
        if lengths.grad is None:
            return
        with torch.no_grad():
            pressure = -GPA * lengths * lengths.grad / volume[:, None]
            learnt = (self._pressure - pressure) / (3 * self._strain)
            known = learnt.isfinite() & (self._strain.abs() > MIN_STRAIN)
            stiffness = torch.where(known, learnt.clamp(*STIFFNESS_RANGE), self._stiffness)
            strain = (pressure / (3 * stiffness)).clamp(-MAX_STRAIN, MAX_STRAIN)
            lengths.mul_(torch.exp(strain))
            self._stiffness, self._pressure, self._strain = stiffness, pressure, strain
        lengths.grad = None
