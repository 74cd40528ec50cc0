"""Rounds of learning against a truth that differs from the weights by a rule of the elements."""

import dataclasses
import itertools
import json
import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

import smoacs
from learning.conftest import GAPS, TRUE_GAPS, ToyOracle, save_toy_weights
from smoacs.chemistry import ELEMENTS
from smoacs.cli import run as command_line
from smoacs.dft import DftSettings, read_labels
from smoacs.errors import InputError, MissingExtraError
from smoacs.judging import evaluate_structures
from smoacs.learning import LearnSettings, api, run_learning
from smoacs.predictors import load_predictor
from smoacs.predictors.weights.storage import read_weights
from smoacs.targets import Target
from smoacs.training.config import TrainConfig
from smoacs.training.displaced.crystals import row_structure
from smoacs.training.sources import load_table

SETTINGS = LearnSettings(rounds=3, per_round=6, epochs=25, learning_rate=0.1)
SHORT = dataclasses.replace(SETTINGS, rounds=1, per_round=4, epochs=1)


@pytest.fixture(scope="module")
def events():
    return []


@pytest.fixture(scope="module")
def oracle():
    return ToyOracle()


@pytest.fixture(scope="module")
def learned(config, oracle, events, tmp_path_factory):
    out = tmp_path_factory.mktemp("learning") / "toy"
    return run_learning(config, out, SETTINGS, oracle=oracle, progress=events.append)


def test_the_confirmed_share_rises(learned):
    shares = learned.rounds["confirmed_share"].tolist()
    assert shares[0] <= 0.2
    assert shares == sorted(shares)
    assert shares[-1] >= 0.8
    errors = learned.rounds["gap_mae"]
    assert errors.iloc[-1] < 0.5
    assert errors.iloc[0] > 1.0
    assert learned.stopped == "all 3 rounds are done"


def test_nothing_is_labelled_twice(learned, oracle):
    assert len(oracle.calculated) == 18
    assert len(set(oracle.calculated)) == 18
    designs = [pd.read_csv(learned.path / f"round_{k}/designs.csv") for k in range(3)]
    for table in designs:
        counts = table["chosen_for"].value_counts()
        assert counts.to_dict() == {"best": 2, "uncertain": 2, "different": 2}
    assert sum(len(table) for table in designs) == 18
    assert len(read_labels(learned.path / "labels.jsonl")) == 18


def test_every_round_keeps_its_data_weights_designs_and_numbers(learned):
    for k in range(3):
        here = learned.path / f"round_{k}"
        run = smoacs.read_run(here / "run")
        assert run.config.seed == 3 + k
        designs = pd.read_csv(here / "designs.csv", dtype={"id": str})
        predicted = run.table.set_index("id").loc[designs["id"], "band_gap"]
        assert designs["band_gap"].to_numpy() == pytest.approx(predicted.to_numpy())
        right = (designs["dft_band_gap"] - 5.0).abs() <= 0.5
        assert designs["confirmed"].tolist() == right.tolist()
        numbers = json.loads((here / "round.json").read_text())
        assert numbers["confirmed"] == right.sum()
        best = designs["chosen_for"] == "best"
        assert numbers["best_share"] == pytest.approx(right[best].mean())
        assert numbers["explored_share"] == pytest.approx(right[~best].mean())
        assert 0 <= numbers["known_share"] <= 1
        assert numbers["core_hours"] == pytest.approx(0.06)
        assert numbers["median_pressure"] == 2.0
        assert numbers["low_pressure_share"] == 1.0
    table = pd.read_csv(learned.path / "rounds.csv")
    assert table["total_core_hours"].tolist() == pytest.approx([0.06, 0.12, 0.18])
    last = (learned.path / "round_2" / "weights.safetensors").read_bytes()
    assert learned.weights.read_bytes() == last


def test_the_labelled_set_can_be_trained_on(learned):
    path = learned.path / "labelled.parquet"
    rows = pd.read_parquet(path)
    assert len(rows) == 18
    assert rows["material_id"].is_unique
    for row in rows.itertuples():
        expected = np.mean([TRUE_GAPS[s.specie.symbol] for s in row_structure(row)])
        assert row.band_gap == pytest.approx(expected)
        assert row.forces.reshape(-1, 3)[:, :2] == pytest.approx(np.zeros((5, 2)), abs=1e-6)
        assert row.stress.reshape(3, 3) == pytest.approx(-2.0 * np.eye(3))
    relaxed = learned.path / "relaxed.parquet"
    rows.assign(kind="relaxed").to_parquet(relaxed)
    config = TrainConfig(
        name="x",
        out=learned.path / "x.safetensors",
        data=(str(relaxed),),
        properties=("band_gap",),
        epochs=1,
    )
    table = load_table(config)
    relaxed.unlink()
    assert len(table) == 18


