"""A design of four candidates and its table, made by hand."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from runs.server import server  # noqa: F401 - a fixture
from smoacs.request import DesignConfig
from smoacs.search import DesignResult

SITES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
SPECIES = {
    "KMgF3": ("K+", "Mg2+", "F-", "F-", "F-"),
    "SrTiO3": ("Sr2+", "Ti4+", "O2-", "O2-", "O2-"),
}
NAN = float("nan")


@pytest.fixture
def config():
    return DesignConfig(
        targets=("band_gap = 2.5 ± 0.2", "formation_energy < -0.5"),
        n=5,
        steps=3,
        seed=4,
        rest="symmetry",
    )


@pytest.fixture
def structures():
    names = ["SrTiO3", "KMgF3", "KMgF3", "SrTiO3", "KMgF3"]
    coords = [np.array(SITES, dtype=float) for _ in names]
    coords[4][0, 0] = NAN
    return [
        Structure(Lattice.from_parameters(4.0 + 0.1 * i, 4, 4.2, 90, 91, 90), SPECIES[n], c)
        for i, (n, c) in enumerate(zip(names, coords, strict=True))
    ]


@pytest.fixture
def table(structures):
    """Candidate 0 misses the gap, 1 and 2 succeed, 3 misses all but neutrality, 4 is broken."""
    gap = np.array([3.0, 2.6, 2.5, 9.0, NAN])
    energy = np.array([-3.0, -2.0, -2.0, 0.3, NAN])
    met = {"band_gap_met": np.abs(gap - 2.5) <= 0.2, "formation_energy_met": energy < -0.5}
    success = met["band_gap_met"] & met["formation_energy_met"]
    names = ("a", "b", "c", "alpha", "beta", "gamma")
    lattice = np.array([s.lattice.parameters for s in structures])
    return pd.DataFrame(
        {
            "success": success,
            "formula": ["SrTiO3", "KMgF3", "KMgF3", "SrTiO3", "KMgF3"],
            "n_atoms": 5,
            "band_gap": gap,
            "formation_energy": energy,
            **met,
            "neutral": True,
            "template_kept": [True, True, True, False, False],
            "min_distance": [2.0, 2.0, 2.0, 2.0, NAN],
            "space_group": ["P2/m"] * 4 + [""],
            **dict(zip(names, lattice.T, strict=True)),
            "oxidation_states": ["Sr+2 Ti+4 O-2", "K+1 Mg+2 F-1"] * 2 + ["K+1 Mg+2 F-1"],
            "design": [0, 1, 1, 0, 0],
            "unique": [False, True, False, False, False],
            "novel": False,
        }
    )


@pytest.fixture
def result(config, structures):
    generator = np.random.default_rng(0)
    steps, candidates = np.divmod(np.arange(4 * 5), 5)
    history = pd.DataFrame(
        {
            "step": steps,
            "candidate": candidates,
            "band_gap": 2.5 + generator.normal(size=20) / (1 + steps),
            "formation_energy": -0.4 * steps + generator.normal(size=20),
        }
    )
    history.loc[7, "band_gap"] = NAN
    return DesignResult(
        config=config,
        template=config.resolved_template(),
        structures=structures,
        combinations=["A+1 B+2 X-1"] * 5,
        history=history,
        predictor_calls=12,
        timings={"predictor": 1.23456, "total": 2.0},
        steps=3,
    )
