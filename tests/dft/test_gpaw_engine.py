import importlib.util

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.dft import DftError, DftSettings, gpaw_engine, label, plan_calculation
from smoacs.dft.gpaw_engine import band_gaps
from smoacs.errors import MissingExtraError

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
    with pytest.raises(MissingExtraError, match=r"not installed; .*smoacs\[dft\]") as error:
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
def test_strontium_titanate_from_end_to_end(tmp_path):
    """PBE at 3.945 Å: 1.82 eV from R to Γ (GPAW at 600 eV); at rest there within 1 %."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    structure = Structure(Lattice.cubic(3.945), ["Sr", "Ti", "O", "O", "O"], sites)
    (item,) = label([structure], cache=tmp_path / "labels.jsonl")
    assert item.failure == ""
    results = item.results
    assert results.band_gap == pytest.approx(1.82, abs=0.1)
    assert results.band_gap_direct == pytest.approx(2.19, abs=0.1)
    assert abs(results.pressure) < 1.0, "rest is at 3.945 Å"
    assert results.max_force < 1e-3
    assert results.kpoints == (4, 4, 4)
    assert not results.spin_polarized
    assert results.engine.startswith("GPAW")
