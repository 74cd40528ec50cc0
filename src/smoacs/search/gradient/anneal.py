"""The gradient stage: soft crystals descend the targets' losses while the temperature falls."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from smoacs.crystals import SoftCrystals
from smoacs.evaluation import is_at_rest
from smoacs.relaxation.lattice import LatticeRelaxer
from smoacs.search.gradient.adam import CandidateAdam, Variable
from smoacs.search.gradient.copy_mutate import choose_sources, copy_and_mutate
from smoacs.search.gradient.objective import Evaluation, Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import AnnealSettings, CopyMutateSettings, FinishSettings
from smoacs.search.state import leaves
from smoacs.targets import Target
from smoacs.targets.caution import cautious


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


def all_met(targets: Sequence[Target], evaluation: Evaluation) -> Tensor:
    """Candidates that are finite, meet every target and, where asked for, are at rest, [B]."""
    met = [
        cautious(target, evaluation.margins).met(evaluation.values[target.property])
        for target in targets
    ]
    verdict = torch.stack(met).all(0) & evaluation.finite
    if evaluation.pressure is not None and evaluation.max_force is not None:
        verdict = verdict & is_at_rest(evaluation.pressure, evaluation.max_force)
    return verdict


@dataclass
class _Schedule:
    """Cosine that the learning rates follow: its height and the step where it began."""

    level: float = 1.0
    begin: int = 0


def anneal(
    soft: SoftCrystals,
    objective: Objective,
    settings: AnnealSettings,
    *,
    copy_mutate: CopyMutateSettings | None,
    steps: int,
    generator: torch.Generator,
    recorder: Recorder,
) -> None:
    """Move the candidates in place for `steps` steps.

    Args:
        soft: The candidates.
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

    adam = _optimiser(soft, settings)
    relaxer = LatticeRelaxer(soft) if objective.at_rest else None
    schedule = _Schedule()
    parts = {
        "soft": leaves(soft),
        "objective": objective,
        "front": objective.front,
        "generator": generator,
        "adam": adam,
        "relaxer": relaxer,
        "schedule": schedule,
    }
    for step in recorder.steps_of("annealing", steps, parts, soft.lengths.device):
        crystals = soft.crystals(
            temperature(settings, step, steps), second_softmax=settings.second_softmax
        )
        evaluation = objective(crystals, loss)
        met = all_met(objective.targets, evaluation)
        recorder.record("annealing", evaluation.values, met)
        factor = schedule.level * cosine(step - schedule.begin, steps - schedule.begin)
        if copy_mutate is not None and step + 1 in copy_mutate.steps:
            source = choose_sources(evaluation.loss, met, copy_mutate, generator)
            changed = copy_and_mutate(soft, source, copy_mutate.noise, generator)
            adam.restart(changed)
            schedule.level, schedule.begin = factor, step + 1
            continue
        evaluation.backward(crystals)
        if relaxer is not None:
            relaxer.step(crystals.volume.detach())
        adam.step(factor)
        soft.project()


def _optimiser(soft: SoftCrystals, settings: AnnealSettings) -> CandidateAdam:
    geometry = geometry_variables(soft, settings)
    # Of the lattice lengths: the same tensor, whose rows Adam then looks up once.
    systems, sites = geometry[0].system_idx, soft.space.system_idx
    chemistry = [
        Variable(soft.element_scores, sites, settings.learning_rate_scores),
        Variable(soft.combination_scores, systems, settings.learning_rate_scores),
    ]
    return CandidateAdam(
        [*geometry, *chemistry],
        soft.space.n_systems,
        beta2=settings.geometry.beta2,
    )


def geometry_variables(
    soft: SoftCrystals, settings: AnnealSettings | FinishSettings
) -> list[Variable]:
    """Lattice and coordinates as variables of Adam.

    Where a `LatticeRelaxer` moves the lengths it takes their gradients first, so Adam finds none.
    """
    systems = torch.arange(soft.space.n_systems, device=soft.lengths.device)
    lattice = (systems, settings.learning_rate_lattice)
    return [
        Variable(soft.lengths, *lattice),
        Variable(soft.angles, *lattice),
        Variable(
            soft.displacements,
            soft.space.system_idx,
            settings.learning_rate_coords,
            settings.geometry.coords_epsilon,
        ),
    ]
