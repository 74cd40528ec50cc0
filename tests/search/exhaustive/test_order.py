"""The way through a space: everything once, what is promising first."""

from dataclasses import replace

import numpy as np
import pytest

from smoacs.request import DesignConfig
from smoacs.search.exhaustive.order import Course, Promise
from smoacs.search.exhaustive.survey import survey
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


def begun(space, n, **settings):
    course = Course(space, **{"seed": 0, "at_once": 70, **settings})
    while len(course) < n:
        course.take(course.next_round(None, np.zeros(len(course), dtype=bool)))
    return course


def promise_of(space, course):
    return Promise(space.parts(course.rows), shortfalls(space, course.rows))


def none_met(course):
    return np.zeros(len(course), dtype=bool)


@pytest.mark.parametrize("block", [37, 10_000])
def test_everything_comes_once(space, block, monkeypatch):
    monkeypatch.setattr("smoacs.search.exhaustive.order.BLOCK", block)
    course = begun(space, 100)
    promise = promise_of(space, course)
    while not course.is_done:
        course.take(course.next_round(promise, none_met(course)))
    assert sorted(course.rows) == list(range(len(space)))


def test_the_seed_decides_what_comes_first(space):
    first, again, other = (set(begun(space, 70, seed=seed).rows) for seed in (0, 0, 1))
    assert first == again != other


def test_what_is_promising_comes_first(space):
    course = begun(space, 100)
    left = np.setdiff1d(np.arange(len(space)), course.rows)
    good = set(left[shortfalls(space, left)[:, 0] < 0])
    chosen = course.next_round(promise_of(space, course), none_met(course))
    assert len(good) < len(chosen) < len(left) / 2
    assert len(good & set(chosen)) > 0.9 * len(good)
    assert not set(chosen) & set(course.rows)


def test_formulas_that_succeed_already_come_last(space, monkeypatch):
    monkeypatch.setattr("smoacs.search.exhaustive.order.FIRST", 10)
    monkeypatch.setattr("smoacs.search.exhaustive.order.ROUND", 150)
    some = space.elements[:100]
    mirrored = np.concatenate([some, some[:, [1, 0, 2, 3, 4]]])
    twice = replace(space, elements=mirrored, combination=np.tile(space.combination[:100], 2))
    course = Course(twice, seed=0, at_once=150)
    course.take(np.arange(50))
    chosen = course.next_round(promise_of(twice, course), np.ones(50, dtype=bool))
    assert set(chosen[-50:]) == set(range(100, 150))


def test_hope_is_of_what_is_left_and_new(space, monkeypatch):
    course = begun(space, 100)
    promise, met = promise_of(space, course), none_met(course)
    left = np.setdiff1d(np.arange(len(space)), course.rows)
    good = (shortfalls(space, left) < 0).sum()
    assert 0.5 * good < course.hope(promise, met) < 2 * good
    assert course.hope(None, met) == np.inf
    course.take(left)
    assert course.hope(promise, none_met(course)) == 0
    monkeypatch.setattr("smoacs.search.exhaustive.order.BLOCK", 100)
    blocks = begun(space, 100)
    assert blocks.hope(promise_of(space, blocks), none_met(blocks)) == np.inf


def test_rounds_are_no_longer_than_what_is_missing_or_paid_for(space):
    course = begun(space, 100)
    promise, met = promise_of(space, course), none_met(course)
    whole = course.next_round(promise, met)
    assert len(whole) == 64
    few = course.next_round(promise, met, missing=3)
    assert 3 <= len(few) <= 16
    assert few.tolist() == whole[: len(few)].tolist()
    assert course.next_round(promise, met, most=7).tolist() == whole[:7].tolist()
    assert course.n_distinct(met) == 0
    assert 0 < course.n_distinct(~met) <= 100
