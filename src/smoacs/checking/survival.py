"""Does a design survive relaxation by a potential that took no part in making it?"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure

from smoacs.checking.findings import Record, open_findings, record_key
from smoacs.checking.potentials import CheckPotential, RelaxedDesign, RelaxSettings
from smoacs.errors import InputError
from smoacs.judging import angles_kept, evaluate_structures, match_template, space_group
from smoacs.predictors import ENERGY, Predictor, hangs_on_geometry
from smoacs.relaxation import same_connectivity
from smoacs.structures import charges, symbols
from smoacs.targets import Target
from smoacs.templates import Template

MAX_LENGTH_CHANGE: Final = 0.05
"""Share that a lattice length of a survivor may move at most."""

WIDER: Final = 2.0
"""A survivor's properties, predicted again, lie within so many times the target's window."""


def relax_designs(
    structures: Sequence[Structure],
    potential: CheckPotential,
    settings: RelaxSettings,
    *,
    cache: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[RelaxedDesign]:
    """Relax crystals; what the cache holds is not done again, and what is done goes there at once.

    Args:
        structures: Designs; their oxidation states carry over to the relaxed crystals.
        potential: Relaxes them.
        settings: When to stop.
        cache: File of findings; made if it does not exist.
        progress: Told the crystals that are done and those in all.

    Returns:
        What became of each, in their order.

    Raises:
        InputError: Another process uses the cache, or it is broken.
        ResourceError: The disk is full.
    """
    named = {"potential": potential.name, **dataclasses.asdict(settings)}
    keys = [record_key(structure, named) for structure in structures]
    with open_findings(cache) as file:
        todo = {k: s for k, s in zip(keys, structures, strict=True) if k not in file.records}
        left = list(todo)
        done = len(todo)
        for batch in potential.relax(list(todo.values()), settings) if todo else ():
            for relaxed in batch:
                file.append(left.pop(0), _record(relaxed))
            if progress is not None:
                progress(len(keys) - len(left), len(keys))
        if progress is not None and not done:
            progress(len(keys), len(keys))
        return [
            _relaxed(file.records[key], structure)
            for key, structure in zip(keys, structures, strict=True)
        ]


def survival_table(
    structures: Sequence[Structure],
    relaxed: Sequence[RelaxedDesign],
    *,
    targets: Sequence[Target],
    predictor: Predictor,
    templates: Sequence[Template | None] | None = None,
    by_bonds: bool = False,
) -> pd.DataFrame:
    """Judge what relaxation made of B designs.

    A survivor has kept the template, no lattice length has moved by more than 5 %, and every
    target, predicted again on the relaxed crystal, is met within twice its window. A bound on one
    side has no width and must hold as it is; an extreme asks for nothing.

    Args:
        structures: The designs.
        relaxed: What became of each.
        targets: What was wanted of them.
        predictor: The one that designed them; it gives the properties of the relaxed crystals.
        templates: The kind of crystal that each has to keep; None where there is none.
        by_bonds: Whether a crystal keeps its kind, instead of a template, by who is bonded to whom:
            that of designs at a minimum, which have left the sites of the template. Targets on the
            composition alone hold as before.

    Raises:
        InputError: The predictor does not give the property of a target.

    Returns:
        A row for each design: `survives_relaxation`, `length_change` (largest, relative and
        absolute value), `volume_change` (relative), `relaxed_template_kept` (with templates),
        `relaxed_<property>` for each target and the formation energy, `relaxed_space_group`,
        `relaxed_energy` (eV/atom, the potential's own), `relaxed_steps`, `relaxed_converged` and
        `relaxed_failure`. NaN and empty where the potential refused a design.
    """
    check_properties(targets, predictor)
    ends = [item.structure for item in relaxed]
    table = _changes(structures, ends)
    kinds = [None] * len(ends) if templates is None else list(templates)
    matches = [
        match_template(end, kind) if end is not None and kind is not None else None
        for end, kind in zip(ends, kinds, strict=True)
    ]
    survives = np.array([end is not None for end in ends], dtype=bool)
    survives &= np.nan_to_num(table["length_change"], nan=math.inf) <= MAX_LENGTH_CHANGE
    if templates is not None:
        kept = np.array(
            [
                kind is None or (end is not None and match is not None and angles_kept(end, kind))
                for end, match, kind in zip(ends, matches, kinds, strict=True)
            ],
            dtype=bool,
        )
        table["relaxed_template_kept"] = kept
        survives &= kept
    if by_bonds:
        table["relaxed_template_kept"] = [
            end is not None and same_connectivity(start, end)
            for start, end in zip(structures, ends, strict=True)
        ]
        survives &= table["relaxed_template_kept"].to_numpy()
    present = [index for index, end in enumerate(ends) if end is not None]
    found = evaluate_structures(
        [end for end in ends if end is not None],
        predictor,
        matches=[matches[index] for index in present],
    )
    for name in dict.fromkeys((*(t.property for t in targets), ENERGY)):
        if name in found:
            values = np.full(len(ends), np.nan)
            values[present] = found[name]
            table[f"relaxed_{name}"] = values
    for target in targets:
        if by_bonds and not hangs_on_geometry(predictor, target.property):
            continue
        values = table[f"relaxed_{target.property}"].to_numpy(float, copy=True)
        survives &= widened(target).met(torch.from_numpy(values)).numpy()
    table.insert(0, "survives_relaxation", survives)
    table["relaxed_space_group"] = [space_group(end) if end is not None else "" for end in ends]
    table["relaxed_energy"] = [item.energy for item in relaxed]
    table["relaxed_steps"] = [item.steps for item in relaxed]
    table["relaxed_converged"] = [item.converged for item in relaxed]
    table["relaxed_failure"] = [item.failure for item in relaxed]
    return table


def check_properties(targets: Sequence[Target], predictor: Predictor) -> None:
    """Refuse targets that a predictor knows nothing of.

    Raises:
        InputError: There is one.
    """
    for target in targets:
        if target.property not in predictor.properties:
            raise InputError(
                f'target "{target}": the predictor has no property {target.property!r}; '
                "check with the predictor that made the run"
            )


def widened(target: Target) -> Target:
    """The target with twice its window around the same middle; others as they are."""
    if not (math.isfinite(target.low) and math.isfinite(target.high)):
        return target
    more = (WIDER - 1) * (target.high - target.low) / 2
    return dataclasses.replace(target, low=target.low - more, high=target.high + more)


def _changes(structures: Sequence[Structure], ends: Sequence[Structure | None]) -> pd.DataFrame:
    length = np.full(len(structures), np.nan)
    volume = np.full(len(structures), np.nan)
    for index, (start, end) in enumerate(zip(structures, ends, strict=True)):
        if end is not None:
            length[index] = np.abs(np.array(end.lattice.abc) / start.lattice.abc - 1).max()
            volume[index] = end.volume / start.volume - 1
    return pd.DataFrame({"length_change": length, "volume_change": volume})


def _record(relaxed: RelaxedDesign) -> Record:
    end = relaxed.structure
    return {
        "cell": None if end is None else end.lattice.matrix.tolist(),
        "frac_coords": None if end is None else end.frac_coords.tolist(),
        "energy": relaxed.energy if math.isfinite(relaxed.energy) else None,
        "steps": relaxed.steps,
        "converged": relaxed.converged,
        "failure": relaxed.failure,
    }


def _relaxed(record: Record, design: Structure) -> RelaxedDesign:
    end = None
    if record["cell"] is not None:
        end = Structure(record["cell"], symbols(design), record["frac_coords"])
        states = charges(design)
        if states is not None:
            end.add_oxidation_state_by_site(states)
    energy = math.nan if record["energy"] is None else record["energy"]
    return RelaxedDesign(end, energy, record["steps"], record["converged"], record["failure"])
