import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from smoacs.errors import InputError
from smoacs.targets import Target, check_spreads

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


def test_spread_is_asked_for():
    targets = [Target.parse("band_gap > 1")]
    check_spreads(targets, {"band_gap", "band_gap.std"})
    with pytest.raises(InputError, match="no spread for band_gap"):
        check_spreads(targets, {"band_gap"})
