"""`run_search`: from a template and targets to discrete crystals."""

import logging
from collections.abc import Sequence
from functools import partial

from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.evaluation import Evaluator, held_sites
from smoacs.predictors import ENERGY, Predictor, load_predictor, resolve_device
from smoacs.relaxation.geometry_guard import GeometryGuard, to_structures
from smoacs.request.chemical_rules import crystal_rules
from smoacs.request.config import DesignConfig
from smoacs.request.decoration_rules import decoration_rule
from smoacs.search.exhaustive.search import Exhaustive
from smoacs.search.gradient.known_crystals import Beginning
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.search import Gradients
from smoacs.search.plan import Plan, plan_search, with_rest_decided
from smoacs.search.progress import ProgressCallback, Recorder
from smoacs.search.result import DesignResult
from smoacs.search.seeds.search import search_seeds
from smoacs.search.state import Keeper
from smoacs.targets import Target, check_spreads
from smoacs.targets.caution import wanted_properties
from smoacs.targets.scalarisation import front_of
from smoacs.templates import Template, is_seed_source

log = logging.getLogger(__name__)


def run_search(
    config: DesignConfig,
    *,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
    keeper: Keeper | None = None,
    seeds: Sequence[Structure] | None = None,
) -> DesignResult:
    """Search for `config.n` crystals.

    Args:
        config: What is wanted.
        predictor: A predictor in memory, instead of the one that `config.predictor` names.
        progress: Called after every step.
        keeper: Keeps the state, gives the one to go on from, and may ask for an early end.
        seeds: Crystals in memory to start from, instead of what `config.template` names.

    Raises:
        InputError: If the predictor lacks a property or elements, or the template cannot be built.
    """
    if predictor is None:
        predictor = load_predictor(config.predictor, device=config.device)
    _check_functions(config, predictor)
    targets = [Target.parse(text, known=predictor.properties) for text in config.targets]
    if config.at_rest and ENERGY not in predictor.properties:
        raise InputError(f"designs at rest need a predictor of {ENERGY}; this one has none")
    if config.conservative:
        check_spreads(targets, predictor.properties)
    search = partial(_search_template, predictor=predictor, targets=targets)
    if seeds is None and not is_seed_source(config.template):
        template = config.resolved_template(predictor.elements)
        config = with_rest_decided(config, [template], predictor)
        return search(config, template, (progress, keeper))
    found = config.resolved_seeds(predictor.elements, seeds)
    config = with_rest_decided(config, found.templates, predictor)
    return search_seeds(config, found, search, progress=progress, keeper=keeper)


def _search_template(
    config: DesignConfig,
    template: Template,
    told: tuple[ProgressCallback | None, Keeper | None],
    *,
    predictor: Predictor,
    targets: Sequence[Target],
    taken: frozenset[str] | None = None,
    begin: Sequence[Beginning] = (),
) -> DesignResult:
    """Search for `config.n` crystals of one template, none of them of a composition `taken`.

    Candidates at rest begin as the crystals `begin`, if there are any, one for each. Which search
    was chosen, and why, is logged before it begins where it is the only one: nothing is `taken`.
    """
    recorder = Recorder(config.steps, *told)
    _check_roles(targets, template)
    rules = crystal_rules(config.chemical_rules(template))
    rule = decoration_rule(rules, template)
    plan = Plan(None)
    if not begin:
        plan = plan_search(config, template, targets, predictor, rule=rule)
        if taken is None and plan.note:
            log.info("%s", plan.note)
    if plan.space is not None:
        return _search_exhaustively(config, predictor, plan, targets=targets, told=told)
    front = None
    if config.pareto is not False:
        front = front_of(targets, config.n, config.seed, resolve_device(config.device))
    with Objective(
        predictor,
        targets,
        batch_size=config.batch_size,
        at_rest=bool(config.at_rest),
        conservative=config.conservative,
        front=front,
        held=held_sites(template),
    ) as objective:
        search = Gradients(config, template, rules, objective, begin=begin)
        ended = search.run(recorder, taken or frozenset())
    total = recorder.seconds
    predicting = objective.seconds["predictor"]
    return DesignResult(
        config=config,
        template=template,
        structures=search.structures(ended.combination, ended.elements),
        combinations=[template.combination_names[k] for k in ended.combination.tolist()],
        history=recorder.table(),
        predictor_calls=objective.predictor_calls,
        timings={"predictor": predicting, "everything else": total - predicting, "total": total},
        steps=recorder.steps,
        interrupted=recorder.stopped,
        met=ended.met,
        losses=ended.losses,
        search={"method": "gradient", "note": plan.note},
    )


def _search_exhaustively(
    config: DesignConfig,
    predictor: Predictor,
    plan: Plan,
    *,
    targets: Sequence[Target],
    told: tuple[ProgressCallback | None, Keeper | None],
) -> DesignResult:
    """Relax every decoration of the plan's space."""
    space = plan.space
    if space is None:
        raise InputError("nothing was planned for an exhaustive search")
    with Evaluator(
        predictor,
        wanted_properties(targets, predictor, config.conservative),
        device=resolve_device(config.device),
        batch_size=config.batch_size,
        held=held_sites(space.template),
    ) as evaluator:
        search = Exhaustive(
            space,
            targets,
            evaluator,
            at_rest=bool(config.at_rest),
            conservative=config.conservative,
            repeat=config.repeat,
            seed=config.seed,
        )
        found = search.run(config.n, *told, budget=plan.budget, unfinished=plan.unfinished)
    guard = GeometryGuard.of(space.template, config.geometry_rules())
    structures = to_structures(
        found.soft, space.template, found.combination, found.elements, guard=guard
    )
    return DesignResult(
        config=config,
        template=space.template,
        structures=structures,
        combinations=[space.template.combination_names[k] for k in found.combination.tolist()],
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


def _check_functions(config: DesignConfig, predictor: Predictor) -> None:
    for name in config.functions:
        if name not in predictor.properties:
            raise InputError(
                f"{name!r} is given by a Python function, which a file cannot hold: run the design "
                f"from Python with smoacs.FunctionTarget({name!r}, ...) among its targets"
            )


def _check_roles(targets: Sequence[Target], template: Template) -> None:
    for target in targets:
        if target.property == "tolerance_factor" and template.radii is None:
            raise InputError(
                f'target "{target}": only perovskites have a tolerance factor, and the template '
                f"{template.name!r} has no A, B and X sites"
            )
