"""Is any hard constraint ever broken? Thousands of candidates, checked by code of the judge alone.

    python benchmarks/constraints.py --out benchmarks/results/constraints.json

Every set of constraints is asked of several templates, and by every way to search. The predictor is
a toy that pulls all the time against what is asked for: it wants unequal axes, atoms off their
sites, atoms close together, and elements at random. Each final crystal, whether it meets the target
or not, is held against the request by `smoacs.judging.rules`, which shares no code with the
optimiser. As a control, the same check is put to searches without the constraints.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS, N_ELEMENTS
from smoacs.crystals import Crystals, NeighborList
from smoacs.judging import RuleCheck, Rules
from smoacs.request import DesignConfig
from smoacs.search import DesignResult, run_search
from smoacs.templates import build_template

MAGNETITE = "magnetite.cif"
"""Not neutral without mixed valence; written beside the run as a file of the user's."""

SEEDS = "seeds"

CONTROLS = 8
"""Candidates of a search without constraints, for each set of constraints and template."""


class Temptation:
    """Energies that attract atoms, and a wish that breaks all symmetry and likes odd elements."""

    cutoff = 3.5
    elements = frozenset(ELEMENTS)

    def __init__(self) -> None:
        """Draw how much each element is liked."""
        self.properties: Mapping[str, str] = {"formation_energy": "eV/atom", "wish": "1"}
        generator = torch.Generator().manual_seed(7)
        self._liking = torch.randn(N_ELEMENTS, generator=generator)

    def __call__(self, crystals: Crystals, neighbors: NeighborList) -> dict[str, Tensor]:
        """Energy and wish, both better when lower."""
        i, _ = neighbors.edge_index
        near = torch.relu(1 - neighbors.vectors(crystals).norm(dim=1) / self.cutoff)
        attraction = torch.zeros_like(crystals.volume)
        attraction = attraction.index_add(0, crystals.system_idx[i], -(near**2))
        a, b, c = crystals.cell.norm(dim=2).unbind(1)
        x, y, z = crystals.frac_coords.unbind(1)
        wave = torch.sin(6.3 * (x + 0.4 * y)) + torch.sin(5.1 * (y - 0.3 * z)) + torch.cos(4.7 * z)
        site = crystals.species_probs @ self._liking.to(crystals.cell) + wave
        wish = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
        shear = (crystals.cell[:, 0] * crystals.cell[:, 1]).sum(1) / (a * b)
        return {
            "formation_energy": attraction / crystals.counts,
            "wish": wish / crystals.counts + 3 * (a / b - b / c) + 2 * shear,
        }


@dataclass(frozen=True)
class Case:
    """A set of constraints, and the templates that it is asked of."""

    name: str
    settings: Mapping[str, object]
    templates: Sequence[str]
    n: int = 96
    ways: Sequence[Mapping[str, object]] = (
        {"rest": "none"},
        {"preset": "paper"},
        {"rest": "symmetry", "search": "gradient"},
    )


SMALL = ("perovskite", "rock-salt", "wurtzite", "rutile", "half-heusler", "delafossite")
LARGE = ("spinel", "layered-perovskite", "double-perovskite", "perovskite 2")
ALL = (*SMALL, *LARGE, "anatase", MAGNETITE)

