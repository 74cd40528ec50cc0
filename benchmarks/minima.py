"""Are designs at a real minimum? Asked of a potential that did not design them.

    python benchmarks/minima.py runs/gap_1.5 runs/gap_2.5 --potential sevennet:l3i5 \
        --out benchmarks/results/minima.json

The first N distinct successes of each run (`--designs`; all of them where there are fewer) are, by
the potential,

1. brought to rest within their own symmetry;
2. shaken in a supercell and let go, free of symmetry (docs/checks.md): how far does the energy fall
   below 1, and where is the gap that the run's own predictor gives for what comes out?
3. displaced atom by atom in a supercell of at least 10 Å along each vector: the lowest phonon at
   the wave vectors that fit it, and on a 6×6×6 mesh.

A design counts as stable above -0.1 THz; one without an answer does not, and is counted apart.
Designs of all runs take turns, so that what is there after `--minutes` (a design that was begun is
ended) says something of each; the same command goes on. Needs the extra `sevennet`, or another
potential.
"""

import argparse
import json
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pymatgen.core import Structure

from smoacs.checking import (
    CheckPotential,
    PhononSettings,
    RattleSettings,
    RelaxedDesign,
    RelaxSettings,
    load_potential,
    phonon_table,
    rattled,
    rattled_table,
    relax_designs,
)
from smoacs.predictors import Predictor, load_predictor
from smoacs.runs import SavedRun, read_run

LARGEST_GAIN = 0.010
"""eV/atom that a design at a minimum may fall by at most."""

PHONONS = PhononSettings(length=10.0, mesh=6)
RATTLE = RattleSettings()


@dataclass(frozen=True)
class Design:
    """A design of a run, and where its findings are kept."""

    run: SavedRun
    name: str
    structure: Structure
    predictor: Predictor
    cache: Path


def designs_of(folder: Path, most: int, work: Path) -> list[Design]:
    """The first distinct successes of a run."""
    run = read_run(folder)
    predictor = load_predictor(run.config.predictor, device="cpu")
    ids = run.select(limit=most)["id"].tolist()
    crystals = run.crystals(ids)
    return [Design(run, name, crystals[name], predictor, work) for name in ids]


def in_turns(runs: Sequence[Sequence[Design]]) -> Iterator[Design]:
    """The first design of each run, then the second of each."""
    turns = chain.from_iterable(zip_longest(*runs))
    return (design for design in turns if design is not None)


def judge(design: Design, potential: CheckPotential) -> dict[str, Any]:
    """All that the potential says of a design."""
    structure, cache = design.structure, design.cache
    (rest,) = relax_designs([structure], potential, RelaxSettings(), cache=cache / "rest.jsonl")
    (end,) = relax_designs(
        [rattled(structure, RATTLE)], potential, RATTLE.relaxation, cache=cache / "rattled.jsonl"
    )
    modes = phonon_table(
        [rest.structure], potential, cache=cache / "phonons.jsonl", settings=PHONONS
    )
    row: dict[str, Any] = {
        "run": design.run.path.name,
        "id": design.name,
        "formula": structure.composition.reduced_formula,
        "atoms": len(structure),
        "rest_converged": rest.converged,
        "rest_failure": rest.failure,
    }
    return row | modes.iloc[0].to_dict() | rattled_row(design, rest, end)


def rattled_row(design: Design, rest: RelaxedDesign, end: RelaxedDesign) -> dict[str, Any]:
    """Where a shaken design has gone, and whether its gap is still within .4 eV of the target."""
    run, structure = design.run, design.structure
    template = None
    if not {"template", "parent_space_group"} & set(run.table):
        template = run.config.resolved_template(design.predictor.elements)
    table = rattled_table(
        [structure],
        [rest.energy],
        [end],
        targets=run.targets,
        predictor=design.predictor,
        settings=RATTLE,
        templates=[template],
    )
    row: dict[str, Any] = table.iloc[0].to_dict()
    gaps = [target for target in run.targets if target.property == "band_gap"]
    middles = [(target.low + target.high) / 2 for target in gaps]
    row["target_gap"] = next((m for m in middles if math.isfinite(m)), None)
    return row


def share(holds: Sequence[bool]) -> float | None:
    """Share of those that hold; None of none."""
    return round(sum(holds) / len(holds), 3) if holds else None


