"""What settling will do is learnt from what it did."""

import numpy as np
import pytest
from scipy.stats import norm

from smoacs.search.settling.reach import moved_against, reach_of, within_reach
from smoacs.search.settling.shifts import LEAST, Outlook, Ridge, Settlings, _log_between
from smoacs.targets import Targets

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(40, 60))


def outlook(targets, n, shift=lambda row: 0.5 * row[0], holds=lambda row: row[1] < 1):
    known = FEATURES[:n]
    shifts = {"band_gap": np.array([shift(row) for row in known])}
    kept = np.array([holds(row) for row in known], dtype=bool)
    return Outlook(Targets.of(targets), Settlings(known, shifts, kept), ("band_gap",))


def test_a_line_is_found_through_fewer_crystals_than_features():
    line = np.array([3.0, -2.0, 0.5])
    features = np.column_stack([RNG.normal(size=(30, 3)), np.zeros((30, 40))])
    values = (features[:, :3] @ line + 1)[:, None]
    ridge = Ridge(features[:20], values[:20])
    np.testing.assert_allclose(ridge(features[20:]), values[20:], atol=0.1)
    assert ridge.errors[0] < 0.1


def test_the_error_is_that_of_what_is_left_out():
    noise = RNG.normal(size=(40, 1))
    assert Ridge(FEATURES, noise).errors[0] == pytest.approx(noise.std(), rel=0.3)


def test_before_anything_has_settled_the_usual_change_is_expected():
    before = outlook(["band_gap > 0"], LEAST - 1)
    change, widths = before.shifts(FEATURES)
    assert (change == reach_of("band_gap").mean).all()
    assert widths.tolist() == [reach_of("band_gap").width]


def test_a_chance_is_the_normal_probability_between_the_bounds():
    before = outlook(["band_gap = 2.5 ± 0.2"], 0)
    values = {"band_gap": np.array([1.9, 5.0])}
    usual = reach_of("band_gap")
    ends = (np.array([[2.3], [2.7]]) - values["band_gap"] - usual.mean) / usual.width
    expected = np.diff(norm.cdf(ends), axis=0)[0]
    np.testing.assert_allclose(np.exp(before.chances(FEATURES[:2], values)), expected)


def test_logarithms_of_chances_are_exact_in_both_tails():
    low, high = np.array([10.0, -11.0, -np.inf, -0.1]), np.array([11.0, -10.0, np.inf, 0.1])
    found = _log_between(low, high)
    assert found[0] == pytest.approx(found[1])
    assert found[0] == pytest.approx(norm.logsf(10.0), rel=1e-4)
    assert found[2] == 0
    assert found[3] == pytest.approx(np.log(norm.cdf(0.1) - norm.cdf(-0.1)))


def test_what_does_not_move_decides_at_once():
    fixed = outlook(["band_gap > 0", "0.8 <= tolerance_factor <= 1.0"], 0)
    values = {"band_gap": np.ones(2), "tolerance_factor": np.array([0.9, 1.1])}
    chances = fixed.chances(FEATURES[:2], values)
    assert chances[0] > np.log(0.9)
    assert chances[1] < -1e10


def test_what_falls_to_pieces_is_learnt():
    learnt = outlook(
        ["band_gap > -9"], 40, shift=lambda row: 0 * row[0], holds=lambda row: row[0] < 0
    )
    good, bad = FEATURES[:, 0] < -1, FEATURES[:, 0] > 1
    chances = learnt.chances(FEATURES, {"band_gap": np.zeros(40)})
    assert chances[good].mean() > chances[bad].mean() + 0.5


def test_targets_open_where_settling_may_bring_a_value():
    asked = Targets.of(["band_gap = 2.5 ± 0.2", "energy_above_hull < 0.05", "tolerance_factor < 1"])
    wide = within_reach(asked, ("band_gap", "energy_above_hull"))
    assert [(t.low, t.high) for t in wide] == [
        (pytest.approx(-0.3), pytest.approx(3.1)),
        (-np.inf, pytest.approx(0.15)),
        (-np.inf, 1),
    ]


def test_a_wave_aims_where_settling_leads_to_the_targets():
    moved = moved_against(Targets.of(["band_gap = 2.5 ± 0.2"]), {"band_gap": 0.7})
    assert (moved[0].low, moved[0].high) == (pytest.approx(1.6), pytest.approx(2.0))
