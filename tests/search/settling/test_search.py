"""Designs at a minimum, by a settling whose outcome is known in closed form."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Structure

from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.relaxation import Settled, SettleSettings
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.settings import AT_REST
from smoacs.search.settling import rounds as rounds_module
from smoacs.search.settling.shifts import Outlook

SPACE = ("K", "Rb", "Na", "Mg", "Ca", "Zn", "Sr", "Cd", "F", "Cl", "Br")
SHRINKS = {"K": 0.9, "Rb": 0.84, "Na": 0.78}
"""By which settling scales the volume; the band gap goes the other way."""


class Springs:
    """Rest at a volume that the elements add up to; a gap that falls with the volume."""

    properties = {"formation_energy": "eV/atom", "band_gap": "eV"}  # noqa: RUF012
    cutoff = 0.0
    elements = frozenset(SPACE)

    def __call__(self, crystals, neighbors):
        del neighbors
        volumes = (8.0 + 0.37 * torch.arange(1, 99)).to(crystals.cell)
        site = crystals.species_probs @ volumes
        rest = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
        strain = torch.log(crystals.volume / rest)
        energy = 0.25 * rest * strain**2 / crystals.counts - 1.0
        return {"formation_energy": energy, "band_gap": 400 / crystals.volume}


PREDICTOR = CombinedPredictor([Springs(), ToleranceFactor()])


def end_of(parent):
    """Where a crystal settles; with zinc and bromine it falls to pieces."""
    symbols = {site.specie.symbol for site in parent}
    (a_site,) = symbols & set(SHRINKS)
    if {"Zn", "Br"} <= symbols:
        return None
    lattice = parent.lattice.scale(parent.volume * SHRINKS[a_site])
    return Structure(lattice, parent.species, parent.frac_coords)


def settle(structures, predictor=None, *, seed=None, progress=None, **_):
    del predictor, seed
    found = []
    for structure in structures:
        end = end_of(structure)
        found.append(
            Settled(
                structure=end,
                energy=-1.1 if end else float("nan"),
                parent_energy=-1.0,
                lowest_frequency=0.0 if end else float("nan"),
                parent_frequency=-2.0,
                parent_space_group=221,
                space_group=62 if end else 0,
                converged=end is not None,
                failure="" if end else "falls to pieces when it is let go",
            )
        )
    if progress is not None:
        progress(len(found), len(found))
    return found


@pytest.fixture(autouse=True)
def known_settling(monkeypatch):
    monkeypatch.setattr(rounds_module, "settle", settle)
    monkeypatch.setattr(rounds_module, "same_connectivity", lambda *_: True)


def config(**settings):
    wanted = {"targets": ("band_gap = 6 ± 0.2",), "device": "cpu", "search": "exhaustive"}
    return DesignConfig(**{**wanted, "rest": "minimum", "n": 12, **settings})


def few(**settings):
    """Little is let go at a time, and not much at all."""
    small = {"round": 4, "smallest": 4, "least": 4, **settings}
    return replace(AT_REST, settling=replace(AT_REST.settling, **small))


def searched(settings=None, keeper=None, progress=None, **asked):
    return run_search(
        config(**asked),
        predictor=PREDICTOR,
        settings=settings or few(),
        keeper=keeper,
        progress=progress,
    )


def test_targets_are_met_where_crystals_end():
    result = searched()
    assert result.config.rest == "minimum"
    assert sum(result.met) == 12
    for structure, parent, met in zip(result.structures, result.parents, result.met, strict=True):
        if met:
            assert 5.8 <= 400 / structure.volume <= 6.2
            assert structure.volume < 0.95 * parent.volume
    formulas = [s.composition.reduced_formula for s in result.structures]
    assert len(set(formulas)) == len(formulas)
    assert result.search["met_at_minimum"] >= 12
    assert "12 designs asked for" in result.search["note"]


def test_what_was_learnt_finds_more_than_the_order_of_the_parents(monkeypatch):
    budget = few(budget=2)
    learnt = searched(budget)
    assert learnt.search["let_go"] <= 24

    def as_they_are(self, features):
        return np.zeros((len(features), len(self._names))), np.full(len(self._names), 0.05)

    monkeypatch.setattr(Outlook, "shifts", as_they_are)
    by_parents = searched(budget)
    assert learnt.search["met_at_minimum"] > 1.5 * by_parents.search["met_at_minimum"]


def test_a_crystal_that_cannot_be_let_go_keeps_its_row_and_the_reason():
    result = searched(few(budget=20), targets=("band_gap > 3",), n=200)
    failed = [k for k, item in enumerate(result.settled) if item.structure is None]
    assert failed
    for k in failed:
        assert result.settled[k].failure == "falls to pieces when it is let go"
        assert result.structures[k] == result.parents[k]
        assert not result.met[k]
    assert result.search["settling_failed"] == len(failed)
    assert "there are no others" in result.search["note"]


def test_the_budget_ends_it_and_is_told():
    result = searched(few(budget=1, least=5), n=5, targets=("band_gap = 7 ± 0.1",))
    assert result.search["let_go"] == 5
    assert "as many as 5 designs are worth" in result.search["note"]


def test_extremes_are_those_at_the_minimum():
    result = searched(few(budget=4), targets=("maximize band_gap",), n=4)
    gaps = [400 / s.volume for s, met in zip(result.structures, result.met, strict=True) if met]
    best = sorted(400 / end.volume for p in result.parents if (end := end_of(p)) is not None)
    assert sorted(gaps) == pytest.approx(best[-4:])
    assert gaps == sorted(gaps, reverse=True)


def test_those_who_watch_are_told():
    events = []
    searched(progress=events.append)
    told = [event for event in events if event.stage == "settling"]
    assert told
    assert all(event.step <= event.n_steps == 48 for event in told)


class Tape:
    """Keeps every state as a file would, and may ask for an end at one of them."""

    due = True

    def __init__(self, state=None, stop_after=None):
        self._state, self._stop_after = state, stop_after
        self.states = []

    @property
    def stop_asked(self):
        return self._stop_after is not None and len(self.states) >= self._stop_after

    def last(self):
        return self._state

    def keep(self, state):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        self.states.append(torch.load(file, weights_only=True))


def assert_same(one, other):
    assert len(one.structures) == len(other.structures)
    for mine, theirs in zip(
        [*one.structures, *one.parents], [*other.structures, *other.parents], strict=True
    ):
        assert mine.species == theirs.species
        np.testing.assert_array_equal(mine.lattice.matrix, theirs.lattice.matrix)
        np.testing.assert_array_equal(mine.frac_coords, theirs.frac_coords)
    assert (one.met, one.losses, one.search) == (other.met, other.losses, other.search)
    assert [s.failure for s in one.settled] == [s.failure for s in other.settled]
    assert one.history.equals(other.history)


@pytest.mark.parametrize("search", ["exhaustive", "gradient"])
def test_going_on_from_any_state_gives_the_same(search):
    asked = {"search": search, "n": 6, "steps": 30, "targets": ("band_gap = 6 ± 0.2",)}
    small = few(searched=0, wave_steps=5)
    tape = Tape()
    whole = searched(small, tape, **asked)
    assert_same(whole, searched(small, **asked))
    settling = [k for k, state in enumerate(tape.states) if state["settling"]["rows"]]
    assert settling
    if search == "gradient":
        assert max(state["settling"]["wave"] for state in tape.states) > 0
    chosen = {len(tape.states) // 3, settling[len(settling) // 2], settling[-1]}
    for k in sorted(chosen):
        assert_same(whole, searched(small, Tape(tape.states[k]), **asked))


def test_an_end_asked_for_between_two_rounds_keeps_what_there_is():
    tape = Tape()
    whole = searched(keeper=tape)
    first = next(k for k, state in enumerate(tape.states) if state["settling"]["rows"])
    stopping = Tape(stop_after=first)
    part = searched(keeper=stopping)
    assert part.interrupted
    assert any(item.failure == "it was not let go" for item in part.settled)
    assert_same(whole, searched(keeper=Tape(stopping.states[-1])))


def test_later_waves_aim_where_settling_leads_to_the_targets(monkeypatch):
    asked = []
    real = DesignConfig.model_copy

    def spy(self, *, update=None, deep=False):
        if update and "targets" in update and "seed" in update:
            asked.append(update["targets"])
        return real(self, update=update, deep=deep)

    monkeypatch.setattr(DesignConfig, "model_copy", spy)
    result = searched(few(searched=0, wave_steps=5), search="gradient", n=6, steps=40)
    assert len(asked) > 1
    assert asked[0][0].low == pytest.approx(5.8)
    assert asked[1][0].high < 6  # everything shrinks, and so the gap rises
    assert result.search["met_at_minimum"] == sum(result.met)


def test_large_cells_are_let_go_once_and_without_a_look_at_vibrations(monkeypatch):
    asked = []

    def noted(structures, predictor=None, *, settings, **more):
        asked.append((settings, {len(structure) for structure in structures}))
        return settle(structures, predictor, **more)

    monkeypatch.setattr(rounds_module, "settle", noted)
    small = SettleSettings()
    rounds = searched(n=2).search
    assert rounds["let_go"]
    assert {settings for settings, _ in asked} == {small}
    monkeypatch.setattr(rounds_module, "LARGE", 4)
    asked.clear()
    searched(n=2)
    assert {settings for settings, _ in asked} == {rounds_module.BY_REST}
    assert (rounds_module.BY_REST.starts, rounds_module.BY_REST.follow) == (1, 0)
