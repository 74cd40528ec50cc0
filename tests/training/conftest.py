"""Thirty made-up crystals in the training layout, ten of them off equilibrium."""

import numpy as np
import pandas as pd
import pytest

SITES = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
NUMBERS = (3, 8, 9, 11, 12, 17, 22, 38)
PROPERTIES = ("formation_energy", "band_gap", "energy_above_hull")


@pytest.fixture
def properties():
    return PROPERTIES


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    table = []
    for k in range(30):
        n = int(rng.integers(1, 6))
        numbers = rng.choice(NUMBERS, n)
        energy = -0.2 * numbers.mean() ** 0.5
        table.append(
            {
                "numbers": numbers.tolist(),
                "frac_coords": (SITES[:n] + rng.normal(0, 0.02, (n, 3))).ravel().tolist(),
                "lattice": [*rng.uniform(5, 7, 3), *rng.uniform(80, 100, 3)],
                "split": "train" if k < 24 else "val",
                "kind": "relaxed" if k % 3 else "strained",
                "formula": f"made up {k}",
                "formation_energy_per_atom": energy,
                "band_gap": np.nan if k % 5 == 0 else float(k % 4),
                "energy_above_hull": 0.1 * (k % 3),
            }
        )
    return pd.DataFrame(table)


@pytest.fixture
def path(rows, tmp_path):
    path = tmp_path / "crystals.parquet"
    rows.to_parquet(path)
    return path
