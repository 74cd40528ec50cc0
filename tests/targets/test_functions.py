"""A user's function as a target: it is optimised, judged, saved, and refused where it cannot be."""

import numpy as np
import pytest
import torch

import smoacs
from smoacs.crystals import Crystals, neighbor_list
from smoacs.errors import InputError
from smoacs.evaluation import evaluate
from smoacs.predictors.functions import FunctionPredictor, FunctionProperty
from smoacs.request import DesignConfig
from smoacs.targets.functions import with_functions
from toys import Conflict, random_structures


def ratio(values):
    return values["price"] / (0.1 + values["weight"])


def mean_number(crystals, neighbors):
    del neighbors
    site = crystals.species_probs @ torch.arange(1, 99).to(crystals.cell)
    total = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, site)
    return total / crystals.counts


def run(*targets, **settings):
    wanted = {"n": 8, "steps": 40, "device": "cpu", "predictor": Conflict()}
    return smoacs.design(targets=targets, **{**wanted, **settings})


def test_a_function_of_predicted_values_is_met():
    found = run(smoacs.FunctionTarget("ratio", ratio, low=0.6, high=1.6))
    table = found.table
    assert table["ratio"].to_numpy() == pytest.approx(
        (table["price"] / (0.1 + table["weight"])).to_numpy(), rel=1e-5
    )
    assert table["success"].any()
    assert (table["ratio_met"] == table["ratio"].between(0.6, 1.6)).all()


def test_a_function_of_crystals_is_pursued():
    found = run(smoacs.FunctionTarget("mean_number", mean_number, direction=-1), "price < 10")
    numbers = np.array([np.mean(s.atomic_numbers) for s in found.structures])
    assert found.table["mean_number"].to_numpy() == pytest.approx(numbers)
    assert np.median(numbers) < 16


def test_two_functions_and_the_exhaustive_search():
    found = run(
        smoacs.FunctionTarget("ratio", ratio, high=0.5),
        smoacs.FunctionTarget("mean_number", mean_number, high=20),
        search="exhaustive",
        n=5,
    )
    assert found.table["success"].all()
    assert "mean_number" in found.result.decorations


def test_a_file_names_the_function_and_cannot_run_it(tmp_path):
    target = smoacs.FunctionTarget("ratio", ratio, low=0.9, high=1.1, weight=2.0)
    assert str(target) == "0.9 <= ratio <= 1.1 weight 2"
    run(target, steps=2).save(tmp_path / "run")
    config = DesignConfig.from_toml(tmp_path / "run" / "config.toml")
    assert config.functions == ("ratio",)
    with pytest.raises(InputError, match=r"smoacs\.FunctionTarget\('ratio', \.\.\.\)"):
        smoacs.run_design(config, predictor=Conflict())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": lambda: 1, "low": 0.0}, "must take the predicted values"),
        ({"function": ratio, "name": "my score", "low": 0.0}, "is no name"),
        ({"function": ratio}, "needs either a bound, or a direction"),
        ({"function": ratio, "low": 2.0, "high": 1.0}, "not below the high end"),
    ],
)
def test_what_is_no_target_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        smoacs.FunctionTarget(**{"name": "score", **arguments})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda values: values["price"].sum(), "a number for each of the 8 crystals"),
        (lambda values: 1.0 * len(values), "it gave float"),
        (lambda values: values["price"].detach(), "has no gradient"),
    ],
)
def test_what_a_function_must_give(function, message):
    with pytest.raises(InputError, match=message):
        run(smoacs.FunctionTarget("score", function, direction=1))


def test_names_do_not_clash():
    with pytest.raises(InputError, match="'price' has the name of a property"):
        run(smoacs.FunctionTarget("price", ratio, low=0.0))
    pair = [
        smoacs.FunctionTarget("score", ratio, low=0.0),
        smoacs.FunctionTarget("score", mean_number, high=3.0),
    ]
    with pytest.raises(InputError, match="two functions have the name 'score'"):
        run(*pair)