def above(frequency: float | None) -> bool:
    """Whether a lowest frequency is known and stable."""
    return frequency is not None and frequency > PHONONS.threshold


def gap_holds(row: Mapping[str, Any]) -> bool:
    """Whether the gap where a shaken design ends is known and near its target."""
    gap = row["rattled_band_gap"]
    return gap is not None and abs(gap - row["target_gap"]) <= RATTLE.gap_tolerance


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many of the designs of a run are at a minimum, by each measure."""
    gains = [row["rattled_energy_gain"] for row in rows]
    known = [gain for gain in gains if gain is not None]
    gaps = [row for row in rows if row["target_gap"] is not None]
    return {
        "designs": len(rows),
        "stable_at_10_A": share([above(row["phonon_frequency"]) for row in rows]),
        "stable_on_mesh": share([above(row["phonon_mesh_frequency"]) for row in rows]),
        "gain_below_10_meV": share([gain is not None and gain < LARGEST_GAIN for gain in gains]),
        "median_gain_meV": round(1000 * float(np.median(known)), 2) if known else None,
        "gap_within_0.4_eV": share([gap_holds(row) for row in gaps]),
        "keep_lattice": share([row["keeps_lattice"] is True for row in rows]),
        "without_phonons": sum(bool(row["phonon_failure"]) for row in rows),
        "without_end": sum(bool(row["rattled_failure"]) for row in rows),
    }


def table_text(report: Mapping[str, Any]) -> str:
    """The summaries as a table in Markdown."""
    columns = {
        "designs": "designs",
        "stable_at_10_A": "stable, ≥ 10 Å",
        "stable_on_mesh": "stable, 6×6×6",
        "gain_below_10_meV": "gain < 10 meV/atom",
        "median_gain_meV": "median gain, meV/atom",
        "gap_within_0.4_eV": "gap within 0.4 eV",
        "keep_lattice": "keep their lattice",
    }
    lines = [f"| run | {' | '.join(columns.values())} |", f"|{' --- |' * (len(columns) + 1)}"]
    for name, found in report["runs"].items():
        cells = ["" if found[key] is None else f"{found[key]:g}" for key in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON knows it: no NaN, none of numpy's types."""
    found = {}
    for key, given in row.items():
        value = given.item() if isinstance(given, np.generic) else given
        if isinstance(value, float):
            value = round(value, 6) if math.isfinite(value) else None
        found[key] = value
    return found


def write(out: Path, rows: Sequence[Mapping[str, Any]], potential: str, waiting: int) -> None:
    """Write the report and its table."""
    names = list(dict.fromkeys(str(row["run"]) for row in rows))
    report = {
        "potential": potential,
        "phonons": asdict(PHONONS),
        "rattle": asdict(RATTLE),
        "waiting": waiting,
        "runs": {name: summary([row for row in rows if row["run"] == name]) for name in names},
        "designs": rows,
    }
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(f"{table_text(report)}\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge in turns until all is done or the time is up; write after each design."""
    parser = argparse.ArgumentParser(description="Judge whether designs are at a minimum.")
    parser.add_argument("runs", type=Path, nargs="+", help="run directories")
    parser.add_argument("--potential", default="auto")
    parser.add_argument("--designs", type=int, default=20, help="of each run, at most")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--work", type=Path, default=Path("runs/minima"), help="findings")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    potential = load_potential(args.potential)
    args.work.mkdir(parents=True, exist_ok=True)
    queue = list(in_turns([designs_of(run, args.designs, args.work) for run in args.runs]))
    end = time.monotonic() + 60 * args.minutes
    rows: list[dict[str, Any]] = []
    for design in queue:
        if time.monotonic() > end:
            break
        started = time.process_time()
        rows.append(plain(judge(design, potential)))
        write(args.out, rows, potential.name, len(queue) - len(rows))
        row = rows[-1]
        print(
            f"{len(rows)}/{len(queue)} {row['run']} {row['formula']}: "
            f"{row['phonon_frequency']} THz, mesh {row['phonon_mesh_frequency']} THz, gain "
            f"{row['rattled_energy_gain']} eV/atom, {time.process_time() - started:.0f} s",
            flush=True,
        )
    if rows:
        print(args.out.with_suffix(".md").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
