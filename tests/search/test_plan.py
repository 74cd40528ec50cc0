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
    assert config().rest is None


def decided(predictor=WITH_ENERGY, *, templates=None, **settings):
    wanted = config(**settings)
    templates = templates or [wanted.resolved_template()]
    found, note = with_rest_decided(wanted, templates, predictor)
    return found.rest, note


@pytest.mark.parametrize("name", ["perovskite", "rutile", "wurtzite", "half-heusler", "garnet"])
def test_designs_are_at_a_minimum(name):
    assert decided(template=name) == ("minimum", "")
    assert decided(template=name, preset="paper") == ("none", "")


@pytest.mark.parametrize(
    ("settings", "rest", "reason"),
    [
        ({"frozen": ("A",)}, "symmetry", "frozen holds"),
        ({"max_displacement": {"X": 0.05}}, "symmetry", "max_displacement holds"),
        ({"symmetry": "space-group"}, "symmetry", "symmetry = space-group holds"),
        ({"lattice": {"a": (3.5, 4.5)}}, "symmetry", "lattice holds"),
        ({"lattice": {"a": (3.9, 4.0)}}, "none", "the lattice is held"),
    ],
    ids=str,
)
def test_what_holds_a_crystal_is_named_where_it_cannot_be_let_go(settings, rest, reason):
    found, note = decided(**settings)
    assert found == rest
    assert note.startswith(f"rest = {rest}, not minimum: {reason}")
    with pytest.raises(InputError, match=r"rest = minimum lets .* go, which .* forbids"):
        config(**settings, rest="minimum")


def test_without_an_energy_there_is_no_rest():
    assert decided(Bowl()) == (
        "none",
        "rest = none, not minimum: the predictor gives no formation_energy",
    )


def test_what_was_asked_for_stays():
    free = build_template("perovskite")
    held = config(lattice={"a": (3.9, 4.0)}).resolved_template()
    for asked in ("minimum", "symmetry", "none"):
        assert decided(Bowl(), templates=[free, held], rest=asked) == (asked, "")
    assert decided(templates=[free, free])[0] == "minimum"
    assert decided(templates=[free, held])[0] == "none"


def test_a_result_says_what_was_decided_and_why():
    settings = {"n": 2, "steps": 2, "elements": "K Na Mg Zn F Cl", "frozen": ("A",)}
    found = run_search(config(**settings), predictor=WITH_ENERGY)
    assert found.config.rest == "symmetry"
    assert "frozen holds" in found.search["note"]
    assert run_search(config(**settings), predictor=Bowl()).config.rest == "none"
    paper = run_search(config(**settings, preset="paper"), predictor=WITH_ENERGY)
    assert paper.config.rest == "none"
    assert not paper.search["note"]
    with pytest.raises(InputError, match="need a predictor of formation_energy"):
        run_search(config(**settings, rest="symmetry"), predictor=Bowl())


def plan(predictor=WITH_ENERGY, **settings):
    wanted = config(elements="K Na Mg Zn F Cl", **settings)
    template = wanted.resolved_template()
    wanted, _ = with_rest_decided(wanted, [template], predictor)
    return plan_search(wanted, template, predictor, settings=SETTINGS)


def test_without_rest_auto_searches_by_gradients_and_has_nothing_to_say():
    for found in (plan(rest="none"), plan(preset="paper"), plan(Bowl())):
        assert found.space is None
        assert not found.note


def test_at_rest_the_budget_decides():
    assert plan().space is not None
    assert plan(n=2, steps=2).space is None
    assert plan(n=2, steps=2).note.startswith("search by gradients")
    assert not plan(n=2, steps=2, search="gradient").note


def unfinished(number=SETTINGS, **settings):
    """A plan on a space of 1,196 perovskites, which take about 3,800 calls."""
    wanted = config(**{"elements": MANY, "rest": "symmetry", "steps": 100, **settings})
    template = wanted.resolved_template()
    return plan_search(wanted, template, WITH_ENERGY, settings=number)


MANY = "Li Na K Rb Cs Be Mg Ca Sr Ba Zn Cd Sc Y Al Ga Ti Zr Si Ge V Nb O S F Cl Br I"


def test_what_exceeds_the_budget_is_not_gone_through_to_its_end():
    part, whole = unfinished(n=25), unfinished(n=42)
    assert len(part.space) == len(whole.space) == 1_196
    assert (part.budget, whole.budget) == (2_500, 4_200)
    assert part.note.startswith("unfinished search: of 1,196 decorations to relax")
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
    assert decided(templates=[held])[0] == "none"


def test_paper_and_rest_exclude_each_other():
    with pytest.raises(InputError, match="exclude each other"):
        DesignConfig(targets=("band_gap > 1",), preset="paper", rest="symmetry")
