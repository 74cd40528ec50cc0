"""One run as a small JSON file: what was judged, when successes were found, a sample of designs."""

import hashlib
import json
import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from benchmarks.paper.methods import NotApplicableError, Outcome, Task, solve
from benchmarks.paper.specification import Row
from benchmarks.rivals import Find
from smoacs.evaluation import is_at_rest
from smoacs.judging import judge, known_formulas
from smoacs.predictors import CombinedPredictor, NetworkPredictor, Predictor
from smoacs.targets import Target

Record = dict[str, Any]

Flags = NDArray[np.bool_]

SAMPLE = 20
SAMPLE_ATOMS = 540
"""Designs kept for later checks: distinct successes drawn at random, so many atoms in all (four of
135)."""

REACHED = (1, 10, 20, 100)
"""Distinct successes for which calls and seconds are kept exactly."""

MOST_FINDS = 200
"""Points kept of the curve of distinct successes against calls."""


@dataclass(frozen=True)
class Store:
    """The folder of records.

    Attributes:
        folder: Made when the first record is written.
        predictor: Fingerprint of the predictor; records of another one are not used.
    """

    folder: Path
    predictor: str

    def path(self, task: Task) -> Path:
        """File of a run."""
        name = f"{task.method}-n{task.n}x{task.steps}-seed{task.seed}.json"
        return self.folder / task.problem.name / name

    def load(self, task: Task) -> Record | None:
        """The record of a run; None if it is not there, or of another predictor."""
        path = self.path(task)
        if not path.is_file():
            return None
        record: Record = json.loads(path.read_text(encoding="utf-8"))
        return record if record["predictor"] == self.predictor else None

    def save(self, task: Task, record: Record) -> None:
        """Write the record of a run, whole or not at all."""
        path = self.path(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"predictor": self.predictor, **record}, ensure_ascii=False)
        draft = path.with_suffix(".part")
        draft.write_text(text + "\n", encoding="utf-8")
        draft.replace(path)


def fingerprint(predictor: Predictor) -> str:
    """Short name of a predictor that changes with the weights of its values.

    Spreads are left out: no search of the benchmark asks for them.
    """
    parts = predictor.parts if isinstance(predictor, CombinedPredictor) else (predictor,)
    digest = hashlib.sha256()
    for part in parts:
        digest.update(type(part).__name__.encode())
        if isinstance(part, NetworkPredictor):
            for name, tensor in sorted(part.network.state_dict().items()):
                if name.startswith("spread."):
                    continue
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().view(-1).numpy().tobytes())
    return digest.hexdigest()[:12]


def run(task: Task, rows: Sequence[Row], predictor: Predictor) -> Record:
    """Run a method on a problem and judge what it returned by the criteria of each row.

    Returns:
        A record; where the method cannot do the problem, one with `not_run`, the reason.
    """
    head: Record = {
        "problem": task.problem.name,
        "method": task.method,
        "seed": task.seed,
        "n": task.n,
        "steps": task.steps,
        "budget_share": task.budget_share,
    }
    try:
        outcome = solve(task, predictor)
    except NotApplicableError as error:
        return {**head, "not_run": str(error)}
    record = {
        **head,
        "torch": torch.__version__,
        "calls": outcome.calls,
        "seconds": round(outcome.seconds, 1),
        "ended": outcome.ended,
        "returned": len(outcome.structures),
        **outcome.extra,
        "found": _found(outcome.finds),
        "rows": {
            row.key: _verdict(outcome, outcome.structures, row, (predictor, task.n, False))
            for row in rows
        },
    }
    if outcome.at_rest is not None:
        record["found_at_rest"] = _found(outcome.finds_at_rest)
        record["rows_at_rest"] = {
            row.key: _verdict(outcome, outcome.at_rest, row, (predictor, task.n, True))
            for row in rows
        }
    return record


def _found(finds: Sequence[Find]) -> Record:
    kept = _thinned(len(finds))
    return {
        "total": len(finds),
        "distinct": [k + 1 for k in kept],
        "calls": [finds[k].calls for k in kept],
        "reached": {
            str(k): [finds[k - 1].calls, round(finds[k - 1].seconds, 1)]
            for k in REACHED
            if k <= len(finds)
        },
    }


def _verdict(
    outcome: Outcome,
    structures: Sequence[Structure],
    row: Row,
    asked: tuple[Predictor, int, bool],
) -> Record:
    """Shares of the n candidates asked for, and a sample of the distinct successes.

    Args:
        outcome: Of the run.
        structures: What it returned.
        row: With the criteria.
        asked: The predictor, n, and whether a success must be at rest.
    """
    predictor, n, must_rest = asked
    if not structures:
        return {"success": 0.0, "unique": 0.0}
    criteria = [Target.parse(text) for text in row.criteria]
    with warnings.catch_warnings():
        # of pymatgen's formulas, on noble gases, which searches without filters propose
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        table = judge(
            structures,
            criteria,
            predictor=predictor,
            must_rest=must_rest,
            template=outcome.template,
            known_formulas=known_formulas(predictor),
            table_of_states=outcome.config.table_of_states(),
        )
    success = table["success"].to_numpy(bool)
    names = [name for name in table if str(name).endswith("_met")]
    names += [name for name in ("neutral", "template_kept", "at_rest") if name in table]
    verdict: Record = {
        "success": _share(success, n),
        "unique": _share(table["unique"].to_numpy(bool), n),
        "criteria": {str(name): _share(table[name].to_numpy(bool), n) for name in names},
    }
    if "novel" in table:
        verdict["new"] = _share((table["unique"] & table["novel"]).to_numpy(bool), n)
    if "pressure" in table and not must_rest:
        verdict["at_rest"] = _of_successes(_rests(table), success)
    if must_rest or outcome.at_rest is None:  # the one of the two that is relaxed by CHGNet
        verdict["sample"] = _sample(structures, table, f"{row.key} {outcome.config.seed}")
    return verdict


def _rests(table: pd.DataFrame) -> Flags:
    pressure, force = (torch.tensor(table[name].tolist()) for name in ("pressure", "max_force"))
    rests: Flags = is_at_rest(pressure, force).numpy()
    return rests


def _share(flags: Flags, n: int) -> float:
    return round(float(flags.sum()) / n, 4)


def _of_successes(
    flags: Flags,
    success: Flags,
) -> float | None:
    return None if not success.any() else round(float(flags[success].mean()), 4)


def _sample(structures: Sequence[Structure], table: pd.DataFrame, key: str) -> list[Record]:
    rows = np.flatnonzero(table["unique"].to_numpy(bool)).tolist()
    random.Random(key).shuffle(rows)
    kept: list[Record] = []
    atoms = 0
    for row in rows[:SAMPLE]:
        structure = structures[row]
        atoms += len(structure)
        if kept and atoms > SAMPLE_ATOMS:
            break
        kept.append(to_record(structure))
    return kept


def to_record(structure: Structure) -> Record:
    """A structure as a few lists."""
    return {
        "species": [str(site.specie) for site in structure],
        "cell": np.round(structure.lattice.matrix, 5).tolist(),
        "frac_coords": np.round(structure.frac_coords, 5).tolist(),
    }


def from_record(record: Record) -> Structure:
    """The structure that `to_record` wrote."""
    return Structure(record["cell"], record["species"], record["frac_coords"])


def _thinned(n: int) -> list[int]:
    """At most MOST_FINDS indices from 0 to n - 1, ends included."""
    return np.unique(np.linspace(0, n - 1, min(n, MOST_FINDS)).astype(int)).tolist() if n else []