CASES = (
    Case("presets", {"elements": "earth-abundant !Al", "forbidden": "no-toxic Ti"}, ALL, n=48),
    Case(
        "elements of sites",
        {"sites": {"A": "K Na Ca Sr Y", "X": "!S no-toxic", "X[0]": "O F"}, "forbidden": "Cl"},
        ("perovskite", "wurtzite", "spinel", "perovskite 2"),
    ),
    Case(
        "required, counts",
        {"required": ["Ca", "B=Ti"], "counts": {"O": 2}},
        ("perovskite", "layered-perovskite", "perovskite 2"),
    ),
    Case("counts", {"required": "B=Al", "counts": {"O": 3, "S": 1}}, ("spinel",)),
    Case(
        "same, max_elements",
        {"same": ["X[0] X[1]"], "max_elements": {"X": 2, "all": 4}},
        ("perovskite", "rutile", "spinel", "layered-perovskite", "perovskite 2"),
    ),
    Case(
        "ratios",
        {"ratios": {"A": {"K": 0.75, "Na": 0.25}, "X": {"F": 0.5, "Cl": 0.5}}},
        ("perovskite 2", "rock-salt 2"),
    ),
    Case(
        "mixed valence",
        {"site_charges": {"B": [2, 3]}, "oxidation_states": {"Mn": [2, 3]}, "required": "B=Mn"},
        ("spinel", "perovskite 2", "layered-perovskite 2"),
        n=48,
    ),
    Case(
        "a table of its own",
        {"oxidation_table": "smact", "oxidation_states": {"Cu": [1], "O": [-2]}, "required": "O"},
        ("delafossite", "perovskite", "rutile"),
    ),
    Case(
        "lattice ranges",
        {"lattice": {"a": [4.0, 4.3], "b": 5.5, "gamma": [80, 100]}},
        ("perovskite", "wurtzite", "rutile"),
    ),
    Case("lattice system", {"symmetry": "lattice"}, ALL, n=48),
    Case("space group", {"symmetry": "space-group"}, (*ALL, "garnet"), n=48),
    Case(
        "space group, ranges and distances",
        {"symmetry": "space-group", "lattice": {"a": [4.5, 6.5]}, "min_distance": 0.7},
        ("perovskite", "rutile", "anatase", "layered-perovskite", "perovskite 2"),
    ),
    Case("frozen", {"frozen": ["A", "X[1:2]"]}, ("wurtzite", "rutile", "spinel", "perovskite 2")),
    Case(
        "displacements",
        {"max_displacement": {"X": 0.03, "A": 0.0, "X[0]": 0.01}, "lattice": {"c": [4, 9]}},
        ("perovskite", "rutile", "delafossite", "anatase"),
    ),
    Case("covalent distances", {"min_distance": 0.85}, (*SMALL, "spinel"), n=48),
    Case(
        "ionic distances",
        {"min_distance": 0.9, "distance_radii": "ionic"},
        (*SMALL, "spinel"),
        n=48,
    ),
    Case(
        "many at once",
        {
            "forbidden": "no-toxic no-rare-earth",
            "required": "X=O",
            "max_elements": {"A": 1, "B": 2, "all": 4},
            "same": "X",
            "symmetry": "lattice",
            "frozen": "A",
            "max_displacement": {"X": 0.1},
            "min_distance": 0.7,
        },
        ("perovskite", "spinel", "perovskite 2", "layered-perovskite"),
    ),
    Case(
        "every composition",
        {"elements": "K Ca Ti Zr O F", "max_elements": {"X": 1}, "min_distance": 0.7},
        ("perovskite", "rutile", "rock-salt"),
        ways=(
            {"search": "exhaustive", "rest": "none"},
            {"search": "exhaustive", "rest": "none", "symmetry": "space-group"},
        ),
    ),
    Case("seeds", {"symmetry": "space-group", "forbidden": "no-toxic", "frozen": ()}, (SEEDS,)),
)


def run(
    case: Case, template: str, way: Mapping[str, object], args: argparse.Namespace
) -> dict[str, Any]:
    """Search and check; what was broken is in the row."""
    config = config_of(case, template, args, {**case.settings, **way})
    started = time.perf_counter()
    result = run_search(config, predictor=Temptation(), seeds=seeds_of(template))
    searched = time.perf_counter() - started
    texts = broken(config, result)
    return {
        "case": case.name,
        "template": template,
        "way": " ".join(f"{key}={value}" for key, value in way.items()) or "default",
        "symmetry": config.symmetry,
        "candidates": len(texts),
        "compositions": len({s.composition.reduced_formula for s in result.structures}),
        "violations": sum(bool(text) for text in texts),
        "broken": dict(Counter(text for text in texts if text).most_common(3)),
        "seconds": round(searched, 1),
        "seconds_of_check": round(time.perf_counter() - started - searched, 1),
    }


