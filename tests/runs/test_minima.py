"""benchmarks/minima.py on a run of two crystals and a potential that knows its answers."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks import minima
from smoacs.checking import RelaxedDesign
from smoacs.runs import save_run


class Falling:
    """Falls by 30 meV/atom from a supercell, and keeps the crystal."""

    name = "falling"

    def __init__(self):
        self.asked = 0

    def relax(self, structures, settings):
        del settings
        for structure in structures:
            self.asked += 1
            energy = -3.03 if len(structure) > 5 else -3.0
            yield [RelaxedDesign(structure.copy(), energy, 5, converged=True)]


@pytest.fixture
def run(result, table, tmp_path):
    table = table.assign(template_kept=True)
    return save_run(result, table, tmp_path / "gap_2.5", force=False)


@pytest.fixture
def potential(monkeypatch):
    potential = Falling()
    monkeypatch.setattr(minima, "load_potential", lambda _: potential)

    def phonons(structures, *_, **__):
        assert len(structures) == 1
        return pd.DataFrame(
            {
                "phonon_frequency": [-0.02],
                "phonon_mesh_frequency": [-0.7],
                "dynamically_stable": [False],
                "phonon_failure": [""],
            }
        )

    monkeypatch.setattr(minima, "phonon_table", phonons)
    return potential


def test_shares_of_a_run(run, potential, tmp_path, capsys):
    out = tmp_path / "minima.json"
    command = [str(run), "--work", str(tmp_path / "work"), "--out", str(out)]
    minima.main(command)
    report = json.loads(out.read_text())
    found = report["runs"]["gap_2.5"]
    assert found["designs"] == 1, "of two successes one is distinct"
    assert found["stable_at_10_A"] == 1
    assert found["stable_on_mesh"] == 0
    assert found["gain_below_10_meV"] == 0
    assert found["median_gain_meV"] == pytest.approx(30)
    gaps = [row["rattled_band_gap"] for row in report["designs"]]
    expected = np.mean(np.abs(np.array(gaps) - 2.5) <= 0.4)
    assert found["gap_within_0.4_eV"] == expected
    assert report["phonons"]["length"] == 10
    table = out.with_suffix(".md").read_text()
    assert "| gap_2.5 | 1 | 1 | 0 | 0 | 30 |" in table
    assert table in capsys.readouterr().out
    asked = potential.asked
    minima.main(command)
    assert potential.asked == asked, "what was found is not done again"
    assert json.loads(out.read_text()) == report


def test_no_time_is_no_design(run, potential, tmp_path):
    out = tmp_path / "minima.json"
    minima.main([str(run), "--minutes", "-1", "--work", str(tmp_path / "w"), "--out", str(out)])
    assert potential.asked == 0
    assert not out.exists()


def test_designs_of_runs_take_turns():
    assert list(minima.in_turns([[1, 2, 3], [4], [5, 6]])) == [1, 4, 5, 2, 6, 3]
