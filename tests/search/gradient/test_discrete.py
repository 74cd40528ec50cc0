"""The discrete stage: what it keeps, and what it never leaves, whatever moves the geometry."""

import numpy as np
import pytest
import torch

from smoacs.crystals import Candidates, Crystals, DesignSpace
from smoacs.evaluation import Evaluator, evaluate, evaluate_residuals, is_at_rest
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.request import DesignConfig
from smoacs.runs import design
from smoacs.search import run_search
from smoacs.search.gradient.discrete import DiscreteStage
from smoacs.search.gradient.moves import Moves, composition_keys
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.policies import Polishing, Settling
from smoacs.search.progress import Audience, Recorder
from smoacs.search.settings import DEFAULT
from smoacs.targets import Targets
from smoacs.templates import perovskite, site_operations
from toys import Bowl, Conflict, Spring, Stack

N = 12
TEMPLATE = perovskite().with_elements()
SETTINGS = DEFAULT.discrete


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def started(seed=0, n=N):
    space = DesignSpace.from_templates([TEMPLATE] * n)
    candidates = Candidates.start(space, generator(seed), score_noise=1.0, combination_noise=1.0)
    candidates.harden()
    return candidates


def losses(candidates, text):
    targets = Targets.of([text])
    with Evaluator(Bowl(), targets.properties) as evaluator:
        crystals = candidates.hard()
        return Objective(evaluator, targets)(crystals, lambda target, x: target.loss(x)).loss


def finished(text, steps, seed=0, taken=frozenset()):
    """Candidates that were polished and swapped, the stage, and what it told."""
    candidates, events, targets = started(seed), [], Targets.of([text])
    recorder = Recorder(steps, Audience(events.append))
    with Evaluator(Bowl(), targets.properties) as evaluator:
        objective = Objective(evaluator, targets)
        stage = DiscreteStage(
            candidates,
            objective,
            SETTINGS,
            Polishing(candidates, objective, SETTINGS),
            generator=generator(seed),
            kinds=TEMPLATE.site_labels,
            taken=taken,
        )
        stage.run(steps, recorder)
    return candidates, stage, events, evaluator.predictor_calls


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_result_is_never_worse_than_the_start(steps):
    before = losses(started(), "toy < 0.1")
    candidates, _, _, calls = finished("toy < 0.1", steps)
    after = losses(candidates, "toy < 0.1")
    assert (after <= before + 1e-6).all()
    assert calls <= steps * N
    if steps == 40:
        assert after.mean() < 0.7 * before.mean()


def test_result_is_neutral_and_within_bounds():
    candidates, *_ = finished("toy < 0.1", 30)
    site = torch.arange(len(candidates.elements))
    assert candidates.allowed()[site, candidates.elements].all()
    assert candidates.lengths.min() >= 2 - 1e-5
    assert candidates.lengths.max() <= 10 + 1e-5
    assert (candidates.angles == 90).all()
    assert (candidates.displacements.abs() <= candidates.space.coord_box).all()


def test_success_that_was_told_is_in_the_result():
    candidates, stage, events, _ = finished("toy < 0.3", 40)
    met = losses(candidates, "toy < 0.3") == 0
    rates = [event.success_rate for event in events]
    assert rates == sorted(rates)  # a success is kept
    assert rates[-1] == pytest.approx(sum(stage.met) / N)
    assert rates[-1] > rates[0] + 0.2
    assert all(found for found, told in zip(met.tolist(), stage.met, strict=True) if told)


def test_successes_get_compositions_of_their_own():
    candidates, stage, *_ = finished("toy < 0.35", 60)
    met = torch.tensor(stage.met)
    keys = composition_keys(candidates.rows[met])
    assert met.sum() >= 10
    assert len(set(keys)) == len(keys)


def test_nobody_gets_a_composition_that_is_taken():
    candidates, stage, *_ = finished("toy < 0.35", 60)
    taken = frozenset(composition_keys(candidates.rows[torch.tensor(stage.met)]))
    others, other_stage, *_ = finished("toy < 0.35", 60, taken=taken)
    met = torch.tensor(other_stage.met)
    assert met.any()
    assert taken.isdisjoint(composition_keys(others.rows[met]))


