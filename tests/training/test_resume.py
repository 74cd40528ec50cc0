"""Checkpoints: what a broken fit goes on to, early stopping, budgets."""

import json
import time

import numpy as np
import pytest
import torch

from smoacs.errors import InputError, ResourceError, SmoacsError
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.training.checkpoint import load_state, save_state
from smoacs.training.data import build_dataset
from smoacs.training.fitting.fit import FitSettings, fit
from smoacs.training.fitting.loss import LOSS_TERMS
from smoacs.training.start import start_from_composition

SIZES = NetworkSettings(
    cutoff=3.5, channels=8, moment_channels=4, hidden=8, layers=1, radial=6, moment_radial=4
)
SETTINGS = FitSettings(epochs=6, batch_size=8, validations=4, ema=0.9)


@pytest.fixture
def data(rows, properties):
    return build_dataset(rows, properties, SIZES.cutoff)


@pytest.fixture
def run(data, properties, tmp_path):
    """Fits a network from scratch; with `stop` the fit breaks off after that many steps."""
    terms = [LOSS_TERMS[name] for name in properties]

    def fit_once(name="member", settings=SETTINGS, stop=None, validation=data):
        torch.manual_seed(0)
        network = Network(SIZES, properties)
        start_from_composition(network, data, terms)
        steps = []

        def on_progress(progress):
            steps.append(progress)
            if len(steps) == stop:
                raise KeyboardInterrupt

        errors = fit(
            network,
            data,
            validation,
            terms=terms,
            settings=settings,
            checkpoint=tmp_path / f"{name}.pt",
            on_progress=on_progress,
        )
        return network, errors, steps

    return fit_once


def test_broken_fit_ends_in_the_same_weights(run, tmp_path):
    whole, errors, steps = run("whole")
    assert steps[-1] == 1
    for stop in (8, 5):  # between validations; in the middle of an epoch
        with pytest.raises(KeyboardInterrupt):
            run("broken", stop=stop)
    done = load_state(tmp_path / "broken.pt")["step"]
    assert 0 < done < len(steps)
    again, errors_again, rest = run("broken")
    assert len(rest) == len(steps) - done
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    clock = {"seconds"}
    assert {k: v for k, v in errors.items() if k not in clock} == {
        k: v for k, v in errors_again.items() if k not in clock
    }
    lines = [json.loads(x) for x in (tmp_path / "broken.log").read_text().splitlines()]
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
    assert len(lines) == SETTINGS.validations
    # A finished fit has nothing more to do.
    finished, _, rest = run("broken")
    assert rest == []
    assert torch.equal(finished.element_shift, whole.element_shift)


def test_checkpoints_between_validations(run, tmp_path):
    often = FitSettings(epochs=6, batch_size=8, validations=1, ema=0.9, checkpoint_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        run("often", often, stop=5)
    assert load_state(tmp_path / "often.pt")["step"] >= 4
    rarely = FitSettings(epochs=6, batch_size=8, validations=1, ema=0.9)
    expected, _, _ = run("whole", rarely)
    found, _, _ = run("often", often)
    assert torch.equal(found.element_shift, expected.element_shift)


def test_early_stop_returns_the_best_weights(run, data, tmp_path):
    # Validation labels far off: every step in the training's direction makes it worse.
    wrong = type(data)(**{**vars(data), "labels": data.labels - 100.0})
    patient = FitSettings(
        epochs=40, batch_size=8, validations=40, patience=2, ema=0.5, learning_rate=1e-2
    )
    network, _, steps = run("early", patient, validation=wrong)
    state = load_state(tmp_path / "early.pt")
    assert state["stale"] == 2
    assert steps[-1] < 0.9
    assert torch.equal(network.element_shift, state["best"]["element_shift"])
    _, _, rest = run("early", patient, validation=wrong)
    assert rest == []


def test_time_budget_counts_all_sittings(run, tmp_path):
    settings = FitSettings(seconds=1.0, batch_size=8, validations=3)
    with pytest.raises(KeyboardInterrupt):
        run("timed", settings, stop=3)
    begin = time.monotonic()
    _, _, steps = run("timed", settings)
    assert steps[-1] >= 1
    assert time.monotonic() - begin < 5
    first = load_state(tmp_path / "timed.pt")["seconds"]
    state = load_state(tmp_path / "timed.pt")
    state["seconds"] = 0.9
    state["marks"] = 0
    save_state(tmp_path / "timed.pt", state)
    begin = time.monotonic()
    run("timed", settings)
    assert time.monotonic() - begin < 0.8
    assert first >= 1


def test_a_frozen_trunk_stays(run, data, properties):
    torch.manual_seed(0)
    before = Network(SIZES, properties)
    frozen, _, _ = run("frozen", FitSettings(epochs=2, batch_size=8, trunk_rate=0.0))
    assert torch.equal(frozen.embedding, before.embedding)
    assert torch.equal(frozen.interactions[0].send.weight, before.interactions[0].send.weight)
    assert not torch.equal(frozen.site_head.first.weight, before.site_head.first.weight)


def test_slower_trunk(run, properties):
    torch.manual_seed(0)
    before = Network(SIZES, properties).embedding
    fast, _, _ = run("fast", FitSettings(epochs=2, batch_size=8, trunk_rate=1.0))
    slow, _, _ = run("slow", FitSettings(epochs=2, batch_size=8, trunk_rate=0.1))
    assert (slow.embedding - before).norm() < 0.3 * (fast.embedding - before).norm()


def test_data_that_break_the_gradient_end_the_fit(run, data, properties, tmp_path):
    broken = type(data)(**{**vars(data), "cells": np.full_like(data.cells, np.nan)})
    network = Network(SIZES, properties)
    with pytest.raises(SmoacsError, match=r"no finite gradient since step \d+: try a smaller"):
        fit(
            network,
            broken,
            data,
            terms=[LOSS_TERMS[name] for name in properties],
            settings=FitSettings(epochs=30, batch_size=8),
            checkpoint=tmp_path / "broken.pt",
        )


def test_damaged_checkpoint_is_named(run, tmp_path):
    (tmp_path / "member.pt").write_bytes(b"half of a checkpoint")
    with pytest.raises(InputError, match=r"checkpoint .*member\.pt is damaged"):
        run()


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    save_state(path, {"step": 1})

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ResourceError, match="disk is full"):
        save_state(path, {"step": 2})
    assert load_state(path) == {"step": 1}
