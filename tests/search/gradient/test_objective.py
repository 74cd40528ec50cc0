import pytest
import torch

from smoacs.crystals import Candidates, Crystals, DesignSpace, neighbor_list
from smoacs.evaluation import Evaluator, LossSlopes, threads
from smoacs.predictors import CombinedPredictor, ToleranceFactor
from smoacs.search.gradient.objective import Objective, pulled_back
from smoacs.targets import Target, Targets
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
    wanted = Targets(targets)
    with Evaluator(predictor, wanted.properties, **settings) as evaluator:
        return Objective(evaluator, wanted)(crystals, loss)


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
    soft = Candidates.start(space, torch.Generator().manual_seed(0), score_noise=0.5)
    crystals = soft.soft(0.5)
    predictor = CombinedPredictor([Bowl(), ToleranceFactor()])
    targets = (Target.parse("1.4 <= tolerance_factor <= 1.5"), Target.parse("toy < -1"))
    found = evaluated(crystals, targets, predictor)
    assert found.radii_grad.shape == (15,)
    assert found.radii_grad.abs().min() > 0
    out = predictor(crystals, neighbor_list(crystals, 0.0))
    names = ("lengths", "element_scores", "combination_scores")
    losses = sum(loss(t, out[t.property]) for t in targets)
    leaves = [soft.variables[name] for name in names]
    expected = torch.autograd.grad(losses.sum(), leaves, retain_graph=True)
    grads = pulled_back(crystals, found, soft.variables)
    assert set(grads) == {*names, "displacements"}  # the angles are fixed
    for name, gradient in zip(names, expected, strict=True):
        assert gradient.abs().max() > 1e-4
        torch.testing.assert_close(grads[name], gradient)


def test_calls_are_counted_per_crystal(crystals):
    toy = Bowl()
    with Evaluator(toy, ("toy",), batch_size=2) as evaluator:
        objective = Objective(evaluator, Targets((TARGETS[1],)))
        objective(crystals, loss)
        objective(crystals.select(torch.tensor([0, 4])), loss)
        assert evaluator.predictor_calls == toy.calls == 8
        assert evaluator.seconds["predictor"] > 0


def test_each_candidate_has_its_own_number_in_every_chunk(crystals):
    """A front weighs the targets of each candidate in its own way."""

    class Numbered:
        def observe(self, values):
            self.values = values

        def loss(self, costs, candidates):
            return costs[:, 0] * (1 + candidates)

    targets = Targets((Target.parse("minimize toy"),))
    with Evaluator(Bowl(), ("toy",), batch_size=1) as evaluator:
        objective = Objective(evaluator, targets, front=Numbered())
        whole = objective(crystals, loss)
        part = objective(crystals.select(torch.tensor([1, 3])), loss, torch.tensor([1, 3]))
    toy = whole.values["toy"]
    torch.testing.assert_close(whole.loss, loss(targets[0], toy) * torch.arange(1, 7))
    torch.testing.assert_close(part.loss, whole.loss[[1, 3]])


def slopes_of(values, finite, **rest):
    empty = torch.zeros(len(finite))
    return LossSlopes(
        values=values,
        finite=finite,
        loss=empty,
        species_grad=torch.zeros(0, 98),
        frac_grad=torch.zeros(0, 3),
        cell_grad=torch.zeros(len(finite), 3, 3),
        **rest,
    )


def test_all_targets_must_be_met():
    targets = Targets.of(["a > 1", "maximize b"])
    values = {"a": torch.tensor([2.0, 0.0, 2.0, 2.0]), "b": torch.tensor([0.0, 0.0, torch.nan, 0])}
    slopes = slopes_of(values, torch.tensor([True, True, True, False]))
    with Evaluator(Bowl(), ()) as evaluator:
        objective = Objective(evaluator, targets)
        assert objective.met(slopes).tolist() == [True, False, False, False]


def test_what_has_to_rest_must_rest():
    values = {"a": torch.full((4,), 2.0)}
    rest = {
        "pressure": torch.tensor([0.0, 5.0, 0.0, -1.0]),
        "max_force": torch.tensor([0.0, 0.0, 0.5, 0.05]),
    }
    slopes = slopes_of(values, torch.ones(4, dtype=torch.bool), **rest)
    with Evaluator(Bowl(), ()) as evaluator:
        objective = Objective(evaluator, Targets.of(["a > 1"]), at_rest=True)
        assert objective.met(slopes).tolist() == [True, False, False, True]


def test_at_rest_geometry_follows_the_energy_and_chemistry_the_targets(crystals):
    targets = Targets.of(["toy < -1"])
    stack = CombinedPredictor([PairEnergy(), Bowl()])
    with Evaluator(stack, ("toy",)) as evaluator:
        found = Objective(evaluator, targets, at_rest=True)(crystals, loss)
        energy = evaluator.energy_slopes(crystals)
        bare = Objective(evaluator, targets, at_rest=True)(crystals, loss, chemistry=False)
    torch.testing.assert_close(found.cell_grad, energy.cell_grad)
    torch.testing.assert_close(found.frac_grad, energy.frac_grad)
    torch.testing.assert_close(found.pressure, energy.pressure)
    torch.testing.assert_close(found.max_force, energy.max_force)
    assert "formation_energy" not in found.values
    whole = evaluated(crystals, targets.each, Bowl())
    torch.testing.assert_close(found.species_grad, whole.species_grad)
    assert (bare.species_grad == 0).all()
    torch.testing.assert_close(bare.cell_grad, found.cell_grad)
    torch.testing.assert_close(bare.loss, found.loss)
