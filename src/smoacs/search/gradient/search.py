"""The search by gradients on one template: soft crystals first, then real ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.predictors import resolve_device
from smoacs.relaxation import GeometryGuard, start_at_radii
from smoacs.request import DesignConfig
from smoacs.request.chemical_rules import CrystalRule
from smoacs.search.gradient.anneal import anneal
from smoacs.search.gradient.discrete import DiscreteStage
from smoacs.search.gradient.known_crystals import KnownCrystal, candidates_at
from smoacs.search.gradient.moves import Moves, with_variants
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.plausible import Plausibility, make_plausible
from smoacs.search.gradient.policies import Policy, Polishing, Settling
from smoacs.search.gradient.shared_choices import with_shared_choices
from smoacs.search.progress import Recorder
from smoacs.search.settings import DiscreteSettings, OptimiserSettings
from smoacs.templates import Template, site_operations


@dataclass(frozen=True)
class Ended:
    """Where a search by gradients ended: real candidates, and what it says of them, [B].

    Attributes:
        candidates: The results.
        guard: Keeps their geometric rules; None if there are none.
        met: Which it holds for successes; empty if it does not say.
        losses: Of the targets; likewise.
    """

    candidates: Candidates
    guard: GeometryGuard | None
    met: tuple[bool, ...] = ()
    losses: tuple[float, ...] = ()


class GradientSearch:
    """The search by gradients on one template: the soft stage, then the discrete one."""

    def __init__(
        self,
        config: DesignConfig,
        template: Template,
        rules: Sequence[CrystalRule],
        objective: Objective,
        *,
        settings: OptimiserSettings,
        plausible: Plausibility = Plausibility(),  # noqa: B008 - frozen
        begin: Sequence[KnownCrystal] = (),
    ) -> None:
        """Take what is wanted, what evaluates it, and the crystals to begin with, if any."""
        self._config = config
        self._template = template
        self._objective = objective
        self._settings = settings
        self._anneals = not begin
        self._plausible = plausible
        self._generator = torch.Generator().manual_seed(config.seed)
        self._guard = GeometryGuard.of(template, config.geometry_rules())
        device = resolve_device(config.device)
        self._space = DesignSpace.from_templates([template] * config.n, device)
        self._moves = Moves.of(template, rules, self._space)
        self._candidates = self._started(rules, begin)

    def _started(self, rules: Sequence[CrystalRule], begin: Sequence[KnownCrystal]) -> Candidates:
        """The candidates before the first step."""
        config, template, settings = self._config, self._template, self._settings.anneal
        if begin:
            return candidates_at(self._space, template, begin)
        own = with_variants(self._space, template, rules, n=config.n, seed=config.seed)
        if config.rests and self._moves is None:
            own = with_shared_choices(self._space, template, self._generator)
        candidates = Candidates.start(
            own,
            self._generator,
            score_noise=settings.score_noise,
            combination_noise=settings.combination_noise,
        )
        if config.rests:
            crystals = candidates.soft(settings.temperature_start)
            start_at_radii(candidates, crystals, config.repeat)
        if self._guard is not None:
            candidates.project()
        return candidates

    def run(self, recorder: Recorder, taken: frozenset[str]) -> Ended:
        """Go through both stages."""
        steps, discrete = self._config.steps, self._settings.discrete
        discrete_steps = 0 if discrete is None else round(discrete.share * steps)
        if not self._anneals:
            discrete_steps = steps
        anneal(
            self._candidates,
            self._objective,
            self._settings.anneal,
            copy_mutate=self._settings.copy_mutate,
            steps=steps - discrete_steps,
            generator=self._generator,
            recorder=recorder,
        )
        if self._objective.front is not None:
            self._objective.front.freeze()
        if self._anneals:
            self._candidates.harden()
        make_plausible(self._candidates, self._template, self._plausible)
        if discrete is None or not discrete_steps or recorder.stopped:
            return Ended(self._candidates, self._guard)
        # Each trial is checked as a whole, so that it may leave the variant that it began in.
        candidates = self._candidates.with_space(self._space)
        stage = DiscreteStage(
            candidates,
            self._objective,
            discrete,
            self._policy(candidates, discrete),
            generator=self._generator,
            guard=self._guard,
            moves=self._moves,
            kinds=self._template.site_labels,
            taken=taken,
            plausible=self._plausible,
        )
        stage.run(discrete_steps, recorder)
        return Ended(candidates, self._guard, stage.met, stage.losses)

    def _policy(self, candidates: Candidates, settings: DiscreteSettings) -> Policy:
        if self._config.rests:
            return Settling(candidates, settings, site_operations(self._template))
        return Polishing(candidates, self._objective, settings)
