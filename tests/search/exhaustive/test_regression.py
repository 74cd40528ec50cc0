"""Guessed geometries: what adds up over sites and pairs of sites is learnt."""

import numpy as np
import pytest

from smoacs.search.exhaustive import regression
from smoacs.search.exhaustive.regression import (
    NOISE,
    Regression,
    RestGuess,
    _likeness,
)


def some_decorations(n, seed):
    return np.random.default_rng(seed).integers(0, 6, size=(n, 4))


def true_geometry(parts):
    sites = np.sin(1.0 + parts) @ np.array([0.0, 0.2, 0.1, 0.05])
    pairs = 0.02 * (parts[:, 1] == parts[:, 2])
    return np.stack([sites + pairs, 2 - sites], axis=1)


def test_what_sites_and_pairs_add_up_to_is_learnt():
    known, others = some_decorations(600, 0), some_decorations(200, 1)
    guess = RestGuess(known, true_geometry(known))
    truth = true_geometry(others)
    assert np.abs(guess(others) - truth).mean() < 0.1 * truth.std(axis=0).mean()


def test_guesses_stay_within_what_was_seen():
    known = some_decorations(50, 0)
    geometry = true_geometry(known)
    far = np.full((3, 4), 77)  # nothing in common with any
    guess = RestGuess(known, geometry)(np.concatenate([far, known]))
    assert (guess >= geometry.min(axis=0)).all()
    assert (guess <= geometry.max(axis=0)).all()
    assert np.abs(guess[:3] - geometry.mean(axis=0)).max() < 0.05


def test_a_single_decoration_teaches_its_own_geometry():
    parts, geometry = some_decorations(1, 0), np.array([[1.5, -0.25]])
    assert RestGuess(parts, geometry)(some_decorations(5, 1)) == pytest.approx(
        np.repeat(geometry, 5, axis=0)
    )


def test_errors_are_those_of_decorations_left_out():
    parts = some_decorations(60, 0)
    values = true_geometry(parts)
    values -= values.mean(axis=0)
    covariance = _likeness(parts, parts).astype(float)
    missed = []
    for k in range(len(parts)):
        others = np.arange(len(parts)) != k
        known = covariance[np.ix_(others, others)] + NOISE * np.eye(59)
        missed.append(values[k] - covariance[k, others] @ np.linalg.solve(known, values[others]))
    expected = np.sqrt(np.square(missed).mean(axis=0))
    assert Regression(parts, values).errors == pytest.approx(expected, rel=1e-3)


def test_guesses_need_no_inverse(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("an inverse takes ten times as long as a factor")

    monkeypatch.setattr(np.linalg, "inv", refuse)
    monkeypatch.setattr(regression, "spotri", refuse)
    known = some_decorations(600, 0)
    geometry = true_geometry(known)
    covariance = _likeness(known, known).astype(float)
    weights = np.linalg.solve(covariance + NOISE * np.eye(600), geometry - geometry.mean(axis=0))
    expected = geometry.mean(axis=0) + covariance @ weights
    np.testing.assert_allclose(Regression(known, geometry)(known), expected, atol=1e-5)


def test_kindred_elements_are_alike():
    potassium, rubidium, iron, fluorine = 18, 36, 25, 8
    parts = np.array([[0, element] for element in (potassium, rubidium, iron, fluorine)])
    alike = _likeness(parts, parts)
    np.testing.assert_allclose(np.diag(alike), 1.0)
    np.testing.assert_allclose(alike, alike.T)
    assert alike[0, 1] > alike[0, 2] > alike[0, 3] > 0.4
    apart = parts.copy()
    apart[:, 0] = 1
    assert (_likeness(parts, apart) < alike).all()
