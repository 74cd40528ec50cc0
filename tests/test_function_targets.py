"""A user's function as a target: it is optimised, judged, saved, and refused where it cannot be."""

import numpy as np
import pytest
import torch

import smoacs
from smoacs.errors import InputError
from smoacs.predictors.functions import FunctionPredictor, FunctionProperty
from smoacs.search import DesignConfig
from toys import Conflict


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
