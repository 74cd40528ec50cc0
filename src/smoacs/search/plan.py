"""Which search a run takes: by gradients, or through all compositions, as far as calls allow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smoacs.errors import InputError
from smoacs.predictors import ENERGY, Predictor
from smoacs.request.config import DesignConfig
from smoacs.request.decoration_rules import Rule
from smoacs.search.exhaustive.decorations import n_fillings
from smoacs.search.exhaustive.survey import LIMIT, MOST_COPIES, Space, cheap_parts, survey
from smoacs.search.settings import ExhaustiveSettings
from smoacs.targets import Target, Targets
from smoacs.templates import Template, site_operations

HELD = 1.2
"""A lattice length whose bounds are closer than this factor was chosen, not left to the energy."""

CALLS = {True: (8, 6, 3), False: (20, 15, 12)}
"""Predictor calls that relax a decoration of an exhaustive search: one of the first; one of the
others where nothing is given up; and one where bounds that only a relaxation decides are out of
reach for some. By whether symmetry holds all sites, as it does in perovskites, or not, as in rutile
and wurtzite. On perovskites the last is 1.1 to 3.6."""

ROUNDING = 1e-6

QUICK_LOOK = 300_000
"""Fillings up to which a run by gradients looks whether the complete search would fit."""


@dataclass(frozen=True)
class Plan:
    """How a run searches.

    Attributes:
        space: What an exhaustive search goes through; None for the search by gradients.
        note: Why, in a sentence; empty if there is nothing to say.
        budget: Predictor calls after which an exhaustive search ends, unless it has what was asked
            for before; None for the complete answer.
        unfinished: Whether the budget is too small for all of the space.
    """

    space: Space | None
    note: str = ""
    budget: int | None = None
    unfinished: bool = False


def plan_search(
    config: DesignConfig,
    template: Template,
    predictor: Predictor,
    *,
    settings: ExhaustiveSettings,
    rule: Rule | None = None,
) -> Plan:
    """Choose the search that a config asks for.

    Args:
        config: With `search`, `rest` decided, and the budget of `n` times `steps` predictor
            calls.
        template: Restricted to the elements asked for.
        predictor: Gives the targets' properties.
        settings: Of an exhaustive search.
        rule: A further constraint on decorations.

    Raises:
        InputError: The exhaustive search is asked for, and the space is too large, or the targets
            on the composition alone leave nothing of it.
    """
    targets = config.wanted
    if config.search == "exhaustive":
        space = survey(template, targets, predictor, rule=rule)
        if space is None:
            raise InputError(_too_large(template))
        if not len(space):
            raise InputError(_empty(space, targets))
        return Plan(space)
    if not config.rests:  # a composition has many lattices, and the complete answer is none
        return Plan(None)
    allowance = f"the budget of {config.n:,} × {config.steps:,} predictor calls"
    fits = _fitting(config, template, predictor, settings=settings, rule=rule)
    if fits is None:
        note = (
            f"search by gradients: relaxing every decoration of {template.name!r} does not fit "
            f"into {allowance}"
        )
        return Plan(None, note if config.search == "auto" else "")
    space, calls = fits
    about = f"{float(f'{calls:.2g}'):,.0f}"
    need = f"{len(space):,} decorations to relax, about {about} calls"
    budget = config.n * config.steps
    if config.search == "gradient":
        best = "the search 'exhaustive' would give the complete answer"
        return Plan(None, f"{best}: {need}, fit into {allowance}")
    if calls <= budget:
        return Plan(space, f"exhaustive search: {need}, fit into {allowance}", budget)
    note = f"unfinished search: of {need}, those that promise most, within {allowance}"
    return Plan(space, note, budget, unfinished=True)


def _fitting(
    config: DesignConfig,
    template: Template,
    predictor: Predictor,
    *,
    settings: ExhaustiveSettings,
    rule: Rule | None,
) -> tuple[Space, int] | None:
    """The space to go through and about how many calls all of it takes.

    None if they do not fit into the budget, or, where an unfinished search will do, if they exceed
    it too far.
    """
    budget = config.n * config.steps
    fillings = n_fillings(template)
    if fillings > (budget * MOST_COPIES if config.search == "auto" else QUICK_LOOK):
        return None
    cost = Cost.of(template, config.wanted, predictor, settings.first)
    bounded = template.order is not None or fillings <= budget * settings.fillings_per_call
    ordered = (
        config.search == "auto"
        and bounded
        and budget >= settings.worthwhile * cost.calls(settings.first)
        and cost.bounded
        and not config.wanted.extremes
    )
    times = settings.unfinished_ordered if template.order is not None else settings.unfinished
    most = min(LIMIT, cost.most_within(times * budget if ordered else budget))
    space = survey(template, config.wanted, predictor, rule=rule, limit=most)
    return None if space is None or not len(space) else (space, cost.calls(len(space)))


def with_rest_decided(
    config: DesignConfig, templates: Sequence[Template], predictor: Predictor
) -> tuple[DesignConfig, str]:
    """The settings with `rest` decided, and why it is not a minimum, in words.

    Left out, designs are at a minimum where the predictor knows the energy, and the lattice is free
    to follow it on all templates; they are at rest within their symmetry where a constraint holds
    what would have to be let go. The preset of the paper never asks for rest.

    Args:
        config: What was asked for.
        templates: Restricted to that.
        predictor: Of the design.
    """
    if config.rest is not None:
        return config, ""
    rest, reason = "minimum", ""
    if config.preset == "paper":
        rest = "none"
    elif ENERGY not in predictor.properties:
        rest = "none"
        reason = f"the predictor gives no {ENERGY}"
    elif not all(_lattice_is_free(template) for template in templates):
        rest, reason = "none", "the lattice is held"
    elif held := config.held_by():
        rest, reason = "symmetry", f"{held} holds what would have to be let go"
    note = f"rest = {rest}, not minimum: {reason}" if reason else ""
    return config.model_copy(update={"rest": rest}), note


def _lattice_is_free(template: Template) -> bool:
    """Whether all lengths of the cell have room to follow the energy."""
    low, high = template.length_bounds
    return bool((high >= HELD * low).all())


@dataclass(frozen=True)
class Cost:
    """Predictor calls that an exhaustive search for designs at rest takes, roughly.

    Attributes:
        n_first: Decorations that are taken first, whatever they promise.
        first: Calls of one of these.
        others: Calls of one of the others.
        bounded: Whether bounds that only a relaxation decides tell one from another.
    """

    n_first: int
    first: int
    others: int
    bounded: bool

    @staticmethod
    def of(template: Template, targets: Targets, predictor: Predictor, n_first: int) -> "Cost":
        """Cost on a template."""
        first, patient, others = CALLS[_sites_are_fixed(template)]
        decided = [target for _, part in cheap_parts(targets, predictor) for target in part]
        bounded = not all(target.direction or target in decided for target in targets)
        return Cost(n_first, first, others if bounded else patient, bounded)

    def calls(self, n: int) -> int:
        """Calls for n decorations."""
        return min(n, self.n_first) * self.first + max(n - self.n_first, 0) * self.others

    def most_within(self, budget: int) -> int:
        """Most decorations that a budget of calls is enough for."""
        left = budget - self.n_first * self.first
        return budget // self.first if left < 0 else self.n_first + left // self.others


def _sites_are_fixed(template: Template) -> bool:
    """Whether symmetry alone holds every site where it is."""
    mean = site_operations(template).displacement_mean()
    shift = np.random.default_rng(0).random((template.n_sites, 3))
    moved = mean @ (shift - shift.mean(axis=0)).ravel()
    return float(np.abs(moved).max()) < ROUNDING


def _too_large(template: Template) -> str:
    power = len(str(n_fillings(template))) - 1  # a float may not hold the number
    return (
        f"the search 'exhaustive' relaxes up to {LIMIT:,} decorations, and the template "
        f"{template.name!r} has more (about 10^{power} ways to fill its sites): name fewer "
        "elements (elements, forbidden, sites), take a smaller cell (repeat), or use gradients"
    )


def _empty(space: Space, targets: Sequence[Target]) -> str:
    wanted = "; ".join(str(target) for target in targets)
    return (
        f"none of the {space.n_decorations:,} decorations of template {space.template.name!r} can "
        f"meet the targets ({wanted}), by its composition alone"
    )
