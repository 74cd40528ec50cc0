"""Which search a run takes: by gradients, or the complete one where it is small enough."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from smoacs.errors import InputError
from smoacs.predictors import ENERGY, Predictor
from smoacs.search.config import DesignConfig
from smoacs.search.enumerate import Rule, n_fillings
from smoacs.search.exhaustive import NEAR_REST, WITHOUT_ENERGY
from smoacs.search.site_symmetry import SiteSymmetry
from smoacs.search.survey import LIMIT, MOST_COPIES, Space, survey
from smoacs.targets import Target
from smoacs.templates import Template

CALLS_ON_SYMMETRIC_SITES = 8
CALLS_ON_FREE_SITES = 20
"""Predictor calls that relax one crystal, measured on perovskites and on rutile and wurtzite."""

ROUNDING = 1e-6

QUICK_LOOK = 300_000
"""Fillings up to which a run by gradients looks whether the complete search would fit."""


@dataclass(frozen=True)
class Plan:
    """How a run searches.

    Attributes:
        space: What an exhaustive search goes through; None for the search by gradients.
        note: Why, in a sentence; empty if there is nothing to say.
    """

    space: Space | None
    note: str = ""


def plan_search(
    config: DesignConfig,
    template: Template,
    targets: Sequence[Target],
    predictor: Predictor,
    *,
    rule: Rule | None = None,
) -> Plan:
    """Choose the search that a config asks for.

    Args:
        config: With `search`, and the budget of `n` times `steps` predictor calls.
        template: Restricted to the elements asked for.
        targets: What is wanted.
        predictor: Gives the targets' properties.
        rule: A further constraint on decorations.

    Raises:
        InputError: The exhaustive search is asked for, and the space is too large, or the targets
            on the composition alone leave nothing of it.
    """
    if config.search == "exhaustive":
        space = survey(template, targets, predictor, rule=rule)
        if space is None:
            raise InputError(_too_large(template))
        if not len(space):
            raise InputError(_empty(space, targets))
        return Plan(space)
    budget = config.n * config.steps
    fits, each = None, CALLS_ON_SYMMETRIC_SITES
    if n_fillings(template) <= (budget * MOST_COPIES if config.search == "auto" else QUICK_LOOK):
        each = calls_per_decoration(template, predictor, at_rest=config.at_rest)
        fits = survey(template, targets, predictor, rule=rule, limit=budget // each)
        fits = fits if fits is not None and len(fits) else None
    allowance = f"the budget of {config.n:,} × {config.steps:,} predictor calls"
    if fits is None:
        if config.search == "gradient":
            return Plan(None)
        return Plan(
            None,
            f"search by gradients: relaxing every decoration of {template.name!r}, at about {each} "
            f"calls each, does not fit into {allowance}",
        )
    need = f"{len(fits):,} decorations to relax, about {each * len(fits):,} calls, fit"
    if config.search == "auto":
        return Plan(fits, f"exhaustive search: {need} into {allowance}")
    return Plan(
        None, f"the search 'exhaustive' would give the complete answer: {need} into {allowance}"
    )


def calls_per_decoration(template: Template, predictor: Predictor, *, at_rest: bool) -> int:
    """Predictor calls that an exhaustive search spends on one decoration, roughly."""
    if ENERGY not in predictor.properties:
        return len(WITHOUT_ENERGY)
    symmetry = SiteSymmetry.of(template)
    everyone = torch.full((1, len(symmetry.rotations)), 1 / len(symmetry.rotations))
    shift = torch.rand(1, template.n_sites, 3, generator=torch.Generator().manual_seed(0))
    moved = symmetry.mean_displacements(shift - shift.mean(1), everyone)
    fixed = float(moved.abs().max()) < ROUNDING
    relaxing = CALLS_ON_SYMMETRIC_SITES if fixed else CALLS_ON_FREE_SITES
    return relaxing + (0 if at_rest else len(NEAR_REST))


def joined_report(reports: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """What `DesignResult.search` says of searches on several templates, their numbers added."""
    joined: dict[str, object] = {
        "method": " and ".join(sorted({str(report.get("method", "")) for report in reports})),
        "note": "; ".join(dict.fromkeys(str(r["note"]) for r in reports if r.get("note"))),
    }
    counts = Counter[str]()
    for report in reports:
        counts.update({name: n for name, n in report.items() if isinstance(n, int)})
    return joined | counts


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
