"""`run_search`: from a template and targets to discrete crystals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
from pymatgen.core import Structure

from smoacs.errors import InputError
from smoacs.predictors import ENERGY, Predictor, load_predictor, resolve_device
from smoacs.search.beginnings import Beginning
from smoacs.search.chemical_rules import crystal_rules
from smoacs.search.config import DesignConfig
from smoacs.search.decoration_rules import decoration_rule
from smoacs.search.exhaustive import Exhaustive
from smoacs.search.geometry_guard import GeometryGuard
from smoacs.search.gradients import Gradients, to_structures
from smoacs.search.held import held_sites
from smoacs.search.objective import Objective
from smoacs.search.pareto import front_of
from smoacs.search.plan import Plan, plan_search, with_rest_decided
from smoacs.search.progress import ProgressCallback, Recorder
from smoacs.search.relax import Evaluator
from smoacs.search.seeded import search_seeds
from smoacs.search.state import Keeper
from smoacs.search.wanted import wanted_properties
from smoacs.targets import Target, check_spreads
from smoacs.templates import Template, is_seed_source


@dataclass(frozen=True)
class DesignResult:
    """What a search found; not judged yet.

    Attributes:
        config: What was asked for, with `at_rest` decided.
        template: The template, restricted to the elements asked for; of seeds, the first one's.
        structures: One crystal per candidate, oxidation states on its sites.
        combinations: Name of the charge combination of each candidate.
        history: Properties of every candidate at every step, in long form.
        predictor_calls: Forward (and backward) passes, counted per candidate.
        timings: Seconds, by what they were spent on, and "total".
        steps: Optimisation steps.
        interrupted: Whether the search was stopped before its last step.
        met: Which structures the search holds for successes; empty if it does not say.
        losses: Loss of the targets of each structure, as the search counts it; of failures at rest,
            what they lack of it included; empty likewise.
        search: How it was searched, as in summary.json: `method`, `note` and, of an exhaustive
            search, what there was and what was found.
        decorations: Every decoration that an exhaustive search has evaluated, with its values; None
            of a search by gradients.
        templates: The template of each candidate where they come from seeds; else empty.
        originals: The same before any constraint was applied.
        skipped_seeds: Seeds that could not be used, each with the reason.
    """

    config: DesignConfig
    template: Template
    structures: list[Structure]
    combinations: list[str]
    history: pd.DataFrame
    predictor_calls: int
    timings: dict[str, float]
    steps: int
    interrupted: bool = False
    met: tuple[bool, ...] = ()
    losses: tuple[float, ...] = ()
    search: Mapping[str, object] = field(default_factory=dict)
    decorations: pd.DataFrame | None = None
    templates: tuple[Template, ...] = ()
    originals: tuple[Template, ...] = ()
    skipped_seeds: tuple[str, ...] = ()


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
    taken: frozenset[str] = frozenset(),
    begin: Sequence[Beginning] = (),
) -> DesignResult:
    """Search for `config.n` crystals of one template, none of them of a composition `taken`.

    Candidates at rest begin as the crystals `begin`, if there are any, one for each.
    """
    recorder = Recorder(config.steps, *told)
    _check_roles(targets, template)
    rules = crystal_rules(config.chemical_rules(template))
    rule = decoration_rule(rules, template)
    plan = Plan(None)
    if not begin:
        plan = plan_search(config, template, targets, predictor, rule=rule)
    if plan.space is not None:
        return _search_exhaustively(config, predictor, plan, targets=targets, told=told)
    front = front_of(config, targets, resolve_device(config.device))
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
        ended = search.run(recorder, taken)
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
