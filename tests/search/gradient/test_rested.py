"""The discrete stage of designs at rest."""

import pytest
import torch

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.evaluation import evaluate_residuals, is_at_rest
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.gradient.crystal_rows import CrystalRows, composition_keys
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.swap_estimates import SwapEstimates
from smoacs.targets import Target
from smoacs.templates import perovskite
from toys import Bowl, Stack

N = 8
TEMPLATE = perovskite().with_elements()


def searched(predictor, **settings):
    wanted = {"targets": ("toy < 0.25",), "n": N, "steps": 80, "at_rest": True, "device": "cpu"}
    return run_search(DesignConfig(**{**wanted, **settings}), predictor=predictor)


def at_rest(result, predictor):
    from smoacs.crystals import Crystals  # noqa: PLC0415

    bare = [structure.copy() for structure in result.structures]
    for structure in bare:
        structure.remove_oxidation_states()
    return is_at_rest(*evaluate_residuals(predictor, Crystals.from_structures(bare)))


@pytest.mark.parametrize("template", ["perovskite", "rutile"])
def test_successes_are_distinct_and_at_rest(template):
    predictor = Stack()
    result = searched(predictor, template=template)
    assert bool(at_rest(result, predictor).all())
    formulas = [structure.composition.element_composition for structure in result.structures]
    assert len({formula.reduced_formula for formula in formulas}) == N


def test_calls_are_counted_and_within_the_budget():
    predictor = Stack()
    result = searched(predictor, targets=("toy < 0.12",), steps=40)
    assert result.predictor_calls == predictor.calls
    assert result.predictor_calls <= 40 * N


def test_the_search_ends_when_all_have_succeeded():
    result = searched(Stack(), targets=("toy < 1",))
    assert result.predictor_calls < 0.8 * 80 * N
    assert result.steps == 80


def test_the_best_is_kept_where_a_property_is_to_be_small():
    result = searched(Stack(), targets=("minimize toy",), n=4, steps=120)
    last = result.history[result.history["step"] == 120]["toy"]
    assert float(last.min()) < Bowl().lowest(TEMPLATE) + 0.1


def test_sites_without_a_choice_cost_few_calls():
    sites = {"A": ["K"], "B": ["Mg"], "X": ["F"]}
    result = searched(Stack(), targets=("toy < 0.01",), sites=sites, n=2)
    assert result.predictor_calls < 2 * 80
    assert {s.composition.element_composition.reduced_formula for s in result.structures} == {
        "KMgF3"
    }


def started(n=N):
    space = DesignSpace.from_templates([TEMPLATE] * n)
    generator = torch.Generator().manual_seed(0)
    return SoftCrystals.start(space, generator, score_noise=1.0, combination_noise=1.0)


def test_estimates_of_linear_properties_are_exact():
    predictor = CombinedPredictor([Stack(), ToleranceFactor()])
    soft = started()
    combination, elements = soft.discretise()
    targets = [Target.parse("toy = 0.2 ± 0.05")]
    estimates = SwapEstimates(soft, targets)
    rows = torch.arange(N)
    with Objective(predictor, targets, at_rest=True) as objective:

        def evaluated(chosen):
            crystals = soft.hard_crystals(combination, chosen)
            return objective(crystals, lambda t, v: t.loss(v, inner=0.3), rows, chemistry=False)

        crystals = soft.hard_crystals(combination, elements)
        before = evaluated(elements)
        slopes = objective.slopes(crystals)
        chemistry = (combination, elements)
        estimates.update(soft, rows, chemistry=chemistry, values=before.values, slopes=slopes)
        swapped = elements.clone().view(N, 5)
        allowed = soft.allowed_under(combination).view(N, 5, -1)
        swapped[:, 2] = torch.stack([torch.nonzero(a).flatten()[-1] for a in allowed[:, 2]])
        after = evaluated(swapped.flatten())
        change = estimates.single(rows)["toy"][rows, 2, swapped[:, 2]][:, None]
        losses = estimates.losses(objective, rows, {"toy": change}, inner=0.3)
    found = after.values["toy"] - before.values["toy"]
    assert change.flatten().tolist() == pytest.approx(found.tolist(), abs=1e-5)
    assert losses.flatten().tolist() == pytest.approx(after.loss.tolist(), abs=1e-4)


def test_factor_is_learnt_from_what_swaps_did():
    soft = started()
    estimates = SwapEstimates(soft, [Target.parse("band_gap = 2 ± 0.2")])
    rows = torch.arange(N)
    estimates.values["band_gap"][:] = 1.0
    assert estimates.factor("band_gap") == 1
    changes = estimates.single(rows[:1])["band_gap"]
    changes[:] = 0.4
    estimates._changes["band_gap"][:] = 0.4
    for _ in range(60):
        for row in rows.tolist():
            estimates.expect(row, {0: 5})
        estimates.learn(rows, {"band_gap": torch.full((N,), 1.0 + 3 * 0.4)})
    assert estimates.factor("band_gap") == pytest.approx(3, rel=0.1)


def test_keys_tell_compositions_apart_and_nothing_else():
    rows = torch.tensor([[7, 8, 7], [8, 7, 7], [8, 8, 7], [7, 7, 8]])
    keys = composition_keys(rows)
    assert keys[0] == keys[1] == keys[3]
    assert keys[2] != keys[0]


def test_rows_are_copied_and_put_back():
    soft = started(3)
    combination, elements = soft.discretise()
    rows = CrystalRows.of(soft, combination, elements)
    with torch.no_grad():
        soft.lengths.mul_(1.1)
    other = CrystalRows.of(soft, combination, elements)
    rows.take(torch.tensor([1]), other, torch.tensor([2]))
    assert torch.equal(rows.elements[1], other.elements[2])
    rows.place(soft, torch.tensor([0, 1]))
    assert torch.allclose(soft.lengths[0], other.lengths[0] / 1.1)
    assert torch.equal(soft.lengths[1], other.lengths[2])
