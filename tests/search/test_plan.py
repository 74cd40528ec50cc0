"""Which search a run takes, and whether its designs are to be at rest."""

from dataclasses import replace

import numpy as np
import pytest

from smoacs.errors import InputError
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.plan import (
    Cost,
    plan_search,
    rest_by_default,
    with_rest_decided,
)
from smoacs.search.settings import ExhaustiveSettings
from smoacs.targets import Targets
from smoacs.templates import build_template
from toys import Bowl, PairEnergy

SETTINGS = ExhaustiveSettings()
WITH_ENERGY = CombinedPredictor([PairEnergy(), Bowl(), ToleranceFactor()])


def config(**settings):
    return DesignConfig(**{"targets": ("toy < 0.4",), "device": "cpu", **settings})


def test_defaults():
    assert config().search == "auto"
    assert config().at_rest is None


@pytest.mark.parametrize("name", ["perovskite", "rutile", "wurtzite", "half-heusler", "garnet"])
def test_designs_rest(name):
    assert rest_by_default(build_template(name), WITH_ENERGY, "default")
    assert not rest_by_default(build_template(name), WITH_ENERGY, "paper")
    assert not rest_by_default(build_template(name), Bowl(), "default")


def test_lattices_that_were_chosen_do_not():
    wanted = config(lattice={"a": (3.9, 4.0)})
    assert not rest_by_default(wanted.resolved_template(), WITH_ENERGY, "default")
    wide = config(lattice={"a": (3.5, 4.5)})
    assert rest_by_default(wide.resolved_template(), WITH_ENERGY, "default")


def test_what_was_asked_for_stays():
    free = build_template("perovskite")
    held = config(lattice={"a": (3.9, 4.0)}).resolved_template()
    for asked in (True, False):
        assert with_rest_decided(config(at_rest=asked), [free, held], Bowl()).at_rest is asked
    assert with_rest_decided(config(), [free, free], WITH_ENERGY).at_rest is True
    assert with_rest_decided(config(), [free, held], WITH_ENERGY).at_rest is False


def test_a_result_says_what_was_decided():
    settings = {"n": 2, "steps": 2, "elements": "K Na Mg Zn F Cl"}
    assert run_search(config(**settings), predictor=WITH_ENERGY).config.at_rest is True
    assert run_search(config(**settings), predictor=Bowl()).config.at_rest is False
    paper = config(**settings, preset="paper")
    assert run_search(paper, predictor=WITH_ENERGY).config.at_rest is False
    with pytest.raises(InputError, match="need a predictor of formation_energy"):
        run_search(config(**settings, at_rest=True), predictor=Bowl())


def plan(predictor=WITH_ENERGY, **settings):
    wanted = config(elements="K Na Mg Zn F Cl", **settings)
    template = wanted.resolved_template()
    wanted = with_rest_decided(wanted, [template], predictor)
    return plan_search(wanted, template, predictor, settings=SETTINGS)


def test_without_rest_auto_searches_by_gradients_and_has_nothing_to_say():
    for found in (plan(at_rest=False), plan(preset="paper"), plan(Bowl())):
        assert found.space is None
        assert not found.note


def test_at_rest_the_budget_decides():
    assert plan().space is not None
    assert plan(n=2, steps=2).space is None
    assert plan(n=2, steps=2).note.startswith("search by gradients")
    assert not plan(n=2, steps=2, search="gradient").note


def unfinished(number=SETTINGS, **settings):
    """A plan on a space of 1,104 perovskites, which take about 3,800 calls."""
    wanted = config(**{"elements": MANY, "at_rest": True, "steps": 100, **settings})
    template = wanted.resolved_template()
    return plan_search(wanted, template, WITH_ENERGY, settings=number)


MANY = "Li Na K Rb Cs Be Mg Ca Sr Ba Zn Cd Sc Y Al Ga Ti Zr Si Ge V Nb O S F Cl Br I"


def test_what_exceeds_the_budget_is_not_gone_through_to_its_end():
    part, whole = unfinished(n=25), unfinished(n=40)
    assert len(part.space) == len(whole.space) == 1_104
    assert (part.budget, whole.budget) == (2_500, 4_000)
    assert part.note.startswith("unfinished search: of 1,104 decorations to relax")
    assert "fit" not in part.note
    assert whole.note.startswith("exhaustive search: ")


@pytest.mark.parametrize(
    "settings",
    [
        {"n": 11},
        {"n": 25, "targets": ("toy < 0.4", "maximize formation_energy")},
        {"n": 25, "targets": ("0.8 <= tolerance_factor <= 1.0",)},
        {"n": 25, "search": "gradient"},
    ],
    ids=["too few calls to learn", "an extreme", "no bound to learn", "not asked for"],
)
def test_gradients_remain_where_nothing_tells_what_is_promising(settings):
    assert unfinished(**settings).space is None


def test_gradients_remain_where_only_a_small_part_would_be_seen():
    assert SETTINGS.unfinished >= 8
    assert unfinished(n=25).space is not None
    found = unfinished(replace(SETTINGS, unfinished=1), n=25)
    assert found.space is None
    assert found.note.startswith("search by gradients")


def test_costs_and_budgets_are_inverse():
    bounded = Cost.of(build_template("perovskite"), Targets.of(["toy < 1"]), WITH_ENERGY, 100)
    for n in (1, 99, 100, 101, 1200, 5000):
        assert bounded.most_within(bounded.calls(n)) == n
        assert bounded.most_within(bounded.calls(n) - 1) == n - 1
    assert bounded.most_within(0) == 0


def test_costs_know_what_is_given_up_and_what_moves():
    perovskite, wurtzite = build_template("perovskite"), build_template("wurtzite")
    window, extreme, factor = "toy < 1", "maximize toy", "0.8 <= tolerance_factor <= 1"

    def cost(template, *targets):
        return Cost.of(template, Targets.of(targets), WITH_ENERGY, SETTINGS.first)

    with_bounds, without = cost(perovskite, window, extreme), cost(perovskite, extreme, factor)
    assert with_bounds.calls(SETTINGS.first) == without.calls(SETTINGS.first)
    assert with_bounds.bounded
    assert not without.bounded
    assert with_bounds.calls(10_000) < without.calls(10_000)
    free = cost(wurtzite, window)
    assert free.calls(10_000) > with_bounds.calls(10_000)


def test_a_held_length_counts_on_any_axis():
    template = build_template("perovskite")
    bounds = np.array(template.length_bounds)
    bounds[:, 2] = 4.0, 4.1
    held = replace(template, length_bounds=bounds)
    assert not rest_by_default(held, WITH_ENERGY, "default")


def test_paper_and_rest_exclude_each_other():
    with pytest.raises(InputError, match="exclude each other"):
        DesignConfig(targets=("band_gap > 1",), preset="paper", at_rest=True)
