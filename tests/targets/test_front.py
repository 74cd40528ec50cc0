"""Fronts and hypervolumes, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smoacs.targets.front import front_ranks, hypervolume

points = st.integers(1, 3).flatmap(
    lambda m: arrays(float, st.tuples(st.integers(1, 12), st.just(m)), elements=st.integers(0, 4))
)


def dominates(a, b):
    return (a <= b).all() and (a < b).any()


@given(points)
def test_rank_is_the_longest_chain_of_points_that_dominate(costs):
    ranks = front_ranks(costs)
    for i, rank in enumerate(ranks):
        above = [ranks[j] for j in range(len(costs)) if dominates(costs[j], costs[i])]
        assert rank == (max(above) + 1 if above else 0)


def test_what_is_not_finite_has_no_rank():
    costs = np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, np.inf], [2.0, 2.0]])
    assert front_ranks(costs).tolist() == [0, -1, -1, 1]
    assert front_ranks(costs, most=1).tolist() == [0, -1, -1, -1]
    assert front_ranks(np.zeros((0, 2))).tolist() == []


@given(points)
def test_hypervolume_counts_the_unit_cubes_that_are_dominated(costs):
    m = costs.shape[1]
    cubes = np.stack(np.meshgrid(*[np.arange(5)] * m, indexing="ij"), -1).reshape(-1, m)
    covered = (cubes[:, None] >= costs[None]).all(2).any(1).sum()
    assert hypervolume(costs, np.full(m, 5.0)) == pytest.approx(covered)


def test_points_beyond_the_reference_count_nothing():
    assert hypervolume(np.array([[1.0, 9.0]]), np.array([2.0, 2.0])) == 0
    assert hypervolume(np.zeros((0, 2)), np.array([2.0, 2.0])) == 0
