"""Targets together, and against values that may be off."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smoacs.errors import InputError
from smoacs.targets import Target, Targets

NUMBER = st.floats(-5, 5)
TARGETS = (
    "band_gap = 2.5 ± 0.2",
    "band_gap > 1",
    "band_gap < 1",
    "maximize band_gap",
    "minimize band_gap",
)


@pytest.mark.parametrize("text", TARGETS)
@given(value=NUMBER, margin=st.floats(0, 3))
def test_met_only_if_all_that_the_value_may_be_meets_it(text, value, margin):
    target = Target.parse(text)
    possible = torch.tensor(np.linspace(value - margin, value + margin, 41))
    values, margins = torch.tensor([value]).double(), torch.tensor([margin]).double()
    if bool(target.against(margins).met(values)):
        assert target.met(possible[1:-1]).all()
    if target.met(possible).all():
        nearly = margins * 0.999
        assert target.against(nearly).met(values)


@pytest.mark.parametrize("text", TARGETS)
@given(value=NUMBER, margin=st.floats(0, 3), inner=st.sampled_from([0.0, 0.3, 1.0]))
def test_loss_is_that_of_the_worse_end(text, value, margin, inner):
    target = Target.parse(text)
    values, margins = torch.tensor([value]).double(), torch.tensor([margin]).double()
    ends = torch.stack([values - margins, values + margins]).flatten()
    expected = target.loss(ends, inner=inner).max()
    found = target.against(margins).loss(values, inner=inner)
    torch.testing.assert_close(found[0], expected)
    paper = target.against(margins).paper_loss(values)
    torch.testing.assert_close(paper[0], target.paper_loss(ends).max())


@pytest.mark.parametrize("text", TARGETS)
def test_a_margin_of_nothing_changes_nothing(text):
    target = Target.parse(text)
    values = torch.linspace(-3, 5, 50)
    cautious = target.against(torch.zeros(50))
    assert torch.equal(cautious.met(values), target.met(values))
    torch.testing.assert_close(cautious.loss(values, inner=0.5), target.loss(values, inner=0.5))
    torch.testing.assert_close(cautious.paper_loss(values), target.paper_loss(values))
    assert str(cautious) == text.replace("band_gap = 2.5 ± 0.2", "2.3 <= band_gap <= 2.7")


def test_too_wide_a_margin_pulls_on_the_margin():
    target = Target.parse("band_gap = 2.5 ± 0.2")
    margin = torch.tensor([0.5], requires_grad=True)
    value = torch.tensor([2.4], requires_grad=True)
    target.against(margin).loss(value).sum().backward()
    assert float(margin.grad) > 0
    assert float(value.grad) < 0


def test_what_is_not_finite_is_never_met():
    target = Target.parse("band_gap > 1")
    margins = torch.tensor([torch.nan, torch.inf, 0.1])
    assert target.against(margins).met(torch.tensor([5.0, 5.0, torch.nan])).tolist() == [False] * 3


WINDOW = "band_gap = 2.5 ± 0.2"
MODULUS = "bulk_modulus > 100"


def found(gaps, moduli=None, **more):
    values = {"band_gap": torch.tensor(gaps)}
    values["bulk_modulus"] = torch.tensor([150.0] * len(gaps) if moduli is None else moduli)
    return values | {name.replace("_std", ".std"): torch.tensor(x) for name, x in more.items()}


def test_a_spread_is_asked_for():
    targets = Targets.of(["band_gap > 1"], 1.0)
    targets.check({"band_gap", "band_gap.std"})
    with pytest.raises(InputError, match="no spread for band_gap"):
        targets.check({"band_gap"})
    Targets.of(["band_gap > 1"]).check({"band_gap"})


def test_a_property_that_is_not_known_is_refused():
    with pytest.raises(InputError, match=r'unknown property "band_gip".*did you mean "band_gap"'):
        Targets.of(["band_gip > 1"]).check({"band_gap"})


def test_targets_are_a_sequence_of_what_was_given():
    first = Target.parse(WINDOW)
    targets = Targets.of([first, "band_gap < 3", "maximize density", MODULUS])
    assert len(targets) == 4
    assert targets[0] is first
    assert targets[1:3] == (Target.parse("band_gap < 3"), Target.parse("maximize density"))
    assert list(targets) == list(targets.each)
    assert targets.properties == ("band_gap", "density", "bulk_modulus")
    assert targets.extremes == (Target.parse("maximize density"),)
    assert targets.n_bounds == 4
    assert targets == Targets.of([WINDOW, "band_gap < 3", "maximize density", MODULUS])
    assert targets != Targets(targets.each, 1.0)
    with pytest.raises(InputError, match="nonsense"):
        Targets.of(["nonsense"])


def test_spreads_are_wanted_only_by_the_cautious():
    known = {"band_gap", "band_gap.std", "density", "bulk_modulus"}
    each = ["maximize density", WINDOW, "density < 9"]
    assert Targets.of(each).to_predict(known) == ["density", "band_gap"]
    assert Targets.of(each, 1.0).to_predict(known) == ["density", "band_gap", "band_gap.std"]


def test_all_must_be_met_and_losses_come_one_by_one():
    targets = Targets.of([WINDOW, MODULUS])
    values = found([2.5, 2.5, 9.0, 2.5], [150.0, 50.0, 150.0, torch.nan])
    assert targets.met(values).tolist() == [True, False, False, False]
    losses = targets.losses(values, lambda t, v: t.loss(v))
    for target, loss in zip(targets, losses, strict=True):
        torch.testing.assert_close(loss, target.loss(values[target.property]), equal_nan=True)


def test_the_verdict_is_on_what_users_see():
    targets = Targets.of(["0 <= band_gap <= 1", "bulk_modulus > 100"])
    loss, met = targets.verdict(found([-0.1, 0.5, 3.0, torch.nan]))
    assert met.tolist() == [True, True, False, False]  # no gap is below 0
    assert loss.tolist()[:2] == [0.0, 0.0]
    assert loss[2] > 0
    assert loss[3] == torch.inf


def test_the_cautious_count_the_spread_on_the_worse_side():
    targets = Targets.of([WINDOW, MODULUS], 2.0)
    values = found([2.5, 2.5], band_gap_std=[0.05, 0.3])
    assert targets.met(values).tolist() == [True, False]
    assert set(targets.margins(values)) == {"band_gap"}
    torch.testing.assert_close(targets.margins(values)["band_gap"], torch.tensor([0.1, 0.6]))
    assert Targets(targets.each).met(values).tolist() == [True, True]
    shortfalls = targets.shortfalls(values)
    torch.testing.assert_close(
        shortfalls, torch.tensor([[-0.1, -0.1, -50.0], [0.4, 0.4, -50.0]]), rtol=1e-4, atol=1e-5
    )


def test_shortfalls_are_distances_to_the_bounds():
    targets = Targets.of([WINDOW, MODULUS])
    found_ones = targets.shortfalls(found([2.0, 2.5, 3.0], [90.0, 100.0, 110.0]))
    expected = [[0.3, -0.7, 10.0], [-0.2, -0.2, 0.0], [-0.7, 0.3, -10.0]]
    torch.testing.assert_close(found_ones, torch.tensor(expected))


def test_extremes_have_no_bounds():
    targets = Targets.of(["maximize band_gap"])
    assert targets.n_bounds == 0
    assert targets.shortfalls(found([0.0, 9.0])).shape == (2, 0)