def test_what_the_weights_say_besides_the_gap_is_not_forgotten(learned, weights):
    rows = pd.read_parquet(learned.path / "labelled.parquet")
    structures = [row_structure(row) for row in rows.itertuples()]
    before = evaluate_structures(structures, load_predictor(str(weights), "cpu"))
    after = evaluate_structures(structures, load_predictor(str(learned.weights), "cpu"))
    drift = np.abs(after["formation_energy"] - before["formation_energy"])
    assert drift.max() < 0.2
    assert np.abs(after["band_gap"] - rows["band_gap"]).mean() < 0.4
    old, new = (read_weights(path)[0] for path in (weights, learned.weights))
    assert torch.equal(old.embedding, new.embedding), "the trunk is frozen"
    _, header, formulas = read_weights(learned.weights)
    assert set(header.elements) == set(ELEMENTS[:83])
    assert header.training_data == ("made up", "designs labelled while learning: 18 by PBE, toy 1")
    assert header.metrics == {}
    assert len(formulas) == 18


def test_the_first_weights_gap_holds_on_crystals_unlike_the_designs(learned):
    table = pd.read_parquet(learned.path / "round_2/training/data.parquet")
    train = table[table["split"] == "train"]
    labelled = set(pd.read_parquet(learned.path / "labelled.parquet")["formula"])
    held = train[train["band_gap"].notna() & ~train["formula"].isin(labelled)]
    assert len(held) == 100
    assert set(held["formation_energy"].notna()) == {True}


def test_progress_is_told(learned, events):
    stages = [stage for stage, _ in itertools.groupby(event.stage for event in events)]
    assert stages == ["design", "label", "train", "done"] * 3
    labels = [event for event in events if event.stage == "label" and event.round == 1]
    assert [event.labelled for event in labels] == list(range(1, 7))
    assert {event.wanted for event in labels} == {6}
    assert labels[0].seconds_left > 0
    last = events[-1]
    assert last.confirmed == learned.rounds["confirmed"].iloc[-1]


def test_the_same_call_again_does_nothing(learned, config):
    oracle = ToyOracle()
    again = run_learning(config, learned.path, SETTINGS, oracle=oracle)
    assert oracle.calculated == []
    pd.testing.assert_frame_equal(again.rounds, learned.rounds)
    other = dataclasses.replace(SETTINGS, per_round=7)
    with pytest.raises(InputError, match="with other 'per_round'; choose another folder"):
        run_learning(config, learned.path, other, oracle=oracle)
    moved = config.model_copy(update={"n": 25})
    with pytest.raises(InputError, match="with other settings of the design"):
        run_learning(moved, learned.path, SETTINGS, oracle=oracle)


def test_kill_9_at_any_moment(config, tmp_path, learned):
    """Killed while it designs, labels, learns: in the end as if nothing had happened."""
    out, log = tmp_path / "killed", tmp_path / "log.txt"
    log.touch()
    slow = ToyOracle()
    slow.log, slow.delay = log, 0.05
    settings = dataclasses.replace(SETTINGS, rounds=2)
    moments = (
        lambda: list(out.glob("round_0/.run.partial/config.toml")),
        lambda: len(log.read_text().split()) >= 2,
        lambda: len(log.read_text().split()) >= 4,
        lambda: list(out.glob("round_0/training/member0.pt")),
        lambda: len(log.read_text().split()) >= 8,
        lambda: list(out.glob("round_1/training/member1.pt*")),
    )
    for moment in moments:
        child = os.fork()
        if child == 0:
            try:
                run_learning(config, out, settings, oracle=slow)
            finally:
                os._exit(0)
        deadline = time.monotonic() + 120
        while not moment() and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    ended = run_learning(config, out, settings, oracle=slow)
    keys = log.read_text().split()
    assert len(keys) == len(set(keys)), "nothing is calculated twice"
    assert len(read_labels(out / "labels.jsonl")) == 12
    for k in range(2):
        names = [folder / f"round_{k}/designs.csv" for folder in (out, learned.path)]
        assert names[0].read_text() == names[1].read_text()
    expected = learned.rounds["confirmed_share"].tolist()[:2]
    assert ended.rounds["confirmed_share"].tolist() == expected