def test_losses_are_those_of_the_result():
    candidates, stage, *_ = finished("toy < 0.2", 40)
    targets = Targets.of(["toy < 0.2"])
    with Evaluator(Bowl(), targets.properties) as evaluator:
        objective = Objective(evaluator, targets)
        inner = SETTINGS.inner
        found = objective(candidates.hard(), lambda t, x: t.loss(x, inner=inner)).loss
    assert list(stage.losses) == pytest.approx(found.tolist(), abs=1e-5)


# ---- whole searches: {} polishes, {"rest": "symmetry"} settles

REST = {True: "symmetry", False: "none"}
EITHER = pytest.mark.parametrize("at_rest", [False, True], ids=["polished", "settled"])


def searched(predictor, **settings):
    wanted = {"targets": ("toy < 0.25",), "n": 8, "steps": 80, "device": "cpu"}
    return run_search(DesignConfig(**{**wanted, **settings}), predictor=predictor)


def crystals_of(result):
    bare = [structure.copy() for structure in result.structures]
    for structure in bare:
        structure.remove_oxidation_states()
    return Crystals.from_structures(bare)


def formulas(result):
    return [s.composition.element_composition.reduced_formula for s in result.structures]


@EITHER
@pytest.mark.parametrize("template", ["perovskite", "rutile"])
def test_successes_are_distinct(template, at_rest):
    predictor = Stack()
    result = searched(predictor, template=template, rest=REST[at_rest])
    assert all(result.met)
    assert len(set(formulas(result))) == 8
    assert evaluate(predictor, crystals_of(result))["toy"].max() < 0.25
    if at_rest:
        assert bool(is_at_rest(*evaluate_residuals(predictor, crystals_of(result))).all())


@EITHER
def test_calls_are_counted_and_within_the_budget(at_rest):
    predictor = Stack()
    result = searched(predictor, targets=("toy < 0.12",), steps=40, rest=REST[at_rest])
    assert result.predictor_calls == predictor.calls
    assert result.predictor_calls <= 40 * 8


@EITHER
def test_the_search_ends_when_all_have_succeeded(at_rest):
    result = searched(Stack(), targets=("toy < 1",), rest=REST[at_rest])
    assert result.predictor_calls < 0.8 * 80 * 8
    assert result.steps == 80
    assert result.history["step"].max() == 80


@EITHER
def test_the_best_is_kept_where_a_property_is_to_be_small(at_rest):
    settings = {"targets": ("minimize toy",), "n": 4, "steps": 120, "rest": REST[at_rest]}
    result = searched(Stack(), **settings)
    found = evaluate(Stack(), crystals_of(result))["toy"]
    assert float(found.min()) < Bowl().lowest(TEMPLATE) + 0.1
    assert list(result.losses) == pytest.approx(found.tolist(), abs=1e-4)
    assert len(set(formulas(result))) == 4
    last = result.history[result.history["step"] == 120]["toy"]
    assert float(last.min()) < Bowl().lowest(TEMPLATE) + 0.1


@EITHER
def test_sites_without_a_choice_cost_few_calls(at_rest):
    sites = {"A": ["K"], "B": ["Mg"], "X": ["F"]}
    result = searched(Stack(), targets=("toy < 0.01",), sites=sites, n=2, rest=REST[at_rest])
    assert result.predictor_calls < 2 * 80
    assert set(formulas(result)) == {"KMgF3"}


@pytest.mark.parametrize("search", [{}, {"pareto": False}])
def test_conflicting_targets_spread(search):
    targets = ("minimize price", "minimize weight")
    result = searched(Conflict(), targets=targets, n=8, search="gradient", **search)
    values = evaluate(Conflict(), crystals_of(result))
    spread = values["price"].max() - values["price"].min()
    if not search:
        assert spread > 0.3
    assert result.predictor_calls <= 8 * 80
    assert len(result.losses) == 8


