"""Conservative designs aim at the worse end of what a value may be."""

import pytest
import torch

from smoacs.crystals import Crystals
from smoacs.errors import InputError
from smoacs.evaluation import Evaluator
from smoacs.request import DesignConfig
from smoacs.search.api import run_search
from smoacs.search.gradient.objective import Objective
from smoacs.targets import Targets
from toys import Bowl, random_structures


class DoubtfulBowl(Bowl):
    """Less sure of long cells."""

    def __init__(self):
        super().__init__()
        self.properties = {"toy": "1", "toy.std": "1"}

    def __call__(self, crystals, neighbors):
        out = super().__call__(crystals, neighbors)
        return out | {"toy.std": 0.05 * crystals.cell.norm(dim=2).mean(1)}


def evaluate(conservative, text):
    targets = Targets.of([text], conservative)
    crystals = Crystals.from_structures(random_structures(3, (2, 3, 4)))
    predictor = DoubtfulBowl()
    with Evaluator(predictor, targets.to_predict(predictor.properties)) as evaluator:
        objective = Objective(evaluator, targets)
        slopes = objective(crystals, lambda t, v: t.loss(v))
    return objective, crystals, slopes, predictor(crystals, None)


def test_loss_and_verdict_take_the_worse_end():
    objective, _, slopes, out = evaluate(2.0, "toy < 0.6")
    (target,) = objective.targets
    worse = out["toy"] + 2.0 * out["toy.std"]
    torch.testing.assert_close(slopes.loss, target.loss(worse))
    torch.testing.assert_close(slopes.values["toy"], out["toy"])
    margins = objective.targets.margins(slopes.values)
    torch.testing.assert_close(margins["toy"], 2.0 * out["toy.std"])
    assert objective.met(slopes).tolist() == target.met(worse).tolist()


def test_gradient_pulls_on_the_spread_too():
    _, crystals, slopes, _ = evaluate(1.0, "toy < -5")
    cell = crystals.cell.clone().requires_grad_()
    out = DoubtfulBowl()(crystals.replace(cell=cell), None)
    (expected,) = torch.autograd.grad((out["toy"] + out["toy.std"]).sum(), cell)
    torch.testing.assert_close(slopes.cell_grad, expected)


def test_nothing_changes_at_zero():
    objective, _, slopes, out = evaluate(0.0, "toy < 0.6")
    assert list(slopes.values) == ["toy"]
    assert objective.targets.margins(out) == {}
    torch.testing.assert_close(slopes.loss, objective.targets[0].loss(out["toy"]))


def test_a_search_is_conservative():
    config = DesignConfig(targets=("toy < 0.45",), n=4, steps=6, conservative=1.0)
    result = run_search(config, predictor=DoubtfulBowl())
    assert len(result.structures) == 4
    assert DesignConfig.from_mapping(config.model_dump()) == config


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_wrong_settings(value):
    with pytest.raises(InputError, match="conservative"):
        DesignConfig(targets=("toy < 1",), conservative=value)


def test_a_predictor_without_spread_is_refused():
    config = DesignConfig(targets=("toy < 1",), n=2, steps=2, conservative=1.0)
    with pytest.raises(InputError, match="no spread for toy"):
        run_search(config, predictor=Bowl())
