"""Designs at rest: geometry follows the energy, chemistry follows the targets."""

from dataclasses import replace

import torch
from torch import Tensor

from smoacs.crystals import Crystals, DesignSpace, SoftCrystals
from smoacs.predictors import GPA, MAX_FORCE, MAX_PRESSURE
from smoacs.predictors.descriptors import mean_radii
from smoacs.search.objective import Evaluation
from smoacs.templates import Template

WEIGHT = 0.1
"""Loss for each time that a residual exceeds half of what a crystal at rest may have."""


MANY = 12
"""Sites of one kind that choose their elements together in the soft stage."""

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
    a, b, x = mean_radii(crystals)
    return 0.5 * (2 * (b + x) + 2**0.5 * (a + x))


def with_shared_choices(
    space: DesignSpace, template: Template, generator: torch.Generator
) -> DesignSpace:
    """The space with sites of one kind that choose together, for the soft stage of large cells.

    A large crystal whose sites all choose for themselves is strained beyond what the boxes of its
    sites let it relax. Where there are many sites of a kind they choose one element together. In
    one such kind, drawn for each candidate, they are dealt at random to two sets that each choose.

    Args:
        space: Of candidates of the template.
        template: Without rules that tie sites.
        generator: Source of randomness.
    """
    kinds: dict[bytes, list[int]] = {}
    for site, label in enumerate(template.site_labels):
        kinds.setdefault(label.encode() + template.allowed[:, site].tobytes(), []).append(site)
    many = [torch.tensor(sites) for sites in kinds.values() if len(sites) >= MANY]
    if not many:
        return space
    tied_to = torch.arange(template.n_sites).repeat(space.n_systems, 1)
    for row in tied_to:
        mixed = int(torch.randint(len(many), (), generator=generator))
        for number, sites in enumerate(many):
            drawn = sites[torch.randperm(len(sites), generator=generator)]
            for group in drawn.chunk(2 if number == mixed else 1):
                row[group] = group.min()
    first = template.n_sites * torch.arange(space.n_systems)[:, None]
    return replace(space, tied_to=(tied_to + first).flatten().to(space.system_idx.device))


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
