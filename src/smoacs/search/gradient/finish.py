"""The discrete stage: elements are frozen, geometry is polished, single sites are swapped.

Every candidate climbs on its own: from its best crystal so far it tries a swap that the gradient
proposes, polishes the geometry for a few steps, and keeps the result if it is better. A candidate
rests when it succeeds with a composition that no other has; one that succeeds with a composition
already taken goes on looking for one of its own, its success kept. One that has failed too often
goes on from a copy of a success: the paper's copy-and-mutate, with a composition of its own asked
of every copy.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smoacs.chemistry import N_ELEMENTS
from smoacs.crystals import SoftCrystals
from smoacs.relaxation.geometry_guard import GeometryGuard
from smoacs.search.gradient.adam import CandidateAdam
from smoacs.search.gradient.anneal import all_met, geometry_variables
from smoacs.search.gradient.crystal_rows import composition_keys
from smoacs.search.gradient.moves import PROPOSALS, Moves
from smoacs.search.gradient.objective import Evaluation, Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import FinishSettings
from smoacs.search.state import leaves

SITES_PER_SWAP = 7
"""A cell of so many sites has one of them swapped at a time, larger ones in proportion."""


@dataclass
class _Climb:
    """Best crystal of each candidate so far, and the gradient there.

    Attributes:
        combination: Charge combination of each candidate, fixed in this stage, [B].
        elements: Elements (index Z - 1) on trial, [N].
        best_elements: [N].
        lengths: Best lattice lengths (scaled as in SoftCrystals), [B, 3].
        angles: Best angles (scaled), [B, 3].
        displacements: Best displacements, [N, 3].
        loss: Best loss, [B].
        met: Whether the best crystal meets all targets, [B].
        failures: Trials in a row that brought a failing candidate nothing, [B].
        swap_cost: Estimated change of loss for each element at each site of the best crystal,
            [N, E].
        values: Last values of the targets' properties, each [B].
        resting: Candidates that are done, [B].
    """

    combination: Tensor
    elements: Tensor
    best_elements: Tensor
    lengths: Tensor
    angles: Tensor
    displacements: Tensor
    loss: Tensor
    met: Tensor
    failures: Tensor
    swap_cost: Tensor
    values: dict[str, Tensor]
    resting: Tensor


def finish(  # noqa: PLR0913  (what evaluates, what limits and what records the steps)
    soft: SoftCrystals,
    objective: Objective,
    settings: FinishSettings,
    *,
    steps: int,
    generator: torch.Generator,
    recorder: Recorder,
    guard: GeometryGuard | None = None,
    moves: Moves | None = None,
) -> tuple[Tensor, Tensor]:
    """Polish and swap for `steps` steps; the geometry of `soft` becomes that of the best crystals.

    Args:
        soft: Candidates of one template.
        objective: Evaluates them.
        settings: Learning rates and swaps.
        steps: How many.
        generator: Source of randomness.
        recorder: Takes every step's values.
        guard: Of geometric constraints; None if there are none.
        moves: Under rules on the crystal as a whole; None if there are none.

    Returns:
        Combination of each candidate [B] and element of each site [N].
    """
    climb = _start(soft, guard)
    soft = freed(soft, moves)
    # A first crystal without a finite loss has no costs of its own, and still no forbidden element.
    climb.swap_cost.masked_fill_(~soft.allowed_under(climb.combination), torch.inf)
    adam = CandidateAdam(
        geometry_variables(soft, settings), soft.space.n_systems, beta2=settings.geometry.beta2
    )
    parts = {
        "soft": leaves(soft),
        "objective": objective,
        "front": objective.front,
        "generator": generator,
        "adam": adam,
        "climb": climb,
    }
    for step in recorder.steps_of("finishing", steps, parts, soft.lengths.device):
        if step > 0 and step % settings.polish_steps == 0:
            if not has_extreme(objective):
                climb.resting = _resting(climb, climb.resting)
            _start_again(climb, settings.patience, generator)
            if objective.front is not None:  # a loss of another's weights says nothing
                climb.loss = torch.where(climb.failures == 0, torch.inf, climb.loss)
            active = ~climb.resting
            if active.any():
                _swap(
                    soft,
                    climb,
                    active,
                    temperature=settings.swap_temperature,
                    generator=generator,
                    moves=moves,
                )
                adam.restart(active)
        active = ~climb.resting
        if active.any():
            _try(soft, objective, climb, active, inner=settings.inner, guard=guard)
            adam.step(1.0, active)
            soft.project()
        recorder.record("finishing", climb.values, climb.met)
    _restore(soft, climb)
    return climb.combination, climb.best_elements


def freed(soft: SoftCrystals, moves: Moves | None) -> SoftCrystals:
    """Candidates out of their variants: each trial crystal is checked as a whole."""
    return soft if moves is None else replace(soft, space=moves.space)


def has_extreme(objective: Objective) -> bool:
    """Whether a property is to be as large or as small as possible, so that nobody is ever done."""
    return any(target.direction for target in objective.targets)


def _start(soft: SoftCrystals, guard: GeometryGuard | None = None) -> _Climb:
    combination, elements = soft.discretise()
    if guard is not None:
        elements = guard.distinguish(soft, combination, elements)
    n = soft.space.n_systems
    return _Climb(
        combination=combination,
        elements=elements,
        best_elements=elements.clone(),
        lengths=soft.lengths.detach().clone(),
        angles=soft.angles.detach().clone(),
        displacements=soft.displacements.detach().clone(),
        loss=torch.full((n,), torch.inf, device=elements.device),
        met=torch.zeros(n, dtype=torch.bool, device=elements.device),
        failures=torch.zeros(n, dtype=torch.int64, device=elements.device),
        swap_cost=torch.zeros(len(elements), N_ELEMENTS, device=elements.device),
        values={},
        resting=torch.zeros(n, dtype=torch.bool, device=elements.device),
    )


def _try(
    soft: SoftCrystals,
    objective: Objective,
    climb: _Climb,
    active: Tensor,
    *,
    inner: float,
    guard: GeometryGuard | None = None,
) -> None:
    """Evaluate the active candidates on trial, keep what is better, leave geometry gradients."""
    if guard is not None:
        guard.make_room(soft, climb.combination, climb.elements)
    crystals = soft.hard_crystals(climb.combination, climb.elements)
    index = torch.nonzero(active).flatten()
    part = crystals.select(index)
    evaluation = objective(part, lambda target, values: target.loss(values, inner=inner), index)
    evaluation.backward(part)
    for name, value in evaluation.values.items():
        climb.values.setdefault(name, value.new_full((len(active),), torch.nan))[index] = value
    met = torch.zeros_like(active)
    met[index] = all_met(objective.targets, evaluation)
    loss = torch.full_like(climb.loss, torch.inf)
    loss[index] = evaluation.loss
    if guard is not None:
        fits = guard.fits(part, climb.combination[index])
        met[index] &= fits
        loss[index] = loss[index].where(fits, torch.inf)
    # A swap on trial always has a composition of its own, so its success outranks a shared one,
    # unless something is to be as large or small as can be: then only the loss counts.
    n = len(active)
    swapped = (climb.elements != climb.best_elements).view(n, -1).any(1)
    outranks = met & swapped & (not has_extreme(objective))
    rank = met.long() + outranks.long()
    best_rank = climb.met.long()
    better = active & ((rank > best_rank) | ((rank == best_rank) & (loss < climb.loss)))
    sites = active[soft.space.system_idx]
    better_sites = better[soft.space.system_idx]
    cost = torch.zeros_like(climb.swap_cost)
    cost[sites] = _swap_cost(soft, climb, sites, evaluation)
    climb.swap_cost[better_sites] = cost[better_sites]
    climb.failures[better] = -1  # the count goes up by one at the next swap
    climb.loss = torch.where(better, loss, climb.loss)
    climb.met = torch.where(better, met, climb.met)
    climb.best_elements = torch.where(better_sites, climb.elements, climb.best_elements)
    climb.lengths = torch.where(better[:, None], soft.lengths.detach(), climb.lengths)
    climb.angles = torch.where(better[:, None], soft.angles.detach(), climb.angles)
    climb.displacements = torch.where(
        better_sites[:, None], soft.displacements.detach(), climb.displacements
    )


def _swap_cost(soft: SoftCrystals, climb: _Climb, sites: Tensor, evaluation: Evaluation) -> Tensor:
    """First-order change of loss when a site's element is replaced, [n, E]; inf if forbidden."""
    rows = torch.arange(int(sites.sum()), device=sites.device)
    elements = climb.elements[sites]
    combination = climb.combination[soft.space.system_idx[sites]]
    cost = evaluation.species_grad - evaluation.species_grad[rows, elements, None]
    if evaluation.radii_grad is not None and soft.space.radii is not None:
        radii = soft.space.radii[sites][rows, combination]
        change = radii - radii[rows, elements, None]
        cost = cost + evaluation.radii_grad[:, None] * change
    allowed = soft.space.allowed[sites][rows, combination]
    cost = cost.masked_fill(~allowed, torch.inf)
    cost[rows, elements] = torch.inf
    return cost


