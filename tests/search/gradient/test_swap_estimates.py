"""What swaps do to properties, estimated from slopes and from swaps that were tried."""

import pytest
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.swap_estimates import SwapEstimates
from smoacs.targets import Targets
from smoacs.templates import perovskite
from toys import Stack

N = 8
ROWS = torch.arange(N)
TEMPLATE = perovskite().with_elements()


def started():
    space = DesignSpace.from_templates([TEMPLATE] * N)
    generator = torch.Generator().manual_seed(0)
    candidates = Candidates.start(space, generator, score_noise=1.0, combination_noise=1.0)
    candidates.harden()
    return candidates


def with_other_anions(candidates):
    """The last element that is allowed on the first X site of each candidate, in place."""
    allowed = candidates.allowed().view(N, 5, -1)
    elements = candidates.rows.clone()
    elements[:, 2] = torch.stack([torch.nonzero(a).flatten()[-1] for a in allowed[:, 2]])
    candidates.decorate(ROWS, elements)


@pytest.mark.parametrize("at_rest", [False, True])
def test_estimates_of_linear_properties_are_exact(at_rest):
    predictor = CombinedPredictor([Stack(), ToleranceFactor()])
    candidates, targets = started(), Targets.of(["toy = 0.2 ± 0.05"])
    with Evaluator(predictor, targets.properties) as evaluator:
        objective = Objective(evaluator, targets, at_rest=at_rest)
        estimates = SwapEstimates(candidates, targets.properties)

        def evaluated():
            return objective(candidates.hard(), lambda t, v: t.loss(v, inner=0.3), ROWS)

        before = evaluated()
        slopes = objective.chemistry_slopes(candidates.hard())
        estimates.update(candidates, ROWS, values=before.values, slopes=slopes)
        with_other_anions(candidates)
        swapped = candidates.rows
        after = evaluated()
        change = estimates.single(ROWS)["toy"][ROWS, 2, swapped[:, 2]][:, None]
        losses = estimates.losses(objective, ROWS, {"toy": change}, inner=0.3)
    found = after.values["toy"] - before.values["toy"]
    assert change.flatten().tolist() == pytest.approx(found.tolist(), abs=1e-5)
    assert losses.flatten().tolist() == pytest.approx(after.loss.tolist(), abs=1e-4)


def test_radii_count():
    """The tolerance factor knows of elements by their radii alone; their change is small here."""
    candidates, targets = started(), Targets.of(["0.8 <= tolerance_factor <= 1"])
    with Evaluator(ToleranceFactor(), targets.properties) as evaluator:
        objective = Objective(evaluator, targets)
        estimates = SwapEstimates(candidates, targets.properties)
        before = evaluator.values(candidates.hard()).values
        slopes = objective.chemistry_slopes(candidates.hard())
        estimates.update(candidates, ROWS, values=before, slopes=slopes)
        with_other_anions(candidates)
        after = evaluator.values(candidates.hard()).values
    name = "tolerance_factor"
    change = estimates.single(ROWS)[name][ROWS, 2, candidates.rows[:, 2]]
    found = after[name] - before[name]
    moved = found.abs() > 1e-3
    assert moved.sum() > 2
    assert (torch.sign(change) == torch.sign(found))[moved].all()
    assert float((change / found)[moved].median()) == pytest.approx(1.0, abs=0.4)


def test_factor_is_learnt_from_what_swaps_did():
    estimates = SwapEstimates(started(), ["band_gap"])
    estimates.values["band_gap"][:] = 1.0
    assert estimates.factor("band_gap") == 1
    estimates._changes["band_gap"][:] = 0.4
    for _ in range(60):
        for row in range(N):
            estimates.expect(row, {0: 5})
        estimates.learn(ROWS, {"band_gap": torch.full((N,), 1.0 + 3 * 0.4)})
    assert estimates.factor("band_gap") == pytest.approx(3, rel=0.1)


def test_what_was_never_found_teaches_nothing():
    estimates = SwapEstimates(started(), ["band_gap"])
    estimates._changes["band_gap"][:] = 0.4
    for row in range(N):
        estimates.expect(row, {0: 5})
    estimates.learn(ROWS, {"band_gap": torch.full((N,), torch.nan)})
    assert estimates.factor("band_gap") == 1


def test_spreads_are_taken_to_stay():
    estimates = SwapEstimates(started(), ["toy", "toy.std"])
    assert list(estimates.single(ROWS)) == ["toy"]
    assert list(estimates.values) == ["toy", "toy.std"]


def test_copies_know_what_their_source_knows():
    estimates = SwapEstimates(started(), ["toy"])
    estimates.values["toy"][:] = torch.arange(float(N))
    estimates._changes["toy"][3] = 0.5
    estimates.copy(torch.tensor([0, 1]), torch.tensor([3, 3]))
    assert estimates.values["toy"].tolist()[:4] == [3.0, 3.0, 2.0, 3.0]
    assert (estimates.single(torch.tensor([0]))["toy"] == 0.5).all()