def test_a_budget_ends_the_labels_but_what_there_is_is_learnt_from(config, tmp_path):
    oracle = ToyOracle(seconds=3600.0)
    settings = dataclasses.replace(SHORT, rounds=3, core_hours=2.5)
    learned = run_learning(config, tmp_path / "budget", settings, oracle=oracle)
    assert len(oracle.calculated) == 3
    assert learned.stopped == "the budget of 2.5 core hours is spent"
    assert learned.rounds["labelled"].tolist() == [3]
    assert learned.rounds["total_core_hours"].tolist() == [3.0]
    assert learned.weights is not None


def test_failures_confirm_nothing_and_are_no_labels(config, tmp_path):
    oracle = ToyOracle(fails=tuple(GAPS))
    out = tmp_path / "failing"
    learned = run_learning(config, out, SHORT, oracle=oracle)
    assert learned.rounds["failed"].tolist() == [4]
    assert learned.rounds["confirmed_share"].tolist() == [0.0]
    assert learned.weights is None
    assert pd.read_parquet(out / "labelled.parquet").empty
    assert set(pd.read_csv(out / "round_0/designs.csv")["dft_status"]) == {"not self-consistent"}


def test_the_users_data_are_learnt_again(config, weights, learned, tmp_path):
    rows = pd.read_parquet(learned.path / "labelled.parquet").drop(columns=["forces", "stress"])
    rows = rows.assign(
        kind="relaxed", formation_energy=-1.0, split=["train"] * 12 + ["val"] * 3 + ["test"] * 3
    )
    rows.to_parquet(tmp_path / "old.parquet")
    settings = dataclasses.replace(SHORT, data=tmp_path / "old.parquet")
    ended = run_learning(config, tmp_path / "replay", settings, oracle=ToyOracle())
    table = pd.read_parquet(tmp_path / "replay/round_0/training/data.parquet")
    assert table["split"].value_counts().to_dict() == {"train": 12 + 4, "val": 3}
    old, new = (read_weights(path)[0] for path in (weights, ended.weights))
    assert not torch.equal(old.embedding, new.embedding), "the trunk learns, too"


def test_mistakes(config, tmp_path, monkeypatch):
    out = tmp_path / "never"
    no_gap = config.model_copy(update={"targets": (Target.parse("formation_energy < -0.5"),)})
    with pytest.raises(InputError, match=r"add one such as 'band_gap = 2\.5 ± 0\.2'"):
        run_learning(no_gap, out, SHORT, oracle=ToyOracle())
    blind = save_toy_weights(tmp_path / "blind.safetensors", properties=("formation_energy",))
    blind_config = config.model_copy(update={"predictor": str(blind)})
    with pytest.raises(InputError, match="predict no band_gap"):
        run_learning(blind_config, out, SHORT, oracle=ToyOracle())
    chgnet = config.model_copy(update={"predictor": "chgnet"})
    with pytest.raises(InputError, match="'chgnet' cannot be trained here"):
        run_learning(chgnet, out, SHORT, oracle=ToyOracle())
    with pytest.raises(InputError, match="no DFT engine 'abinit'"):
        run_learning(config, out, dataclasses.replace(SHORT, dft="abinit"))
    lost = dataclasses.replace(SHORT, data=tmp_path / "lost.parquet")
    with pytest.raises(InputError, match=r"cannot read training data .*lost\.parquet"):
        run_learning(config, out, lost, oracle=ToyOracle())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(InputError, match="full holds something else"):
        run_learning(config, tmp_path / "full", SHORT, oracle=ToyOracle())
    monkeypatch.setattr(api.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gpaw>="):
        run_learning(config, out, SHORT)
    assert not out.exists()


def test_on_the_command_line(config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.toml").write_text(config.to_toml(), encoding="utf-8")
    monkeypatch.setattr(api, "engine_oracle", lambda _: ToyOracle(GAPS))
    options = ["--rounds", "1", "--per-round", "4", "--epochs", "1"]
    assert command_line(["learn", "toy.toml", *options]) == 0
    printed = capsys.readouterr()
    assert "round 1 of 1: 4 of 4 labelled, 100% confirmed, 0 s left" in printed.err
    assert "all 1 rounds are done; all of it is in" in printed.out
    assert "smoacs design toy.toml --predictor" in printed.out
    assert (tmp_path / "toy-learned" / "round_0" / "round.json").is_file()
    assert command_line(["learn", "toy.toml", *options, "--tolerance", "0"]) == 2
    assert "tolerance is 0.0; it is a number above 0" in capsys.readouterr().err


def test_settings_of_the_physics_are_part_of_the_learning(learned, config):
    finer = dataclasses.replace(SETTINGS, dft_settings=DftSettings(cutoff=600.0))
    with pytest.raises(InputError, match="with other 'dft_settings'"):
        run_learning(config, learned.path, finer, oracle=ToyOracle())