def _resting(climb: _Climb, before: Tensor) -> Tensor:
    """Candidates that succeed with a composition that no other resting candidate has, [B]."""
    counts = _counts(climb.best_elements.view(len(before), -1))
    seen = {counts[b].tobytes() for b in torch.nonzero(before).flatten().tolist()}
    resting = before.clone()
    for b in torch.nonzero(climb.met & ~before).flatten().tolist():
        key = counts[b].tobytes()
        resting[b] = key not in seen
        seen.add(key)
    return resting


def _start_again(climb: _Climb, patience: int, generator: torch.Generator) -> None:
    """Make failing candidates whose patience is spent copies of random successes, in place."""
    climb.failures += 1
    stuck = torch.nonzero(~climb.met & (climb.failures >= patience)).flatten()
    good = torch.nonzero(climb.met).flatten()
    if len(stuck) == 0 or len(good) == 0:
        return
    drawn = torch.randint(len(good), (len(stuck),), generator=generator)
    source = good[drawn.to(good.device)]
    n = len(climb.met)
    for field in (climb.combination, climb.lengths, climb.angles, climb.loss, climb.met):
        field[stuck] = field[source]
    for field in (climb.best_elements, climb.displacements, climb.swap_cost):
        rows = field.view(n, -1, *field.shape[1:])
        rows[stuck] = rows[source]
    climb.failures[stuck] = 0


