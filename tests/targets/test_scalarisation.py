"""Spreading along a front, against the true front of a toy."""

import numpy as np
import pytest
import torch

from smoacs.errors import InputError
from smoacs.request import DesignConfig
from smoacs.runs import run_design
from smoacs.runs.tables import rank_table
from smoacs.search import run_search
from smoacs.targets import Targets
from smoacs.targets.front import hypervolume
from smoacs.targets.scalarisation import Front, draw_weights, front_of
from toys import Conflict

TARGETS = ("minimize price", "minimize weight")


def config(**settings):
    return DesignConfig(**{"targets": TARGETS, "n": 24, "steps": 80, "device": "cpu", **settings})


def test_weights_fill_the_simplex():
    weights = draw_weights(512, 3, seed=1)
    assert weights.sum(1).tolist() == pytest.approx([1.0] * 512)
    assert (weights >= 0).all()
    assert weights.mean(0).tolist() == pytest.approx([1 / 3] * 3, abs=0.01)
    assert float((weights[:, 0] < 0.5).float().mean()) == pytest.approx(0.75, abs=0.01)  # 1 - ½²
    assert torch.equal(weights, draw_weights(512, 3, seed=1))
    assert not torch.equal(weights, draw_weights(512, 3, seed=2))


def test_every_point_of_a_concave_front_is_the_best_of_some_weights():
    angles = torch.linspace(0, torch.pi / 2, 21)
    costs = torch.stack([angles.sin(), angles.cos()], 1)  # bulges away from the origin
    front = Front(Targets.of(TARGETS), draw_weights(400, 2, seed=0))
    front.observe({"price": costs[:, 0], "weight": costs[:, 1]})
    chosen = {
        int(front.loss(costs, torch.full((21,), candidate)).argmin()) for candidate in range(400)
    }
    assert len(chosen) >= 17
    sums = {int((costs * w).sum(1).argmin()) for w in draw_weights(400, 2, seed=0)}
    assert sums == {0, 20}  # what a weighted sum finds: the ends


def test_only_targets_in_conflict_have_a_front():
    cpu = torch.device("cpu")
    assert front_of(Targets.of(["minimize price", "weight < 1"]), 4, 0, cpu) is None
    assert front_of(Targets.of(TARGETS), 4, 0, cpu) is not None


def test_a_frozen_front_no_longer_learns():
    front = Front(Targets.of(TARGETS), draw_weights(3, 2, seed=0))
    front.observe({"price": torch.tensor([0.0, 1.0]), "weight": torch.tensor([0.0, 2.0])})
    costs, candidates = torch.tensor([[0.5, 0.5]] * 3), torch.arange(3)
    before = front.loss(costs, candidates)
    front.freeze()
    front.observe({"price": torch.tensor([-9.0]), "weight": torch.tensor([9.0])})
    assert torch.equal(front.loss(costs, candidates), before)


def test_candidates_cover_the_front_better_than_with_one_weighting():
    toy = Conflict()
    every = run_search(config(search="exhaustive", n=1), predictor=toy).decorations
    costs = every[["price", "weight"]].to_numpy()
    reference = costs.max(0)
    shares = {}
    for pareto in (True, False):
        run = run_design(config(pareto=pareto, n=24, steps=80), predictor=toy)
        found = run.table[["price", "weight"]].to_numpy()
        shares[pareto] = hypervolume(found, reference) / hypervolume(costs, reference)
    assert shares[True] >= 0.9
    assert shares[True] > shares[False] + 0.1


def test_the_front_is_ranked_first():
    table = run_design(config(), predictor=Conflict()).table
    ranked = rank_table(table, config().wanted)
    assert (np.diff(ranked["pareto"]) >= 0).all()
    assert ranked["pareto"].iloc[0] == 0


def test_a_front_needs_two_ends():
    with pytest.raises(InputError, match=r"pareto = true needs at least two targets .* not 1"):
        config(targets=("minimize price", "weight < 1"), pareto=True)


def test_other_targets_bound_the_front():
    run = run_design(config(targets=(*TARGETS, "price < 0.6"), n=16), predictor=Conflict())
    good = run.table[run.table["success"]]
    assert len(good) >= 8
    assert (good["price"] < 0.6).all()
    assert (run.table.loc[~run.table["success"], "pareto"] == -1).all()
