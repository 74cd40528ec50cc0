"""The way through a space: everything once, what is promising first."""

from dataclasses import replace

import numpy as np
import pytest

from smoacs.request import DesignConfig
from smoacs.search.exhaustive.acquisition import Acquisition, SuccessProbability
from smoacs.search.exhaustive.survey import survey
from smoacs.search.settings import ExhaustiveSettings
from smoacs.targets import Target
from toys import Bowl

ELEMENTS = ("K", "Na", "Rb", "Cs", "Mg", "Ca", "Zn", "Cd", "F", "Cl", "Br", "I")


@pytest.fixture(scope="module")
def space():
    wanted = DesignConfig(targets=("toy < 1",), elements=ELEMENTS, device="cpu")
    template = wanted.resolved_template()
    return survey(template, [Target.parse("toy < 1")], Bowl())


def shortfalls(space, rows):
    """A bound that light decorations meet."""
    return (space.elements[rows].sum(axis=1, dtype=float) - 95)[:, None]


SETTINGS = ExhaustiveSettings(atoms_together=350)
"""70 perovskites at once."""


def candidates_at(space, n, seed=0):
    acquisition = Acquisition(space, SETTINGS, seed=seed)
    assert acquisition.at_once == 70
    while len(acquisition) < n:
        acquisition.take(acquisition.next_round(None, np.zeros(len(acquisition), dtype=bool)))
    return acquisition


def probability_of(space, acquisition):
    return SuccessProbability(space.parts(acquisition.rows), shortfalls(space, acquisition.rows))


def none_met(acquisition):
    return np.zeros(len(acquisition), dtype=bool)


@pytest.mark.parametrize("block", [37, 10_000])
def test_everything_comes_once(space, block, monkeypatch):
    monkeypatch.setattr("smoacs.search.exhaustive.acquisition.BLOCK", block)
    acquisition = candidates_at(space, 100)
    probability = probability_of(space, acquisition)
    while not acquisition.is_done:
        acquisition.take(acquisition.next_round(probability, none_met(acquisition)))
    assert sorted(acquisition.rows) == list(range(len(space)))


def test_the_seed_decides_what_comes_first(space):
    first, again, other = (set(candidates_at(space, 70, seed=seed).rows) for seed in (0, 0, 1))
    assert first == again != other


def test_what_is_promising_comes_first(space):
    acquisition = candidates_at(space, 100)
    left = np.setdiff1d(np.arange(len(space)), acquisition.rows)
    good = set(left[shortfalls(space, left)[:, 0] < 0])
    chosen = acquisition.next_round(probability_of(space, acquisition), none_met(acquisition))
    assert len(good) < len(chosen) < len(left) / 2
    assert len(good & set(chosen)) > 0.9 * len(good)
    assert not set(chosen) & set(acquisition.rows)


def test_formulas_that_succeed_already_come_last(space):
    settings = ExhaustiveSettings(first=10, round=150, atoms_together=750)
    some = space.elements[:100]
    mirrored = np.concatenate([some, some[:, [1, 0, 2, 3, 4]]])
    twice = replace(space, elements=mirrored, combination=np.tile(space.combination[:100], 2))
    acquisition = Acquisition(twice, settings, seed=0)
    acquisition.take(np.arange(50))
    chosen = acquisition.next_round(probability_of(twice, acquisition), np.ones(50, dtype=bool))
    assert set(chosen[-50:]) == set(range(100, 150))


def test_successes_are_expected_of_what_is_left_and_new(space, monkeypatch):
    acquisition = candidates_at(space, 100)
    probability, met = probability_of(space, acquisition), none_met(acquisition)
    left = np.setdiff1d(np.arange(len(space)), acquisition.rows)
    good = (shortfalls(space, left) < 0).sum()
    assert 0.5 * good < acquisition.expected_successes(probability, met) < 2 * good
    assert acquisition.expected_successes(None, met) == np.inf
    acquisition.take(left)
    assert acquisition.expected_successes(probability, none_met(acquisition)) == 0
    monkeypatch.setattr("smoacs.search.exhaustive.acquisition.BLOCK", 100)
    blocks = candidates_at(space, 100)
    assert blocks.expected_successes(probability_of(space, blocks), none_met(blocks)) == np.inf


def test_rounds_are_no_longer_than_what_is_missing_or_paid_for(space):
    acquisition = candidates_at(space, 100)
    probability, met = probability_of(space, acquisition), none_met(acquisition)
    whole = acquisition.next_round(probability, met)
    assert len(whole) == 64
    few = acquisition.next_round(probability, met, missing=3)
    assert 3 <= len(few) <= 16
    assert few.tolist() == whole[: len(few)].tolist()
    assert acquisition.next_round(probability, met, most=7).tolist() == whole[:7].tolist()
    assert acquisition.n_distinct(met) == 0
    assert 0 < acquisition.n_distinct(~met) <= 100
