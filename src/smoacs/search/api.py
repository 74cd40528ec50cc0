"""`run_search`: from a template and targets to real crystals."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from pymatgen.core import Structure
from torch import Tensor

from smoacs.errors import InputError
from smoacs.evaluation import Evaluator
from smoacs.predictors import ENERGY, Predictor, load_predictor, resolve_device
from smoacs.relaxation import GeometryGuard, to_structures
from smoacs.request import DesignConfig
from smoacs.request.chemical_rules import crystal_rules
from smoacs.request.decoration_rules import decoration_rule
from smoacs.search.exhaustive.search import ExhaustiveSearch
from smoacs.search.gradient.known_crystals import KnownCrystal
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.plausible import Plausibility
from smoacs.search.gradient.search import GradientSearch
from smoacs.search.plan import Plan, plan_search, with_rest_decided
from smoacs.search.progress import Audience, ProgressCallback, Recorder
from smoacs.search.result import DesignResult
from smoacs.search.seeds.rounds import Taken
from smoacs.search.seeds.search import search_seeds
from smoacs.search.settings import OptimiserSettings, settings_of
from smoacs.search.settling.handover import Handover
from smoacs.search.settling.search import MinimumSearch, with_note
from smoacs.search.state import Keeper
from smoacs.targets import Target, with_functions
from smoacs.targets.scalarisation import front_of
from smoacs.templates import SeedTemplates, Template, is_seed_source

log = logging.getLogger(__name__)


def run_search(
    config: DesignConfig,
    *,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
    keeper: Keeper | None = None,
    seeds: Sequence[Structure] | None = None,
    settings: OptimiserSettings | None = None,
) -> DesignResult:
    """Search for `config.n` crystals.

    Args:
        config: What is wanted.
        predictor: A predictor in memory, instead of the one that `config.predictor` names.
        progress: Called after every step.
        keeper: Keeps the state, gives the one to go on from, and may ask for an early end.
        seeds: Crystals in memory to start from, instead of what `config.template` names.
        settings: Of the optimiser, instead of the preset's.

    Raises:
        InputError: If the predictor lacks a property or elements, or the template cannot be built.
    """
    if predictor is None:
        predictor = load_predictor(config.predictor, device=config.device)
    predictor = with_functions(predictor, config.targets)
    _check_functions(config, predictor)
    config.wanted.check(predictor.properties)
    if config.rests and ENERGY not in predictor.properties:
        raise InputError(f"designs at rest need a predictor of {ENERGY}; this one has none")
    found = None
    if seeds is None and not is_seed_source(config.template):
        template = config.resolved_template(predictor.elements)
        templates: list[tuple[Template, Template | None]] = [(template, None)]
    else:
        found = config.resolved_seeds(predictor.elements, seeds)
        templates = list(zip(found.templates, found.originals, strict=True))
    config, note = with_rest_decided(config, [own for own, _ in templates], predictor)
    if note:
        log.info("%s", note)
    search = _Search(predictor, settings, templates[0][0], found)
    if config.rest != "minimum":
        return with_note(search(config, Audience(progress, keeper)), note)
    return MinimumSearch(
        config,
        search,
        predictor,
        (settings_of(config) if settings is None else settings).settling,
        templates=templates,
        progress=progress,
        keeper=keeper,
    ).run()


@dataclass(frozen=True)
class _Search:
    """A search on a template, or over seeds.

    Attributes:
        predictor: Gives the targets' properties.
        settings: Of the optimiser; None for those of the preset.
        template: Where there are no seeds.
        seeds: Templates of the seeds; None if there are none.
    """

    predictor: Predictor
    settings: OptimiserSettings | None
    template: Template
    seeds: SeedTemplates | None

    def __call__(
        self,
        config: DesignConfig,
        audience: Audience,
        *,
        taken: Taken | None = None,
        pool: Handover | None = None,
    ) -> DesignResult:
        """Search; see `smoacs.search.settling.search.ParentSearch`."""
        search = partial(
            _search_template, predictor=self.predictor, settings=self.settings, pool=pool
        )
        if self.seeds is None:
            template = self.template
            keys = taken.keys(template.n_sites) if taken is not None and len(taken) else None
            return search(config, template, audience, taken=keys)
        return search_seeds(
            config,
            self.seeds,
            search,
            progress=audience.progress,
            keeper=audience.keeper,
            taken=taken,
        )


def _search_template(  # noqa: PLR0913  (what to search, and what waves and seeds add to it)
    config: DesignConfig,
    template: Template,
    audience: Audience,
    *,
    predictor: Predictor,
    settings: OptimiserSettings | None,
    taken: frozenset[str] | None = None,
    begin: Sequence[KnownCrystal] = (),
    pool: Handover | None = None,
) -> DesignResult:
    """Search for `config.n` crystals of one template, none of them of a composition `taken`.

    Candidates at rest begin as the crystals `begin`, if there are any, one for each. Which search
    was chosen, and why, is logged before it begins where it is the only one: nothing is `taken`.
    """
    settings = settings_of(config) if settings is None else settings
    for target in config.targets:
        _check_role(target, template)
    rules = crystal_rules(config.chemical_rules(template))
    by_paper = config.preset == "paper"
    rule = decoration_rule(rules, template, charges=not by_paper)
    plan = Plan(None)
    if not begin:
        plan = plan_search(config, template, predictor, settings=settings.exhaustive, rule=rule)
        if taken is None and plan.note:
            log.info("%s", plan.note)
    with Evaluator(
        predictor,
        config.wanted.to_predict(predictor.properties),
        batch_size=config.batch_size,
        fixed=_fixed_sites(template),
    ) as evaluator:
        if plan.space is not None:
            return _search_exhaustively(
                config, evaluator, plan, settings=settings, audience=audience, pool=pool
            )
        front = None
        if config.pareto is not False:
            front = front_of(config.wanted, config.n, config.seed, resolve_device(config.device))
        objective = Objective(evaluator, config.wanted, front=front, at_rest=config.rests)
        recorder = Recorder(config.steps, audience)
        search = GradientSearch(
            config,
            template,
            rules,
            objective,
            settings=settings,
            plausible=Plausibility.of(template, rule, likely=not by_paper),
            begin=begin,
        )
        ended = search.run(recorder, taken or frozenset())
    total = recorder.seconds
    predicting = evaluator.seconds["predictor"]
    return DesignResult(
        config=config,
        template=template,
        structures=to_structures(ended.candidates, template, ended.guard),
        combinations=_names(template, ended.candidates.combination),
        history=recorder.table(),
        predictor_calls=evaluator.predictor_calls,
        timings={"predictor": predicting, "everything else": total - predicting, "total": total},
        steps=recorder.steps,
        interrupted=recorder.stopped,
        met=ended.met,
        losses=ended.losses,
        search={"method": "gradient", "note": plan.note},
    )


def _search_exhaustively(
    config: DesignConfig,
    evaluator: Evaluator,
    plan: Plan,
    *,
    settings: OptimiserSettings,
    audience: Audience,
    pool: Handover | None,
) -> DesignResult:
    """Relax every decoration of the plan's space; hand over a pool if there is to be one."""
    space = plan.space
    if space is None:
        raise InputError("nothing was planned for an exhaustive search")
    asked, called = (config, "distinct successes")
    if pool is not None:
        asked, called = pool.of(config), "candidates"
    search = ExhaustiveSearch(space, asked, evaluator, settings.exhaustive, successes=called)
    found = search.run(audience, budget=plan.budget, unfinished=plan.unfinished)
    if pool is not None:
        found = pool.counted(found, config.wanted, complete=not found.not_looked_at)
    template = space.template
    guard = GeometryGuard.of(template, config.geometry_rules())
    structures = to_structures(found.candidates, template, guard)
    return DesignResult(
        config=config,
        template=template,
        structures=structures,
        combinations=_names(template, found.candidates.combination),
        history=found.history,
        predictor_calls=found.calls,
        timings={"exhaustive search": found.seconds, "total": found.seconds},
        decorations=found.decorations,
        steps=1,
        interrupted=found.interrupted,
        met=(found.successes > 0,) * len(structures),
        losses=found.losses,
        search={
            "method": "exhaustive",
            "note": "; ".join(filter(None, [plan.note, found.end])),
            "decorations": space.n_decorations,
            "possible_by_composition": len(space),
            "relaxed": found.relaxed,
            "given_up": found.given_up,
            "not_looked_at": found.not_looked_at,
            "successes": found.successes,
            "distinct_successes": found.distinct,
        },
    )


def _names(template: Template, combination: Tensor) -> list[str]:
    """Names of charge combinations, [B]."""
    return [template.combination_names[k] for k in combination.tolist()]


def _fixed_sites(template: Template) -> Tensor | None:
    """Sites whose coordinates are all frozen, [n]; None if there are none."""
    fixed = torch.tensor((template.coord_box == 0.0).all(axis=1))
    return fixed if fixed.any() else None


def _check_functions(config: DesignConfig, predictor: Predictor) -> None:
    for name in config.functions:
        if name not in predictor.properties:
            raise InputError(
                f"{name!r} is given by a Python function, which a file cannot hold: run the design "
                f"from Python with smoacs.FunctionTarget({name!r}, ...) among its targets"
            )


def _check_role(target: Target, template: Template) -> None:
    if target.property == "tolerance_factor" and template.radii is None:
        raise InputError(
            f'target "{target}": only perovskites have a tolerance factor, and the template '
            f"{template.name!r} has no A, B and X sites"
        )
