"""Labels by engines in processes of their own, several at a time, and what a kill leaves."""

import dataclasses
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from learning.conftest import ToyOracle
from smoacs.dft import label, read_labels
from smoacs.learning import LearnSettings, run_learning
from smoacs.learning.labelling import Labelling
from smoacs.learning.replay import distant_crystals
from smoacs.targets import Target
from smoacs.training.displaced.crystals import closest_ratio

ENGINE = (sys.executable, str(Path(__file__).parents[1] / "dft" / "fake_engine.py"))
SITES = [[0, 0, 0], [0.5, 0.5, 0.5]]


@pytest.fixture
def log(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    path.touch()
    monkeypatch.setenv("FAKE_LOG", str(path))
    return path


def crystals(n):
    return [Structure(Lattice.cubic(4.0 + 0.01 * k), ["K", "Cl"], SITES) for k in range(n)]


def labelling(cache, told, **changes):
    settings = LearnSettings(workers=2, tolerance=0.055, **changes)
    targets = [Target.parse("band_gap = 4 ± 0.01")]
    oracle = partial(label, engine=ENGINE)
    return Labelling(oracle, settings, targets, cache, spent=0.0, tell=told.append)


def test_two_at_a_time(tmp_path, log):
    told = []
    labels = labelling(tmp_path / "labels.jsonl", told).run(crystals(9))
    gaps = [item.results.band_gap for item in labels]
    assert gaps == pytest.approx(4.0 + 0.01 * np.arange(9)), "in the order of the crystals"
    assert len(log.read_text().split()) == 9
    assert [state.labelled for state in told] == list(range(10))
    assert told[-1].confirmed == 6
    again = labelling(tmp_path / "labels.jsonl", told).run(crystals(9))
    assert [item.results.band_gap for item in again] == gaps
    assert len(log.read_text().split()) == 9, "nothing is calculated twice"


def test_a_budget_is_kept_with_two_at_a_time(tmp_path, log):
    cache = tmp_path / "labels.jsonl"
    labels = labelling(cache, [], core_hours=1e-9).run(crystals(8))
    assert len(labels) == 2, "those that ran are finished; no other begins"
    assert len(log.read_text().split()) == 2


def test_kill_9_while_two_are_calculated(tmp_path, log):
    cache = tmp_path / "labels.jsonl"
    for least in (2, 5):
        child = os.fork()
        if child == 0:
            try:
                labelling(cache, []).run(crystals(9))
            finally:
                os._exit(0)
        deadline = time.monotonic() + 60
        while not (cache.exists() and cache.read_text().count("\n") >= least):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        time.sleep(0.2)  # engines end with their parent
    kept = set(read_labels(cache))
    done = len(log.read_text().split())
    labels = labelling(cache, []).run(crystals(9))
    assert len(labels) == 9
    assert kept <= set(read_labels(cache))
    assert len(log.read_text().split()) == done + 9 - len(kept), "what is kept is not done again"


@pytest.mark.slow
def test_members_side_by_side_learn_the_same(config, tmp_path):
    settings = LearnSettings(rounds=1, per_round=4, epochs=2, learning_rate=0.1)
    one = run_learning(config, tmp_path / "one", settings, oracle=ToyOracle())
    two = run_learning(
        config, tmp_path / "two", dataclasses.replace(settings, workers=2), oracle=ToyOracle()
    )
    assert one.rounds["gap_mae"].tolist() == two.rounds["gap_mae"].tolist()
    assert one.weights.read_bytes() == two.weights.read_bytes()


def test_replay_is_of_crystals_unlike_the_labelled():
    labelled = ["NaCl", "KBr", "LiF"]
    rng = np.random.default_rng(0)
    found = distant_crystals(20, labelled, "rock-salt", rng)
    assert len(found) == 20
    assert all(closest_ratio(structure) > 0.4 for structure in found)
    assert all(len(structure) <= 14 for structure in found)
    formulas = {structure.composition.reduced_formula for structure in found}
    assert not formulas & set(labelled)
    halides = sum(any(s in {"F", "Cl", "Br", "I"} for s in f.composition.as_dict()) for f in found)
    assert halides < 10, "what is like the labelled is left out"
    again = distant_crystals(20, labelled, "rock-salt", np.random.default_rng(0))
    assert [s.formula for s in again] == [s.formula for s in found]


def test_replay_is_of_elements_that_the_first_weights_know(caplog):
    few = frozenset(("K", "Mg", "Na", "F", "Cl"))
    found = distant_crystals(30, ["KMgF3"], "perovskite", np.random.default_rng(0), elements=few)
    assert len(found) == 30
    assert {site.specie.symbol for structure in found for site in structure} <= few
    assert not caplog.records
    none = distant_crystals(
        30, ["KMgF3"], "perovskite", np.random.default_rng(0), elements=frozenset(("K", "Mg"))
    )
    assert none == []
    (record,) = caplog.records
    assert record.getMessage().startswith("only 0 of 30 random crystals")
