"""One piece of work of a given size, measured in a process of its own: prints a line of JSON.

    python -m benchmarks.scale.work seeds 250

Only what every version has is used, so that two versions can be measured by one script.
"""

import argparse
import importlib
import json
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ase
import ase.build
import ase.io
import numpy as np

Record = dict[str, float]

SEED_TYPES = ("rocksalt", "cesiumchloride", "zincblende", "fluorite")
TARGETS = ("band_gap = 2.5 ± 0.5", "formation_energy < -0.5")
ELEMENTS = tuple(
    re.findall(
        "[A-Z][a-z]?",
        "FOClNaKMgCaLiRbCsSrBaZnNiCuCoFeMnAgCdTiZrVScYAlGaInSnPbSBrILaCeHfNbTaWMo",
    )
)
FEW = 13
"""Designs that are exported."""


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


@contextmanager
def measured(record: Record, name: str = "cpu_s") -> Iterator[None]:
    """Add the CPU time of a block to a record."""
    begin = time.process_time()
    yield
    record[name] = record.get(name, 0.0) + time.process_time() - begin


def watch(record: Record, name: str, module: str, *path: str) -> None:
    """Add the CPU time of every call of a function to a record, if there is such a function."""
    try:
        home: Any = importlib.import_module(module)
        for part in path[:-1]:
            home = getattr(home, part)
        function = getattr(home, path[-1])
    except (ImportError, AttributeError):
        return

    def watched(*args: object, **kwargs: object) -> object:
        with measured(record, name):
            return function(*args, **kwargs)

    setattr(home, path[-1], watched)


def seeds(n: int, folder: Path) -> Record:
    """Search on n seeds, a candidate on each, with checkpoints as the command keeps them."""
    from smoacs import DesignConfig
    from smoacs.runs import execute

    rng = np.random.default_rng(0)
    frames = [
        ase.build.bulk("NaCl" if kind != "fluorite" else "CaF2", kind, a=rng.uniform(4, 6))
        for kind in rng.choice(SEED_TYPES, n)
    ]
    ase.io.write(folder / "seeds.extxyz", frames)
    record: Record = {"checkpoints_s": 0.0}
    watch(record, "checkpoints_s", "smoacs.runs.checkpoint", "Checkpoints", "keep")
    watch(record, "judge_s", "smoacs.runs.execute", "judge")
    settings = {"search": "gradient", "steps": 12, "n": n, "targets": TARGETS, "rest": "symmetry"}
    config = DesignConfig(template=str(folder / "seeds.extxyz"), **settings)
    with measured(record):
        execute(config, folder / "run")
    return record


def designs(n: int, folder: Path) -> Record:
    """A run of n perovskites to its end; then one of them is shown, and a few are exported."""
    from smoacs import DesignConfig
    from smoacs.cli import run
    from smoacs.runs import execute

    record: Record = {}
    watch(record, "judge_s", "smoacs.runs.execute", "judge")
    watch(record, "space_groups_s", "smoacs.judging.table", "space_group")
    config = DesignConfig(n=n, steps=6, search="gradient", targets=TARGETS, rest="symmetry")
    out = folder / "run"
    with measured(record):
        execute(config, out)
    record["designs_db_bytes"] = (out / "designs.db").stat().st_size
    record["run_bytes"] = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    with measured(record, "show_s"):
        run(["show", str(out), "3"])
    chosen = ",".join(str(1 + k * (n // FEW)) for k in range(FEW))
    with measured(record, "export_s"):
        run(["export", str(out), "--to", "poscar", "--id", chosen, "--out", str(folder / "few")])
    return record


def atoms(n: int, _folder: Path) -> Record:
    """Judge one crystal of about n atoms, each a little off its site."""
    from pymatgen.io.ase import AseAtomsAdaptor

    from smoacs import Target, load_predictor
    from smoacs.judging import judge

    cell = ase.Atoms(
        "SrTiO3",
        scaled_positions=[[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
        cell=[3.9] * 3,
        pbc=True,
    )
    crystal = cell * ([round((n / 5) ** (1 / 3))] * 3)
    crystal.rattle(0.03, seed=0)
    structure = AseAtomsAdaptor.get_structure(crystal)
    predictor = load_predictor()
    record: Record = {"atoms": len(structure)}
    watch(record, "distances_s", "smoacs.judging.criteria", "min_distance")
    watch(record, "distances_s", "smoacs.judging.table", "min_distance")
    with measured(record):
        judge([structure], [Target.parse(TARGETS[0])], predictor=predictor)
    return record


def elements(n: int, _folder: Path) -> Record:
    """An exhaustive search of perovskites of n elements, as far as the default budget allows."""
    from smoacs import DesignConfig, run_design

    record: Record = {"regression_s": 0.0}
    for module in ("smoacs.search.guesses", "smoacs.search.exhaustive.regression"):
        watch(record, "regression_s", module, "Regression", "__init__")
    watch(record, "regression_s", "smoacs.search.exhaustive.regression", "spotri")
    config = DesignConfig(n=64, steps=200, elements=ELEMENTS[:n], targets=TARGETS, rest="symmetry")
    with measured(record):
        result = run_design(config)
    found = dict(result.result.search)
    record["decorations"] = float(found.get("decorations", 0))
    record["relaxed"] = float(found.get("relaxed", 0))
    return record


def start(_n: int, folder: Path) -> Record:
    """One crystal's prediction, by the command and all that it imports."""
    from smoacs.cli import run

    ase.io.write(folder / "NaCl.cif", ase.build.bulk("NaCl", "rocksalt", a=5.64))
    run(["predict", str(folder / "NaCl.cif"), "--out", str(folder / "table.csv")])
    return {"cpu_s": cpu_seconds()}


WORK: dict[str, Callable[[int, Path], Record]] = {
    work.__name__: work for work in (seeds, designs, atoms, elements, start)
}


def main() -> None:
    """Do the work and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=WORK)
    parser.add_argument("size", type=int)
    args = parser.parse_args()
    stdout, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        record = WORK[args.name](args.size, Path(folder))
    record["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
