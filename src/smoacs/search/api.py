"""`run_search`: from a template and targets to discrete crystals."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from pymatgen.core import Species, Structure
from torch import Tensor

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.errors import InputError
from smoacs.predictors import ENERGY, Predictor, load_predictor, resolve_device
from smoacs.search.anneal import anneal
from smoacs.search.axes import AxisSymmetry
from smoacs.search.config import DesignConfig
from smoacs.search.finish import finish
from smoacs.search.objective import Objective
from smoacs.search.progress import ProgressCallback, Recorder
from smoacs.search.rest import start_at_radii
from smoacs.search.settings import AT_REST, PRESETS
from smoacs.targets import Target
from smoacs.templates import Template


@dataclass(frozen=True)
class DesignResult:
    """What a search found; not judged yet.

    Attributes:
        config: What was asked for.
        template: The template, restricted to the elements asked for.
        structures: One crystal per candidate, oxidation states on its sites.
        combinations: Name of the charge combination of each candidate.
        history: Properties of every candidate at every step, in long form.
        predictor_calls: Forward (and backward) passes, counted per candidate.
        timings: Seconds, by what they were spent on, and "total".
        steps: Optimisation steps.
    """

    config: DesignConfig
    template: Template
    structures: list[Structure]
    combinations: list[str]
    history: pd.DataFrame
    predictor_calls: int
    timings: dict[str, float]
    steps: int


def run_search(
    config: DesignConfig,
    *,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
) -> DesignResult:
    """Search for `config.n` crystals.

    Args:
        config: What is wanted.
        predictor: A predictor in memory, instead of the one that `config.predictor` names.
        progress: Called after every step.

    Raises:
        InputError: If the predictor lacks a property or elements, or the template cannot be built.
    """
    begin = time.perf_counter()
    if predictor is None:
        predictor = load_predictor(config.predictor, device=config.device)
    targets = [Target.parse(text, known=predictor.properties) for text in config.targets]
    if config.at_rest and ENERGY not in predictor.properties:
        raise InputError(f"designs at rest need a predictor of {ENERGY}; this one has none")
    template = config.resolved_template(predictor.elements)
    _check_roles(targets, template)
    settings = AT_REST if config.at_rest else PRESETS[config.preset]
    generator = torch.Generator().manual_seed(config.seed)
    space = DesignSpace.from_templates([template] * config.n, resolve_device(config.device))
    soft = SoftCrystals.start(
        space,
        generator,
        score_noise=settings.anneal.score_noise,
        combination_noise=settings.anneal.combination_noise,
    )
    if config.at_rest:
        start_at_radii(soft, settings.anneal.temperature_start, config.repeat)
    symmetry = AxisSymmetry(template) if config.at_rest else None
    recorder = Recorder(config.steps, progress)
    finish_steps = 0 if settings.finish is None else round(settings.finish.share * config.steps)
    anneal_steps = config.steps - finish_steps
    with Objective(
        predictor, targets, batch_size=config.batch_size, symmetry=symmetry
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
        combination, elements = soft.discretise()
        if settings.finish is not None and finish_steps:
            combination, elements = finish(
                soft,
                objective,
                settings.finish,
                steps=finish_steps,
                generator=generator,
                recorder=recorder,
            )
    structures = to_structures(soft, template, combination, elements)
    total = time.perf_counter() - begin
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
    )


def _check_roles(targets: Sequence[Target], template: Template) -> None:
    for target in targets:
        if target.property == "tolerance_factor" and template.radii is None:
            raise InputError(
                f'target "{target}": only perovskites have a tolerance factor, and the template '
                f"{template.name!r} has no A, B and X sites"
            )


def to_structures(
    soft: SoftCrystals, template: Template, combination: Tensor, elements: Tensor
) -> list[Structure]:
    """Convert to pymatgen structures with oxidation states; coordinates are not wrapped."""
    plain = soft.hard_crystals(combination, elements).to_structures()
    structures = []
    for structure, k in zip(plain, combination.tolist(), strict=True):
        charges = template.combinations[k]
        species = [
            Species(site.specie.symbol, int(charge))
            for site, charge in zip(structure, charges, strict=True)
        ]
        structures.append(Structure(structure.lattice, species, structure.frac_coords))
    return structures
