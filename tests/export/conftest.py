"""A run of crystals with closed and open shells, with and without U."""

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from runs.conftest import SITES, config, result, structures, table  # noqa: F401 - fixtures
from smoacs.runs import save_run

SPECIES = {
    "SrTiO3": ("Sr2+", "Ti4+", "O2-", "O2-", "O2-"),
    "KFeF3": ("K+", "Fe2+", "F-", "F-", "F-"),
    "TlCdCl2F": ("Tl+", "Cd2+", "Cl-", "F-", "Cl-"),
    "YbCoO3": ("Yb3+", "Co3+", "O2-", "O2-", "O2-"),
}


@pytest.fixture
def crystals():
    shape = (4.01, 4.02, 4.33, 90, 92, 90)
    return {
        name: Structure(Lattice.from_parameters(*shape), species, SITES)
        for name, species in SPECIES.items()
    }


@pytest.fixture
def folder(result, table, crystals, tmp_path):  # noqa: F811
    """All four succeed, and the first does so twice."""
    names = [*crystals, "SrTiO3"]
    rows = pd.concat([table.iloc[[1]]] * 5, ignore_index=True)
    rows["formula"] = names
    rows["success"] = True
    rows["design"] = [1, 2, 3, 4, 1]
    result.structures[:] = [crystals[name].copy() for name in names]
    return save_run(result, rows, tmp_path / "run", force=False)
