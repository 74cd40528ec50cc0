"""The search by gradients on one template: soft crystals first, then real ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pymatgen.core import Structure
from torch import Tensor

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.predictors import resolve_device
from smoacs.relaxation.geometry_guard import GeometryGuard, to_structures
from smoacs.relaxation.radii import start_at_radii
from smoacs.relaxation.site_symmetry import SiteSymmetry
from smoacs.request.chemical_rules import CrystalRule
from smoacs.request.config import DesignConfig
from smoacs.search.gradient.anneal import anneal
from smoacs.search.gradient.finish import finish
from smoacs.search.gradient.known_crystals import Beginning, begun
from smoacs.search.gradient.moves import Moves, with_variants
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.rest import with_shared_choices
from smoacs.search.gradient.rested import RestedFinish
from smoacs.search.progress import Recorder
from smoacs.search.settings import AT_REST, PRESETS, FinishSettings
from smoacs.templates import Template


@dataclass(frozen=True)
class Ended:
    """Where a search by gradients ended: chemistry, [B] and [N], and what it says of it, [B]."""

    combination: Tensor
    elements: Tensor
    met: tuple[bool, ...] = ()
    losses: tuple[float, ...] = ()


class Gradients:
    """The search by gradients on one template: the soft stage, then the discrete one."""

    def __init__(
        self,
        config: DesignConfig,
        template: Template,
        rules: Sequence[CrystalRule],
        objective: Objective,
        *,
        begin: Sequence[Beginning] = (),
    ) -> None:
        """Take what is wanted, what evaluates it, and the crystals to begin with, if any."""
        self._config = config
        self._template = template
        self._objective = objective
        self._settings = AT_REST if config.at_rest else PRESETS[config.preset]
        self._anneals = not begin
        self._generator = torch.Generator().manual_seed(config.seed)
        self._guard = GeometryGuard.of(template, config.geometry_rules())
        device = resolve_device(config.device)
        self._space = DesignSpace.from_templates([template] * config.n, device)
        self._moves = Moves.of(template, rules, self._space)
        self._soft = self._started(rules, begin)

    def _started(self, rules: Sequence[CrystalRule], begin: Sequence[Beginning]) -> SoftCrystals:
        """The candidates before the first step."""
        config, template, settings = self._config, self._template, self._settings.anneal
        if begin:
            return begun(self._space, template, begin)
        own = with_variants(self._space, template, rules, n=config.n, seed=config.seed)
        if config.at_rest and self._moves is None:
            own = with_shared_choices(self._space, template, self._generator)
        soft = SoftCrystals.start(
            own,
            self._generator,
            score_noise=settings.score_noise,
            combination_noise=settings.combination_noise,
        )
        if config.at_rest:
            start_at_radii(soft, settings.temperature_start, config.repeat)
        if self._guard is not None:
            soft.project()
        return soft

    def run(self, recorder: Recorder, taken: frozenset[str]) -> Ended:
        """Go through both stages."""
        steps, settings = self._config.steps, self._settings
        finish_steps = 0 if settings.finish is None else round(settings.finish.share * steps)
        if not self._anneals:
            finish_steps = steps
        anneal(
            self._soft,
            self._objective,
            settings.anneal,
            copy_mutate=settings.copy_mutate,
            steps=steps - finish_steps,
            generator=self._generator,
            recorder=recorder,
        )
        if self._objective.front is not None:
            self._objective.front.freeze()
        if settings.finish is None or not finish_steps or recorder.stopped:
            combination, elements = self._soft.discretise()
            if self._guard is not None:
                elements = self._guard.distinguish(self._soft, combination, elements)
            return Ended(combination, elements)
        if not self._config.at_rest:
            return Ended(*self._polished(settings.finish, finish_steps, recorder))
        stage = RestedFinish(
            self._soft,
            self._objective,
            settings.finish,
            symmetry=SiteSymmetry.of(self._template),
            generator=self._generator,
            guard=self._guard,
            moves=self._moves,
            space=self._space,
            kinds=self._template.site_labels,
            taken=taken,
        )
        combination, elements = stage.run(finish_steps, recorder)
        return Ended(combination, elements, stage.met, stage.losses)

    def _polished(
        self, settings: FinishSettings, steps: int, recorder: Recorder
    ) -> tuple[Tensor, Tensor]:
        """The discrete stage of designs that need not be at rest."""
        return finish(
            self._soft,
            self._objective,
            settings,
            steps=steps,
            generator=self._generator,
            recorder=recorder,
            guard=self._guard,
            moves=self._moves,
        )

    def structures(self, combination: Tensor, elements: Tensor) -> list[Structure]:
        """The candidates as they are now, with this chemistry."""
        return to_structures(self._soft, self._template, combination, elements, guard=self._guard)
