"""`run_search`: from a template and targets to discrete crystals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd
import torch
from pymatgen.core import Species, Structure
from torch import Tensor

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.errors import InputError
from smoacs.predictors import ENERGY, Predictor, load_predictor, resolve_device
from smoacs.search.anneal import anneal
from smoacs.search.chemical_rules import crystal_rules
from smoacs.search.config import DesignConfig
from smoacs.search.decoration_rules import decoration_rule
from smoacs.search.exhaustive import Exhaustive, wanted_properties
from smoacs.search.finish import finish
from smoacs.search.geometry_guard import GeometryGuard
from smoacs.search.held import held_sites
from smoacs.search.moves import Moves, with_variants
from smoacs.search.objective import Objective
from smoacs.search.pareto import front_of
from smoacs.search.plan import Plan, plan_search, with_rest_decided
from smoacs.search.progress import ProgressCallback, Recorder
from smoacs.search.relax import Evaluator
from smoacs.search.rest import start_at_radii, with_shared_choices
from smoacs.search.rested import RestedFinish
from smoacs.search.seeded import search_seeds
from smoacs.search.settings import AT_REST, PRESETS
from smoacs.search.site_symmetry import SiteSymmetry
from smoacs.search.state import Keeper
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
) -> DesignResult:
    """Search for `config.n` crystals of one template, none of them of a composition `taken`."""
    recorder = Recorder(config.steps, *told)
    _check_roles(targets, template)
    rules = crystal_rules(config.chemical_rules(template))
    guard = GeometryGuard.of(template, config.geometry_rules())
    plan = plan_search(
        config,
        template,
        targets,
        predictor,
        rule=decoration_rule(rules, template),
    )
    if plan.space is not None:
        return _search_exhaustively(config, predictor, plan, targets=targets, told=told)
    settings = AT_REST if config.at_rest else PRESETS[config.preset]
    generator = torch.Generator().manual_seed(config.seed)
    space = DesignSpace.from_templates([template] * config.n, resolve_device(config.device))
    moves = Moves.of(template, rules, space)
    own = with_variants(space, template, rules, n=config.n, seed=config.seed)
    if config.at_rest and moves is None:
        own = with_shared_choices(space, template, generator)
    soft = SoftCrystals.start(
        own,
        generator,
        score_noise=settings.anneal.score_noise,
        combination_noise=settings.anneal.combination_noise,
    )
    if config.at_rest:
        start_at_radii(soft, settings.anneal.temperature_start, config.repeat)
    if guard is not None:
        soft.project()
    finish_steps = 0 if settings.finish is None else round(settings.finish.share * config.steps)
    anneal_steps = config.steps - finish_steps
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
        anneal(
            soft,
            objective,
            settings.anneal,
            copy_mutate=settings.copy_mutate,
            steps=anneal_steps,
            generator=generator,
            recorder=recorder,
        )
        if front is not None:
            front.freeze()
        combination, elements = soft.discretise()
        if guard is not None:
            elements = guard.distinguish(soft, combination, elements)
        met: tuple[bool, ...] = ()
        if settings.finish is None or not finish_steps or recorder.stopped:
            pass
        elif config.at_rest:
            stage = RestedFinish(
                soft,
                objective,
                settings.finish,
                symmetry=SiteSymmetry.of(template),
                generator=generator,
                guard=guard,
                moves=moves,
                space=space,
                kinds=template.site_labels,
                taken=taken,
            )
            combination, elements = stage.run(finish_steps, recorder)
            met = stage.met
        else:
            combination, elements = finish(
                soft,
                objective,
                settings.finish,
                steps=finish_steps,
                generator=generator,
                recorder=recorder,
                guard=guard,
                moves=moves,
            )
    structures = to_structures(soft, template, combination, elements, guard=guard)
    total = recorder.seconds
    predicting = objective.seconds["predictor"]
    return DesignResult(
        config=config,
        template=template,
        structures=structures,
        combinations=[template.combination_names[k] for k in combination.tolist()],
        history=recorder.table(),
        predictor_calls=objective.predictor_calls,
        timings={"predictor": predicting, "everything else": total - predicting, "total": total},
        steps=recorder.steps,
        interrupted=recorder.stopped,
        met=met,
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
        found = search.run(config.n, *told, budget=plan.budget)
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
        search={
            "method": "exhaustive",
            "note": "; ".join(filter(None, [plan.note, found.end])),
            "decorations": space.n_decorations,
            "possible_by_composition": len(space),
            "relaxed": found.relaxed,
            "given_up": found.given_up,
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


def to_structures(
    soft: SoftCrystals,
    template: Template,
    combination: Tensor,
    elements: Tensor,
    *,
    guard: GeometryGuard | None = None,
) -> list[Structure]:
    """Convert to pymatgen structures with oxidation states; coordinates are not wrapped."""
    if guard is None:
        plain = soft.hard_crystals(combination, elements).to_structures()
    else:
        plain = guard.structures(soft, combination, elements)
    structures = []
    for structure, k in zip(plain, combination.tolist(), strict=True):
        charges = template.combinations[k]
        species = [
            Species(site.specie.symbol, int(charge))
            for site, charge in zip(structure, charges, strict=True)
        ]
        structures.append(Structure(structure.lattice, species, structure.frac_coords))
    return structures
