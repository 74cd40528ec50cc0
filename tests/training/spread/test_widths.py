"""Intervals that fail for a kind of chemistry are widened until they cover it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from smoacs.chemistry import ELEMENTS
from smoacs.training.spread.widths import Measured, coverage, widening_of

NETWORK = SimpleNamespace(properties=("band_gap",), read_out=())


def measured(seed, n=600, pnictide_error=3.0, semiconductors=30):
    """Oxides whose intervals are right, nitrides whose errors are larger, and half-Heuslers."""
    rng = np.random.default_rng(seed)
    shares = np.zeros((2 * n + semiconductors, len(ELEMENTS)))
    for rows, formula in (
        (slice(0, n), {"Ca": 0.5, "O": 0.5}),
        (slice(n, 2 * n), {"Ga": 0.5, "N": 0.5}),
        (slice(2 * n, None), {"Ti": 1 / 3, "Ni": 1 / 3, "Sn": 1 / 3}),
    ):
        for symbol, share in formula.items():
            shares[rows, ELEMENTS.index(symbol)] = share
    std = np.full(len(shares), 0.1)
    error = rng.normal(0, 0.1, len(shares))
    error[n : 2 * n] *= pnictide_error
    labels = np.full(len(shares), 2.0)
    labels[2 * n :], std[2 * n :] = 0.5, 0.02
    error[2 * n :] = -0.5  # taken for metals
    return Measured((labels + error)[:, None], std[:, None], labels[:, None], shares)


def widened(rule, sample):
    std = rule.apply(torch.tensor(sample.std), torch.tensor(sample.shares), NETWORK.properties)
    return Measured(sample.values, std.numpy(), sample.labels, sample.shares)


def test_kinds_that_fail_are_covered_on_other_crystals():
    rule = widening_of(NETWORK, measured(1), measured(2))
    assert rule.factors["band_gap"]["pnictides"] == pytest.approx(3.0, rel=0.15)
    assert rule.factors["band_gap"].get("oxides", 1.0) < 1.1
    test = measured(3)
    before = coverage(NETWORK, test)["band_gap"]
    after = coverage(NETWORK, widened(rule, test))["band_gap"]
    assert before["pnictides"][1] < 0.6
    assert after["pnictides"][1] == pytest.approx(0.9, abs=0.05)
    assert before["filled bands with a gap"] == (30, 0.0)
    assert after["filled bands with a gap"][1] > 0.8
    assert after["oxides"] == pytest.approx(before["oxides"], abs=0.03)


def test_few_crystals_say_nothing():
    few = measured(1, n=40, semiconductors=3)
    rule = widening_of(NETWORK, few, measured(2, n=1, semiconductors=3))
    assert rule.factors == {}
    assert rule.filled_bands == {}


def test_what_is_read_out_is_left_alone():
    read_out = SimpleNamespace(properties=("band_gap",), read_out=("band_gap",))
    assert widening_of(read_out, measured(1), measured(2)).factors == {}
