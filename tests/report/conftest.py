"""Run directories written by hand, from the description of their files alone."""

import json
import shutil
from pathlib import Path

import ase
import ase.io
import numpy as np
import pandas as pd
import pytest

EVIL = (
    "</script><script>document.title = 'evil'</script><img src=x onerror=alert(1)>&amp;'\"--><!--"
)
SITES = np.array([(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)])
KINDS = [
    ("SrTiO3", ("Sr", "Ti", "O", "O", "O"), (2, 4, -2, -2, -2)),
    ("KMgF3", ("K", "Mg", "F", "F", "F"), (1, 2, -1, -1, -1)),
    ("CsSnBrI2", ("Cs", "Sn", "Br", "I", "I"), (1, 2, -1, -1, -1)),
]
EDGES = {"SrTiO3": 3.9, "KMgF3": 4.0, "CsSnBrI2": 6.0}


def crystal(number: int, repeat: int, generator: np.random.Generator) -> ase.Atoms:
    """A skewed perovskite whose atoms are off their sites and partly outside of the cell."""
    formula, elements, states = KINDS[number % len(KINDS)]
    cell = EDGES[formula] * (np.eye(3) + 0.05 * generator.normal(size=(3, 3)))
    shifts = [np.array(s) for s in np.ndindex(repeat, repeat, repeat)]
    frac = np.concatenate([(SITES + shift) / repeat for shift in shifts])
    frac += 0.01 * generator.normal(size=frac.shape)
    n = len(shifts)
    atoms = ase.Atoms(elements * n, cell=repeat * cell, scaled_positions=frac, pbc=True)
    atoms.set_array("oxidation_states", np.array(states * n, dtype=float))
    return atoms


def write_run(folder: Path, n: int, *, repeat: int = 1, template: str = "perovskite") -> Path:
    """Write the four files that a report needs; the last candidate is not finite."""
    generator = np.random.default_rng(7)
    folder.mkdir()
    atoms = [crystal(i, repeat, generator) for i in range(n)]
    names = [KINDS[i % len(KINDS)][0] for i in range(n)]
    ids = [f"{i + 1:04d}" for i in range(n)]
    gap = np.round(2.5 + generator.normal(size=n) * 0.2, 6)
    energy = np.round(-1.0 + generator.normal(size=n) * 0.4, 6)
    gap[-1] = energy[-1] = np.nan
    met = {"band_gap_met": np.abs(gap - 2.5) <= 0.2, "formation_energy_met": energy < -0.5}
    success = met["band_gap_met"] & met["formation_energy_met"]
    table = pd.DataFrame(
        {
            "id": ids,
            "success": success,
            "formula": names,
            "n_atoms": 5 * repeat**3,
            "formation_energy": energy,
            "band_gap": gap,
            "formation_energy.std": 0.01,
            "band_gap_std": 0.1,
            "pressure": 1.5,
            **met,
            "neutral": True,
            "min_distance": [2.0] * (n - 1) + [np.nan],
            "space_group": "P1",
            "a": [a.cell.lengths()[0] for a in atoms],
            "oxidation_states": ["Sr+2 Ti+4 O-2", "K+1 Mg+2 F-1", "Cs+1 Sn+2 Br-1 I-1"][0],
            "unique": success & ~pd.Series(names).where(success).duplicated(),
            "structure_file": [
                f"structures/{i}_{f}.cif" for i, f in zip(ids[:-1], names, strict=False)
            ]
            + [""],
            "dft_band_gap": [3.25] + [np.nan] * (n - 1),
            "confirmed": ["True", "False"] + [""] * (n - 2),
            "remark": [EVIL] + [""] * (n - 1),
        }
    )
    table.to_csv(folder / "results.csv", index=False, float_format="%.6f")
    for frame, file in zip(atoms, table["structure_file"], strict=True):
        frame.info["structure_file"] = file
    ase.io.write(folder / "structures.extxyz", atoms[:-1], format="extxyz")
    steps, candidates = np.divmod(np.arange(30 * n), n)
    history = pd.DataFrame({"step": steps + 1, "candidate": candidates})
    history["band_gap"] = 2.5 + generator.normal(size=30 * n)
    history["formation_energy"] = -1.0
    history.loc[history["step"] == 1, "formation_energy"] = np.nan
    history.to_parquet(folder / "history.parquet", index=False)
    summary = {
        "n": n,
        "met_rates": {"band_gap": 0.5, "formation_energy": 0.5, "neutral": 1.0},
        "site_labels": ["A", "B", "X", "X", "X"] * repeat**3,
        "non_finite": 1,
        "steps": 30,
        "predictor_calls": 12345,
        "seconds": 61.7,
        "timings": {"predictor": 60.0, "total": 61.7},
        "seed": 3,
        "config": {
            "n": 7,
            "template": template,
            "repeat": repeat,
            "targets": ["band_gap = 2.5 +- 0.2", "formation_energy < -0.5"],
            "preset": "default",
            "rest": "symmetry",
            "predictor": None,
            "elements": None,
            "forbidden": ["Pb"],
            "sites": {"A": ["Sr", "K", "Cs"]},
        },
        "versions": {"smoacs": "0.1.0"},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Forty candidates, with columns of later checks and a name that tries to break the page."""
    return write_run(tmp_path_factory.mktemp("report") / "run", 40, template=f"perovskite {EVIL}")


@pytest.fixture(scope="session")
def large_run(tmp_path_factory):
    """256 candidates of 135 atoms: the size that issue 6 sets limits for."""
    return write_run(tmp_path_factory.mktemp("report") / "large", 256, repeat=3)


@pytest.fixture(scope="session")
def evil():
    """A text that would leave a script, a tag, an attribute or a comment if it could."""
    return EVIL


@pytest.fixture
def broken_run(run, tmp_path):
    """A copy to damage."""
    return shutil.copytree(run, tmp_path / "run")
