import pytest
import torch

from smoacs.crystals import ATOMS_AT_ONCE, Crystals, DesignSpace, SoftCrystals, neighbor_list
from smoacs.evaluation import threads
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.search.gradient.objective import Objective
from smoacs.targets import Target
from smoacs.templates import perovskite
from toys import Bowl, PairEnergy, random_structures

ENERGY = Target.parse("formation_energy < -3")
TARGETS = (ENERGY, Target.parse("1 <= toy <= 2"))
PREDICTOR = CombinedPredictor([PairEnergy(), Bowl()])


def loss(target, values):
    return target.loss(values, inner=0.5)


@pytest.fixture
def crystals():
    return Crystals.from_structures(random_structures(0, (3, 5, 2, 4, 6, 1)))


def evaluated(crystals, targets=TARGETS, predictor=PREDICTOR, **settings):
    with Objective(predictor, targets, **settings) as objective:
        return objective(crystals, loss)


@pytest.mark.parametrize("atoms", [1, 5, 10_000])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_chunks_in_threads_equal_a_single_pass(crystals, monkeypatch, atoms, batch_size):
    monkeypatch.setattr(threads, "ATOMS_PER_CHUNK", (atoms, atoms))
    found = evaluated(crystals, batch_size=batch_size)
    leaves = [crystals.species_probs, crystals.frac_coords, crystals.cell]
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    whole = Crystals(*leaves, crystals.system_idx)
    out = PREDICTOR(whole, neighbor_list(whole, PREDICTOR.cutoff))
    losses = sum(loss(t, out[t.property]) for t in TARGETS)
    species, frac, cell = torch.autograd.grad(losses.sum(), leaves)
    assert losses.min() > 0
    assert frac.abs().max() > 0.01
    torch.testing.assert_close(found.loss, losses.detach())
    torch.testing.assert_close(found.values["toy"], out["toy"].detach())
    torch.testing.assert_close(found.values["formation_energy"], out["formation_energy"].detach())
    torch.testing.assert_close(found.species_grad, species)
    torch.testing.assert_close(found.frac_grad, frac)
    torch.testing.assert_close(found.cell_grad, cell)
    assert found.radii_grad is None
    assert found.finite.all()


def test_gradients_are_those_of_finite_differences(crystals):
    found = evaluated(crystals)
    generator = torch.Generator().manual_seed(0)
    for name, gradient in (
        ("frac_coords", found.frac_grad),
        ("cell", found.cell_grad),
        ("species_probs", found.species_grad),
    ):
        direction = torch.randn(gradient.shape, generator=generator).double()
        step = 1e-6 * direction
        ends = [
            evaluated(crystals.replace(**{name: getattr(crystals, name) + sign * step}))
            for sign in (1, -1)
        ]
        slope = (ends[0].loss - ends[1].loss).sum() / 2e-6
        expected = (gradient * direction).sum()
        assert expected.abs() > 0.01
        torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("field", ["frac_coords", "cell", "species_probs"])
def test_broken_candidate_is_flagged_and_disturbs_nobody(crystals, field, together):
    broken = getattr(crystals, field).clone()
    place = 1 if field == "cell" else int(crystals.counts[0])
    broken[place] = torch.nan
    found = evaluated(crystals.replace(**{field: broken}), batch_size=None if together else 1)
    whole = evaluated(crystals)
    assert found.finite.tolist() == [True, False, True, True, True, True]
    assert found.loss[1] == torch.inf
    hurt = crystals.system_idx == 1
    assert (found.species_grad[hurt] == 0).all()
    assert (found.frac_grad[hurt] == 0).all()
    assert (found.cell_grad[1] == 0).all()
    others = torch.arange(6) != 1
    torch.testing.assert_close(found.loss[others], whole.loss[others])
    torch.testing.assert_close(found.cell_grad[others], whole.cell_grad[others])
    torch.testing.assert_close(found.frac_grad[~hurt], whole.frac_grad[~hurt])
    torch.testing.assert_close(found.species_grad[~hurt], whole.species_grad[~hurt])


def test_value_that_is_finite_with_a_gradient_that_is_not(crystals):
    class Cusp(Bowl):
        def __call__(self, crystals, neighbors):
            toy = super().__call__(crystals, neighbors)["toy"]
            cusp = (toy[[1]] - toy[[1]].detach()).abs().sqrt()  # 0 with an infinite slope
            return {"toy": toy.index_add(0, torch.tensor([1]), cusp)}

    target = (Target.parse("toy > 100"),)
    found = evaluated(crystals, target, Cusp())
    assert found.values["toy"].isfinite().all()
    assert found.finite.tolist() == [True, False, True, True, True, True]
    assert found.loss[1] == torch.inf


def test_radii_have_gradients_too():
    space = DesignSpace.from_templates([perovskite()] * 3)
    soft = SoftCrystals.start(space, torch.Generator().manual_seed(0), score_noise=0.5)
    crystals = soft.crystals(0.5)
    predictor = CombinedPredictor([Bowl(), ToleranceFactor()])
    targets = (Target.parse("1.4 <= tolerance_factor <= 1.5"), Target.parse("toy < -1"))
    found = evaluated(crystals, targets, predictor)
    assert found.radii_grad.shape == (15,)
    assert found.radii_grad.abs().min() > 0
    out = predictor(crystals, neighbor_list(crystals, 0.0))
    variables = (soft.lengths, soft.element_scores, soft.combination_scores)
    losses = sum(loss(t, out[t.property]) for t in targets)
    expected = torch.autograd.grad(losses.sum(), variables, retain_graph=True)
    found.backward(crystals)
    for variable, gradient in zip(variables, expected, strict=True):
        assert gradient.abs().max() > 1e-4
        torch.testing.assert_close(variable.grad, gradient)


def test_calls_are_counted_per_crystal(crystals):
    toy = Bowl()
    with Objective(toy, (TARGETS[1],), batch_size=2) as objective:
        objective(crystals, loss)
        objective(crystals.select(torch.tensor([0, 4])), loss)
        assert objective.predictor_calls == toy.calls == 8
        assert objective.seconds["predictor"] > 0


def test_threads_of_torch_are_given_back():
    threads = torch.get_num_threads()
    with Objective(Bowl(), (TARGETS[1],)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == threads


def test_single_crystals_do_not_reach_the_evaluation_chunks(crystals):
    # The chunk size of the search and that of `evaluate` are separate settings.
    assert max(threads.ATOMS_PER_CHUNK) < ATOMS_AT_ONCE
    assert evaluated(crystals.select(torch.tensor([5]))).loss.shape == (1,)