@EITHER
def test_large_cells_swap_several_sites_at_once(at_rest):
    settings = {"repeat": 2, "n": 4, "steps": 40, "rest": REST[at_rest]}
    result = searched(Stack(), targets=("toy < 0.3",), **settings)
    found = evaluate(Stack(), crystals_of(result))["toy"]
    short = searched(Stack(), targets=("toy < 0.3",), **{**settings, "steps": 17})
    first = evaluate(Stack(), crystals_of(short))["toy"]
    assert found.mean() < first.mean()
    assert found.min() < 0.3


class Unsure(Stack):
    """Has no number for crystals with potassium."""

    def __call__(self, crystals, neighbors):
        out = super().__call__(crystals, neighbors)
        potassium = crystals.species_probs[:, 18]
        held = torch.zeros_like(crystals.volume).index_add(0, crystals.system_idx, potassium)
        return {name: torch.where(held > 0.5, torch.nan, value) for name, value in out.items()}


@EITHER
@pytest.mark.parametrize("more", [{}, {"max_elements": {"all": 3}}], ids=["free", "rules"])
def test_crystals_without_a_value_find_others(at_rest, more):
    """All candidates begin with potassium, and every success is without it."""
    sites = {"A": ("K", "Rb", "Cs"), "X": ("F", "Cl")}
    settings = {"targets": ("toy < 1",), "n": 6, "rest": REST[at_rest], "sites": sites, **more}
    result = searched(Unsure(), search="gradient", **settings)
    assert all("K" not in formula.replace("Kr", "") for formula in formulas(result))
    assert all(result.met)


@pytest.mark.parametrize("by_rules", [False, True])
@pytest.mark.parametrize("settles", [False, True])
def test_those_that_begin_without_a_value_swap_on(settles, by_rules):
    candidates, targets = started(n=4), Targets.of(["toy < 1"])
    candidates.combination.fill_(TEMPLATE.combination_names.index("A+1 B+2 X-1"))
    candidates.decorate(torch.arange(4), torch.tensor([[18, 11, 8, 8, 8]] * 4))
    candidates.place(torch.full((4, 3), 4.5))
    moves = Moves(candidates.space, [], [np.array([k]) for k in range(5)]) if by_rules else None
    with Evaluator(Unsure(), ("toy",)) as evaluator:
        objective = Objective(evaluator, targets, at_rest=settles)
        policy = (
            Settling(candidates, SETTINGS, site_operations(TEMPLATE))
            if settles
            else Polishing(candidates, objective, SETTINGS)
        )
        stage = DiscreteStage(
            candidates,
            objective,
            SETTINGS,
            policy,
            generator=generator(),
            kinds=TEMPLATE.site_labels,
            moves=moves,
        )
        stage.run(80, Recorder(80))
    assert (candidates.rows != 18).all()
    assert all(stage.met)


@EITHER
def test_a_predictor_that_knows_nothing_ends_with_what_there_is(at_rest):
    class Blank(Stack):
        def __call__(self, crystals, neighbors):
            out = super().__call__(crystals, neighbors)
            return {name: value * torch.nan for name, value in out.items()}

    result = searched(Blank(), n=3, steps=20, rest=REST[at_rest], search="gradient")
    assert not any(result.met)
    assert len(result.structures) == 3
    assert result.predictor_calls <= 3 * 20


def test_a_design_at_rest_is_at_rest():
    run = design(
        targets=["band_gap = 3.1 ± 0.1", "0.8 <= tolerance_factor <= 1.0"],
        n=8,
        steps=40,
        rest="symmetry",
        predictor=CombinedPredictor([Spring(), ToleranceFactor()]),
    )
    assert run.table["at_rest"].mean() > 0.8
    rested = run.table[run.table["at_rest"]]
    assert (rested["pressure"].abs() < 3).all()
    assert (rested["max_force"] < 0.1).all()
    assert (run.table["success"] <= run.table["at_rest"]).all()
