"""What follows from weights is worked out once, and again whenever they have changed."""

import copy

import pytest
import torch

from smoacs.predictors.network.derived import Derived


@pytest.fixture
def doubled():
    """A function with the sums that it was called with."""
    calls = []

    def double(x):
        calls.append(float(x.sum()))
        return 2 * x

    return Derived(double), calls


def test_worked_out_once(doubled):
    function, calls = doubled
    weight = torch.ones(3)
    assert function(weight) is function(weight)
    assert calls == [3.0]


@pytest.mark.parametrize("change", ["in place", "data", "another"])
def test_worked_out_again_after_a_change(doubled, change):
    function, calls = doubled
    weight = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    function(weight)
    if change == "in place":
        weight += 1
    elif change == "data":
        weight.data = torch.full((3,), 2.0)
    else:
        weight = torch.full((3,), 2.0)
    assert function(weight).tolist() == [4.0] * 3
    assert calls == [3.0, 6.0]


def test_a_copy_follows_its_own_weights(doubled):
    function, _ = doubled
    weight = torch.ones(3)
    function(weight)
    other, its_own = copy.deepcopy((weight, function))
    weight += 1
    assert its_own(other).tolist() == [2.0] * 3
    assert function(weight).tolist() == [4.0] * 3


def test_what_was_found_without_gradients_serves_with_them(doubled):
    function, _ = doubled
    weight = torch.ones(3)
    with torch.inference_mode():
        function(weight)
    x = torch.ones(3, requires_grad=True)
    (x * function(weight)).sum().backward()
    assert x.grad.tolist() == [2.0] * 3


def test_weights_made_in_inference_mode(doubled):
    function, _ = doubled
    with torch.inference_mode():
        weight = torch.ones(3)
    assert function(weight).tolist() == [2.0] * 3
