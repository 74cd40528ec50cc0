"""The gradient stage: soft crystals descend the targets' losses while the temperature falls."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from smoacs.crystals import SoftCrystals
from smoacs.search.adam import CandidateAdam, Variable
from smoacs.search.evolution import choose_sources, copy_and_mutate
from smoacs.search.objective import Evaluation, Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import AnnealSettings, CopyMutateSettings
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


def all_met(targets: Sequence[Target], evaluation: Evaluation) -> Tensor:
    """Candidates that are finite and meet every target, [B]."""
    met = [target.met(evaluation.values[target.property]) for target in targets]
    return torch.stack(met).all(0) & evaluation.finite


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
    level, begin = 1.0, 0
    for step in range(steps):
        crystals = soft.crystals(
            temperature(settings, step, steps), second_softmax=settings.second_softmax
        )
        evaluation = objective(crystals, loss)
        met = all_met(objective.targets, evaluation)
        recorder.record("annealing", evaluation.values, met)
        factor = level * cosine(step - begin, steps - begin)
        if copy_mutate is not None and step + 1 in copy_mutate.steps:
            source = choose_sources(evaluation.loss, met, copy_mutate, generator)
            changed = copy_and_mutate(soft, source, copy_mutate.noise, generator)
            adam.restart(changed)
            level, begin = factor, step + 1
            continue
        evaluation.backward(crystals)
        adam.step(factor)
        soft.project()


def _optimiser(soft: SoftCrystals, settings: AnnealSettings) -> CandidateAdam:
    systems = torch.arange(soft.space.n_systems, device=soft.lengths.device)
    sites = soft.space.system_idx
    return CandidateAdam(
        [
            Variable(soft.lengths, systems, settings.learning_rate_lattice),
            Variable(soft.angles, systems, settings.learning_rate_lattice),
            Variable(soft.displacements, sites, settings.learning_rate_coords),
            Variable(soft.element_scores, sites, settings.learning_rate_scores),
            Variable(soft.combination_scores, systems, settings.learning_rate_scores),
        ],
        soft.space.n_systems,
    )
