import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from benchmarks.dft_agreement import strontium_titanate
from smoacs.dft import DftError, DftSettings, gpaw_engine, plan_calculation
from smoacs.dft.reading import band_gaps
from smoacs.errors import MissingExtraError

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"

needs_gpaw = pytest.mark.skipif(
    importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed (extra `dft`)"
)


def test_gaps_of_an_insulator():
    bands = np.array([[-5.0, 0.0, 2.0], [-4.0, 0.5, 1.5]])
    assert band_gaps([bands], [2.0]) == (pytest.approx(1.0), pytest.approx(1.0))
    shifted = np.array([[-5.0, 0.5, 3.0], [-4.0, 0.0, 1.5]])
    assert band_gaps([shifted], [2.0]) == (pytest.approx(1.0), pytest.approx(1.5))


def test_gaps_of_metals_are_zero():
    overlap = np.array([[0.0, 2.0], [3.0, 4.0]])
    assert band_gaps([overlap], [1.0]) == (0.0, 0.0)
    bands = np.array([[0.0, 2.0], [0.1, 2.1]])
    assert band_gaps([bands], [1.5]) == (0.0, 0.0), "an odd number of electrons"


def test_gaps_across_spins():
    up = np.array([[0.0, 5.0]])
    down = np.array([[3.0, 6.0]])
    assert band_gaps([up, down], [1.0, 0.0]) == (pytest.approx(3.0), pytest.approx(5.0))


def test_a_missing_gpaw_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    structure = Structure(Lattice.cubic(3), ["H"], [[0, 0, 0]])
    with pytest.raises(
        MissingExtraError, match=r"not installed; .*pip install 'gpaw>=26.7' 'gpaw-data>="
    ) as error:
        gpaw_engine.run(plan_calculation(structure, DftSettings()))
    assert "\n" not in str(error.value)


@needs_gpaw
def test_a_gpaw_that_does_not_load_is_one_clear_line(monkeypatch):
    def broken(name):
        raise ImportError("libxc.so.9: cannot open shared object file")

    monkeypatch.setattr(gpaw_engine.importlib, "import_module", broken)
    structure = Structure(Lattice.cubic(3), ["H"], [[0, 0, 0]])
    with pytest.raises(MissingExtraError, match=r"does not load \(libxc.so.9"):
        gpaw_engine.run(plan_calculation(structure, DftSettings()))


@needs_gpaw
def test_missing_and_broken_paw_data(tmp_path):
    gpaw = gpaw_engine._import_gpaw()
    with pytest.raises(DftError, match="no PAW data for Tc"):
        gpaw_engine._check_paw_data("Tc")
    kept = list(gpaw.setup_paths)
    try:
        gpaw.setup_paths[:] = [str(tmp_path)]
        with pytest.raises(MissingExtraError, match="finds no PAW data"):
            gpaw_engine._check_paw_data("Sr")
        (tmp_path / "Sr.PBE").write_text("<paw_dataset version='0.7'><half")
        with pytest.raises(MissingExtraError, match="PAW data for Sr is broken"):
            gpaw_engine._check_paw_data("Sr")
    finally:
        gpaw.setup_paths[:] = kept


@pytest.mark.slow
@needs_gpaw
def test_strontium_titanate_gap_and_length(tmp_path):
    """PBE: 1.82 eV, indirect, at 3.945 Å, where it is at rest."""
    report = strontium_titanate(tmp_path / "labels.jsonl")
    assert report["band_gap"] == pytest.approx(1.82, abs=0.1)
    assert report["band_gap_direct"] > report["band_gap"] + 0.2, "from R to Γ"
    assert report["length_at_rest"] == pytest.approx(3.945, rel=0.01)
    assert report["kpoints"] == [4, 4, 4]
    assert report["engine"].startswith("GPAW")


def test_the_committed_agreement_is_within_the_bars():
    report = json.loads((RESULTS / "dft_agreement.json").read_text(encoding="utf-8"))
    assert abs(report["band_gap"] - report["known_band_gap"]) < 0.1
    assert abs(report["length_error"]) < 0.01
    file = RESULTS / "dft_known_perovskites.csv"
    known = pd.read_csv(file, keep_default_na=False, na_values=[""])
    assert len(known) == 50
    assert known["difference"].abs().mean() < 0.1
