"""Which share of the sampled designs survives relaxation by CHGNet, which took no part."""

import math
import time
from collections.abc import Sequence
from pathlib import Path

from pymatgen.core import Structure

from benchmarks.paper.methods import Task
from benchmarks.paper.records import SAMPLE, Record, Store, from_record
from benchmarks.paper.specification import Row
from smoacs.checking import (
    CHGNET,
    CheckPotential,
    RelaxSettings,
    load_potential,
    relax_designs,
    survival_table,
)
from smoacs.predictors import Predictor
from smoacs.request import DesignConfig
from smoacs.targets import Target
from smoacs.templates import Template

FILE = "relaxed.jsonl"
"""Relaxations that are done, in the folder of the records."""


def add_holds(
    store: Store,
    tasks: Sequence[tuple[Task, Sequence[Row]]],
    predictor: Predictor,
    *,
    most: int = SAMPLE,
    deadline: float = math.inf,
) -> None:
    """Relax the samples of all records that are there and add to each row the share that holds.

    A design holds if it keeps its template, no lattice length moves by more than 5 %, and every
    target is met within twice its window (`smoacs check`). Needs the extra `chgnet`.

    Args:
        store: Of the records.
        tasks: Those to look at, with their rows.
        predictor: Gives the targets' properties of what was relaxed.
        most: Designs of each sample to relax; of a smaller number that is done, no more are.
        deadline: By `time.monotonic`; after it no further sample is begun.
    """
    potential = load_potential(CHGNET)
    cache = store.folder / FILE
    for task, rows in tasks:
        record = store.load(task)
        if record is None or "rows" not in record:
            continue
        for row in rows:
            verdict = record["rows_at_rest" if "rows_at_rest" in record else "rows"][row.key]
            if verdict.get("sample") and "holds" not in verdict and time.monotonic() < deadline:
                sample = verdict["sample"][:most]
                verdict["holds"] = _share(sample, row, predictor, (potential, cache))
                verdict["holds_of"] = len(sample)
                store.save(task, record)


def _share(
    sample: Sequence[Record],
    row: Row,
    predictor: Predictor,
    relaxing: tuple[CheckPotential, Path],
) -> float:
    structures = [from_record(item) for item in sample]
    template = _template(row, predictor)
    return share_that_holds(
        structures, row.criteria, predictor, template=template, relaxing=relaxing
    )


def share_that_holds(
    structures: Sequence[Structure],
    criteria: Sequence[str],
    predictor: Predictor,
    *,
    template: Template | None,
    relaxing: tuple[CheckPotential, Path],
) -> float:
    """Share of designs that survive relaxation, as `smoacs check` defines it.

    Args:
        structures: The designs.
        criteria: Targets that they met.
        predictor: Gives the targets' properties of what was relaxed.
        template: The kind of crystal that each has to stay; None where there is none.
        relaxing: The potential, and the file of what is relaxed already.
    """
    potential, cache = relaxing
    relaxed = relax_designs(
        structures,
        potential,
        RelaxSettings(fmax=0.05, max_steps=300, keep_symmetry=False),
        cache=cache,
    )
    table = survival_table(
        structures,
        relaxed,
        targets=[Target.parse(text) for text in criteria],
        predictor=predictor,
        templates=None if template is None else [template] * len(structures),
    )
    return round(float(table["survives_relaxation"].mean()), 4)


def _template(row: Row, predictor: Predictor) -> Template | None:
    if not row.problem.keeps_template:
        return None
    config = DesignConfig(targets=row.criteria, repeat=row.problem.repeat, rest="symmetry")
    return config.resolved_template(predictor.elements)