def _counts(elements: Tensor) -> NDArray[np.int16]:
    """Atoms of each element, [B, E], of crystals of one size ([B, n])."""
    one_hot = torch.nn.functional.one_hot(elements, N_ELEMENTS)
    counts: NDArray[np.int16] = one_hot.sum(1).to(torch.int16).cpu().numpy()
    return counts


def _swap(
    soft: SoftCrystals,
    climb: _Climb,
    active: Tensor,
    *,
    temperature: float,
    generator: torch.Generator,
    moves: Moves | None = None,
) -> None:
    """Put each active candidate back to its best crystal, with one site's element replaced.

    With `moves`, elements are replaced on all the sites that the rules make change together.
    """
    with torch.no_grad():
        soft.lengths.copy_(torch.where(active[:, None], climb.lengths, soft.lengths))
        soft.angles.copy_(torch.where(active[:, None], climb.angles, soft.angles))
        sites = active[soft.space.system_idx][:, None]
        soft.displacements.copy_(torch.where(sites, climb.displacements, soft.displacements))
    n = len(active)
    elements = climb.best_elements.view(n, -1).clone()
    if moves is not None:
        _swap_by_rules(climb, elements, active, moves, temperature, generator)
        climb.elements = torch.where(
            active[soft.space.system_idx], elements.flatten(), climb.best_elements
        )
        return
    counts = _counts(elements)
    taken = {counts[b].tobytes() for b in torch.nonzero(climb.met).flatten().tolist()}
    n_sites = elements.shape[1]
    # One site of many changes little: the choice is as sharp, and the change as large, at any size.
    sharpness = max(1.0, n_sites / SITES_PER_SWAP) / temperature
    n_swaps = max(1, n_sites // SITES_PER_SWAP)
    uniform = torch.rand(climb.swap_cost.shape, generator=generator).to(climb.swap_cost)
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-12, 1 - 1e-7)))
    score = (gumbel - climb.swap_cost * sharpness).view(n, -1)
    value, choice = score.topk(min(PROPOSALS * n_swaps, score.shape[1]), dim=1)
    choice = torch.where(value.isfinite(), choice, -1)
    chosen = choice.cpu().numpy()
    cost = climb.swap_cost.view(n, -1)
    for b in torch.nonzero(active).flatten().tolist():
        swapped: set[int] = set()
        for flat in chosen[b]:
            if flat < 0 or len(swapped) == n_swaps:
                break
            site, element = divmod(int(flat), N_ELEMENTS)
            if site in swapped or (swapped and cost[b, flat] >= 0):
                continue
            count = counts[b].copy()
            count[int(elements[b, site])] -= 1
            count[element] += 1
            if count.tobytes() not in taken:
                elements[b, site] = element
                counts[b] = count
                taken.add(count.tobytes())
                swapped.add(site)
                cost[b, flat] = torch.inf  # tried: never again from here
    climb.elements = torch.where(
        active[soft.space.system_idx], elements.flatten(), climb.best_elements
    )


def _swap_by_rules(  # noqa: PLR0917  (what there is, and how one is drawn)
    climb: _Climb,
    elements: Tensor,
    active: Tensor,
    moves: Moves,
    temperature: float,
    generator: torch.Generator,
) -> None:
    """Change each active candidate's elements, [B, n], once and in place, if there is a way."""
    taken = set(composition_keys(elements[climb.met]))
    cost = climb.swap_cost.view(*elements.shape, N_ELEMENTS)
    for b in torch.nonzero(active).flatten().tolist():
        held = elements[b].cpu().numpy()
        groups = moves.groups(held)
        of_sites = cost[b].cpu().numpy()
        change = moves.pick(
            held,
            groups,
            np.stack([of_sites[group].sum(axis=0) for group in groups]),
            temperature=temperature,
            generator=generator,
            avoided=[taken],
        )
        if change is not None:
            group, element = change
            elements[b, torch.as_tensor(group, device=elements.device)] = element
            taken.update(composition_keys(elements[b : b + 1]))
            cost[b, int(group[0]), element] = torch.inf  # tried: never again from here


def _restore(soft: SoftCrystals, climb: _Climb) -> None:
    with torch.no_grad():
        soft.lengths.copy_(climb.lengths)
        soft.angles.copy_(climb.angles)
        soft.displacements.copy_(climb.displacements)