def unruled(case: Case, template: str, args: argparse.Namespace) -> list[bool]:
    """Which candidates of a search without the constraints obey none the less."""
    config = config_of(case, template, args, case.settings)
    free = config_of(case, template, args, {"n": CONTROLS, "rest": "none"})
    result = run_search(free, predictor=Temptation(), seeds=seeds_of(template))
    return [not text for text in broken(config, result)]


def config_of(
    case: Case, template: str, args: argparse.Namespace, settings: Mapping[str, object]
) -> DesignConfig:
    """Settings of one search."""
    name, _, repeat = template.partition(" ")
    return DesignConfig.from_mapping(
        {
            "targets": ["wish < -9", "formation_energy < -9"],
            "template": str(args.folder / name) if name == MAGNETITE else name,
            "repeat": int(repeat or 1),
            "n": max(2, round(case.n * args.scale)),
            "steps": args.steps,
            "seed": args.seed,
            "device": "cpu",
            **settings,
        }
    )


def seeds_of(template: str) -> list[Structure] | None:
    """Crystals in memory to start from."""
    if template != SEEDS:
        return None
    return [build_template(kind).to_structure() for kind in SMALL]


def broken(config: DesignConfig, result: DesignResult) -> list[str]:
    """What each candidate breaks of the settings; empty if nothing."""
    rules = Rules.from_settings(config.model_dump())
    if result.originals:
        checks = [RuleCheck(rules, original) for original in result.originals]
    else:
        table = config.table_of_states()
        original = build_template(config.template, repeat=config.repeat, table=table)
        checks = [RuleCheck(rules, original)] * len(result.structures)
    return [c.broken(s) for c, s in zip(checks, result.structures, strict=True)]


def write_magnetite(folder: Path) -> None:
    """A spinel whose iron is Fe2+ and Fe3+."""
    spinel = build_template("spinel")
    species = ["O" if label == "X" else "Fe" for label in spinel.site_labels]
    lattice = Lattice.from_parameters(*(1.04 * spinel.lengths).tolist(), *spinel.angles.tolist())
    Structure(lattice, species, spinel.frac_coords).to(str(folder / MAGNETITE))


def main() -> None:
    """Run all cases, and write what was found."""
    parser = argparse.ArgumentParser(description="Are hard constraints ever broken?")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="times the candidates of a case")
    parser.add_argument("--only", help="cases whose names hold this text")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        args.folder = Path(folder)
        write_magnetite(args.folder)
        asked = [case for case in CASES if not args.only or args.only in case.name]
        for case, template, way in [(c, t, w) for c in asked for t in c.templates for w in c.ways]:
            rows.append(run(case, template, way, args))
            print(json.dumps(rows[-1]), flush=True)
        controls = [ok for c in asked for t in c.templates for ok in unruled(c, t, args)]
    symmetric = [row for row in rows if row["symmetry"] == "space-group"]
    n_symmetric = sum(row["candidates"] for row in symmetric)
    report = {
        "candidates": sum(row["candidates"] for row in rows),
        "templates": len({row["template"] for row in rows}),
        "sets_of_constraints": len({row["case"] for row in rows}),
        "violations": sum(row["violations"] for row in rows),
        "with_space_group": n_symmetric,
        "space_group_kept": 1 - sum(row["violations"] for row in symmetric) / max(1, n_symmetric),
        "controls": len(controls),
        "controls_that_obey": sum(controls) / len(controls),
        "minutes": round((time.perf_counter() - started) / 60, 1),
        "steps": args.steps,
        "seed": args.seed,
        "rows": rows,
    }
    print({key: value for key, value in report.items() if key != "rows"})
    if args.out is not None:
        args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
