"""The gradient stage: soft crystals descend the targets' losses while the temperature falls."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from smoacs.crystals import Candidates
from smoacs.relaxation import SecantLattice
from smoacs.search.gradient.adam import CandidateAdam, Variable
from smoacs.search.gradient.copy_mutate import choose_sources, copy_and_mutate
from smoacs.search.gradient.objective import Objective, pulled_back
from smoacs.search.progress import Recorder
from smoacs.search.settings import AnnealSettings, CopyMutateSettings, GeometrySettings
from smoacs.targets import Target


def temperature(settings: AnnealSettings, step: int, horizon: int) -> float:
    """Softmax temperature at a step (from 0) of `horizon`; the ends are reached exactly."""
    x = step / max(1, horizon - 1)
    start, end = settings.temperature_start, settings.temperature_end
    if settings.geometric:
        return float(start * (end / start) ** x)
    return start + (end - start) * x


def cosine(step: int, horizon: int) -> float:
    """Cosine annealing from 1 at step 0 to 0 at `horizon`."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, horizon))))


@dataclass
class _Schedule:
    """Cosine that the learning rates follow: its height and the step where it began."""

    level: float = 1.0
    begin: int = 0


def anneal(
    candidates: Candidates,
    objective: Objective,
    settings: AnnealSettings,
    *,
    copy_mutate: CopyMutateSettings | None,
    steps: int,
    generator: torch.Generator,
    recorder: Recorder,
) -> None:
    """Move soft candidates for `steps` steps.

    Args:
        candidates: Those to move.
        objective: Evaluates them.
        settings: Learning rates and temperatures.
        copy_mutate: Population steps; None for none.
        steps: How many.
        generator: Source of randomness.
        recorder: Takes every step's values.
    """

    def loss(target: Target, values: Tensor) -> Tensor:
        if settings.inner is None:
            return target.paper_loss(values)
        return target.loss(values, inner=settings.inner)

    adam = _optimiser(candidates, settings)
    lattice = SecantLattice(candidates) if objective.at_rest else None
    schedule = _Schedule()
    parts = {
        "candidates": candidates.state,
        "evaluator": objective.evaluator,
        "front": objective.front,
        "generator": generator,
        "adam": adam,
        "lattice": lattice,
        "schedule": schedule,
    }
    for step in recorder.steps_of("annealing", steps, parts, candidates.lengths.device):
        crystals = candidates.soft(
            temperature(settings, step, steps), second_softmax=settings.second_softmax
        )
        slopes = objective(crystals, loss)
        met = objective.met(slopes)
        recorder.record("annealing", slopes.values, met)
        factor = schedule.level * cosine(step - schedule.begin, steps - schedule.begin)
        if copy_mutate is not None and step + 1 in copy_mutate.steps:
            source = choose_sources(slopes.loss, met, copy_mutate, generator)
            changed = copy_and_mutate(candidates, source, copy_mutate.noise, generator)
            adam.restart(changed)
            schedule.level, schedule.begin = factor, step + 1
            continue
        grads = pulled_back(crystals, slopes, candidates.variables)
        if lattice is not None and "lengths" in grads:
            lattice.step(grads.pop("lengths"), crystals.volume.detach())
        candidates.move(adam.changes(grads, factor))


def _optimiser(candidates: Candidates, settings: AnnealSettings) -> CandidateAdam:
    variables = geometry_variables(
        candidates,
        lattice=settings.learning_rate_lattice,
        coords=settings.learning_rate_coords,
        settings=settings.geometry,
    )
    # The same tensors, whose rows Adam then looks up once.
    systems, sites = variables["lengths"].system_idx, candidates.space.system_idx
    rate = settings.learning_rate_scores
    chemistry = {
        "element_scores": Variable(candidates.element_scores, sites, rate),
        "combination_scores": Variable(candidates.combination_scores, systems, rate),
    }
    return CandidateAdam(variables | chemistry, len(candidates), beta2=settings.geometry.beta2)


def geometry_variables(
    candidates: Candidates, *, lattice: float, coords: float, settings: GeometrySettings
) -> dict[str, Variable]:
    """Lattice and coordinates as variables of Adam.

    Args:
        candidates: Theirs.
        lattice: Learning rate of lengths, a share of the longest one at the start, and of angles, a
            share of what they may span.
        coords: Learning rate of fractional coordinates.
        settings: How gradients are scaled.
    """
    systems = torch.arange(len(candidates), device=candidates.lengths.device)
    low, high = candidates.space.angle_bounds.unbind(1)
    return {
        "lengths": Variable(candidates.lengths, systems, lattice * candidates.length_scale),
        "angles": Variable(candidates.angles, systems, lattice * (high - low)),
        "displacements": Variable(
            candidates.displacements, candidates.space.system_idx, coords, settings.coords_epsilon
        ),
    }