def test_neighbours_reach_as_far_as_the_function_asks():
    function = FunctionProperty(mean_number, cutoff=7.5)
    assert FunctionPredictor(Conflict(), {"mean_number": function}).cutoff == 7.5


class Doubtful:
    """Predicts a band gap, slightly below 0 for some crystals, with a spread."""

    cutoff = 0.0
    elements = Conflict.elements

    def __init__(self):
        self.sure = Conflict()
        doubtful = {"band_gap": "eV", "band_gap.std": "eV", "weight.std": "1"}
        self.properties = self.sure.properties | doubtful

    def __call__(self, crystals, neighbors):
        out = self.sure(crystals, neighbors)
        gap = out["price"] - 0.5
        return out | {
            "band_gap": gap,
            "band_gap.std": 0.1 + 0 * gap,
            "weight.std": 0.2 * out["weight"],
        }


def gap_over_weight(values):
    return values["band_gap"] / (1 + values["weight"])


def test_a_function_gets_what_users_see_and_still_pulls():
    predictor = with_functions(
        Doubtful(), [smoacs.FunctionTarget("score", lambda v: 2 * v["band_gap"], low=1.0)]
    )
    crystals = Crystals.from_structures(random_structures(5, (2, 3, 4, 2, 3)))
    raw = Doubtful()(crystals, neighbor_list(crystals, 0.0))["band_gap"]
    assert (raw < 0).any()
    assert (raw > 0).any()
    seen = evaluate(predictor, crystals)
    np.testing.assert_allclose(seen["score"], 2 * seen["band_gap"])
    probs = crystals.species_probs.clone().requires_grad_()
    out = predictor(crystals.replace(species_probs=probs), neighbor_list(crystals, 0.0))
    torch.testing.assert_close(out["score"], 2 * raw.clamp(min=0))
    (slope,) = torch.autograd.grad(out["score"].sum(), probs, retain_graph=True)
    (expected,) = torch.autograd.grad(2 * out["band_gap"].sum(), probs)
    torch.testing.assert_close(slope, expected)
    assert slope.abs().max() > 1e-3


def test_a_function_of_doubtful_values_is_doubtful():
    table = run(
        smoacs.FunctionTarget("score", gap_over_weight, low=0.05),
        smoacs.FunctionTarget("mean_number", mean_number, high=90.0),
        predictor=Doubtful(),
        conservative=1.0,
        steps=4,
    ).table
    gap, weight = table["band_gap"], table["weight"]
    gap_part = 0.1 / (1 + weight)
    weight_part = gap / (1 + weight) ** 2 * 0.2 * weight
    assert table["score.std"].to_numpy() == pytest.approx(
        np.hypot(gap_part, weight_part).to_numpy(), rel=1e-4
    )
    assert (table["score_met"] == (table["score"] - table["score.std"] >= 0.05)).all()
    assert "mean_number.std" not in table


def test_the_spread_of_a_function_pulls_too():
    predictor = with_functions(
        Doubtful(), [smoacs.FunctionTarget("score", gap_over_weight, low=1.0)]
    )
    (structure,) = random_structures(2, (3,))
    crystals = Crystals.from_structures([structure])
    none = neighbor_list(crystals, 0.0)

    def spread(probs):
        return predictor(crystals.replace(species_probs=probs), none)["score.std"]

    probs = crystals.species_probs.clone().requires_grad_()
    assert torch.autograd.gradcheck(spread, (probs,))
    (slope,) = torch.autograd.grad(spread(probs).sum(), probs)
    assert slope.abs().max() > 1e-3


def test_a_function_of_sure_values_only_has_no_spread():
    table = run(smoacs.FunctionTarget("cost", lambda v: v["price"] ** 2, low=0.0), steps=2).table
    assert "cost.std" not in table
    table = run(
        smoacs.FunctionTarget("cost", lambda v: v["price"] ** 2, low=0.0),
        predictor=Doubtful(),
        steps=2,
    ).table
    assert (table["cost.std"] == 0).all()
