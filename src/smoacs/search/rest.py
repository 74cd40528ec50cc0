"""Designs at rest: geometry follows the energy, chemistry follows the targets."""

import torch
from torch import Tensor

from smoacs.crystals import Crystals, SoftCrystals
from smoacs.predictors import GPA, MAX_FORCE, MAX_PRESSURE
from smoacs.predictors.descriptors import mean_radius
from smoacs.search.axes import AxisSymmetry
from smoacs.search.objective import Evaluation

WEIGHT = 0.1
"""Loss for each time that a residual exceeds half of what a crystal at rest may have."""


START_STIFFNESS = 100.0
"""GPa; first guess of how fast an axis' pressure falls with its strain, over 3."""

STIFFNESS_RANGE = (10.0, 400.0)

MIN_STRAIN = 1e-4

MAX_STRAIN = 0.06
"""Largest change of a length in one step, relative."""


class LatticeRelaxer:
    """Moves lattice lengths to zero pressure: a secant step on each axis of each candidate.

    Along axis i, p_i = -L_i dE/dL_i / V is the pressure on it; the step in ln L_i is p_i / (3 K_i)
    with the stiffness K_i learnt from the last two steps. Axes that symmetry makes equal share the
    mean pressure and stay equal.
    """

    def __init__(self, soft: SoftCrystals, symmetry: AxisSymmetry) -> None:
        """Take the candidates whose lengths to move, all axes on their own at first."""
        self._soft = soft
        self._symmetry = symmetry
        lengths = soft.lengths.detach()
        self._share = torch.eye(3).to(lengths).repeat(len(lengths), 1, 1)
        self._stiffness = torch.full_like(lengths, START_STIFFNESS)
        self._pressure = torch.full_like(lengths, torch.nan)
        self._strain = torch.zeros_like(lengths)

    def restart(self, systems: Tensor, elements: Tensor) -> None:
        """Begin anew for some candidates ([B] bool), whose sites now hold `elements` ([N])."""
        self._stiffness[systems] = START_STIFFNESS
        self._pressure[systems] = torch.nan
        share = self._symmetry.shares(elements.view(len(systems), -1)).to(self._share)
        self._share = torch.where(systems[:, None, None], share, self._share)
        with torch.no_grad():
            lengths = self._soft.lengths
            lengths.copy_((self._share @ lengths.unsqueeze(2)).squeeze(2))
        self._soft.project()  # axes that are equal may have ranges of their own

    def step(self, volume: Tensor, moving: Tensor) -> None:
        """Move the lengths of the `moving` candidates ([B] bool) and clear their gradients.

        Args:
            volume: Of the cells, Å³, [B].
            moving: Candidates to move.
        """
        lengths = self._soft.lengths
        if lengths.grad is None:
            return
        with torch.no_grad():
            pressure = -GPA * lengths * lengths.grad / volume[:, None]
            pressure = (self._share @ pressure.unsqueeze(2)).squeeze(2)
            learnt = (self._pressure - pressure) / (3 * self._strain)
            known = learnt.isfinite() & (self._strain.abs() > MIN_STRAIN)
            stiffness = torch.where(known, learnt.clamp(*STIFFNESS_RANGE), self._stiffness)
            strain = (pressure / (3 * stiffness)).clamp(-MAX_STRAIN, MAX_STRAIN)
            move = moving[:, None]
            lengths.mul_(torch.where(move, torch.exp(strain), 1.0))
            self._stiffness = torch.where(move, stiffness, self._stiffness)
            self._pressure = torch.where(move, pressure, self._pressure)
            self._strain = torch.where(move, strain, self._strain)
        lengths.grad = None


def rest_loss(evaluation: Evaluation) -> Tensor:
    """Penalty on residual pressure and forces, [B]; 0 where designs need not be at rest."""
    if evaluation.pressure is None or evaluation.max_force is None:
        return torch.zeros_like(evaluation.loss)
    pressure = torch.relu(evaluation.pressure.abs() / (0.5 * MAX_PRESSURE) - 1)
    force = torch.relu(evaluation.max_force / (0.5 * MAX_FORCE) - 1)
    return WEIGHT * (pressure + force)


def radius_length(crystals: Crystals) -> Tensor | None:
    """Lattice length (Å) of a cubic ABX3 perovskite of touching ions, [B]; None without radii.

    The mean of what the B-X contact and the A-X contact ask for: 2 (r_B + r_X) and
    √2 (r_A + r_X), the two lengths whose ratio is Goldschmidt's tolerance factor.
    """
    if crystals.ionic_radii is None or crystals.site_roles is None:
        return None
    a, b, x = (mean_radius(crystals, role) for role in range(3))
    return 0.5 * (2 * (b + x) + 2**0.5 * (a + x))


def start_at_radii(soft: SoftCrystals, temperature: float, repeat: int) -> None:
    """Set all lengths to what the ions' expected radii ask for, in place."""
    with torch.no_grad():
        length = radius_length(soft.crystals(temperature))
        if length is not None:
            soft.lengths.copy_((repeat * length / soft.length_unit)[:, None].expand(-1, 3))


def scale_to_radii(soft: SoftCrystals, combination: Tensor, before: Tensor, after: Tensor) -> None:
    """Scale lengths by what a change of elements ([N] to [N]) does to the ions' sizes, in place."""
    with torch.no_grad():
        old = radius_length(soft.hard_crystals(combination, before))
        new = radius_length(soft.hard_crystals(combination, after))
        if old is not None and new is not None:
            soft.lengths.mul_((new / old)[:, None])
            soft.project()
