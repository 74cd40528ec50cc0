"""Lattice lengths of soft candidates moved to zero pressure, while their elements still change."""

from typing import ClassVar

import torch
from torch import Tensor

from smoacs.crystals import Candidates
from smoacs.evaluation import GPA

START_STIFFNESS = 100.0
"""GPa; first guess of how fast an axis' pressure falls with its strain, over 3."""

STIFFNESS_RANGE = (10.0, 400.0)

MIN_STRAIN = 1e-4

MAX_STRAIN = 0.06
"""Largest change of a length in one step, relative."""


class SecantLattice:
    """Steps of lattice lengths to zero pressure: a secant on each axis of each candidate.

    Along axis i, p_i = -L_i dE/dL_i / V is the pressure on it; the step in ln L_i is p_i / (3 K_i)
    with the stiffness K_i learnt from the last two steps. Elements change from step to step, so
    that older ones teach nothing.
    """

    NOT_STATE: ClassVar = frozenset({"_candidates"})

    def __init__(self, candidates: Candidates) -> None:
        """Take the candidates whose lengths to move."""
        self._candidates = candidates
        lengths = candidates.lengths.detach()
        self._stiffness = torch.full_like(lengths, START_STIFFNESS)
        self._pressure = torch.full_like(lengths, torch.nan)
        self._strain = torch.zeros_like(lengths)

    def step(self, gradient: Tensor, volume: Tensor) -> None:
        """Move the lengths of all candidates.

        Args:
            gradient: Of the energies by the lengths, eV/Å, [B, 3].
            volume: Of the cells, Å³, [B].
        """
        lengths = self._candidates.lengths.detach()
        pressure = -GPA * lengths * gradient / volume[:, None]
        learnt = (self._pressure - pressure) / (3 * self._strain)
        known = learnt.isfinite() & (self._strain.abs() > MIN_STRAIN)
        stiffness = torch.where(known, learnt.clamp(*STIFFNESS_RANGE), self._stiffness)
        strain = (pressure / (3 * stiffness)).clamp(-MAX_STRAIN, MAX_STRAIN)
        self._stiffness, self._pressure, self._strain = stiffness, pressure, strain
        self._candidates.place(lengths * torch.exp(strain))
