"""One evaluator: values, slopes of the energy, of a loss and by the chemistry, in any chunks."""

import pytest
import torch

from smoacs.crystals import Candidates, Crystals, DesignSpace, neighbor_list
from smoacs.evaluation import Evaluator, evaluate, evaluate_residuals, threads
from smoacs.evaluation.evaluator import joined
from smoacs.predictors import ENERGY, CombinedPredictor, ToleranceFactor
from smoacs.search.state import put_back, state_of
from smoacs.templates import perovskite
from toys import Bowl, PairEnergy, random_structures

PREDICTOR = CombinedPredictor([PairEnergy(), Bowl()])
NAMES = (ENERGY, "toy")


@pytest.fixture
def crystals():
    return Crystals.from_structures(random_structures(0, (3, 5, 2, 4, 6, 1)))


@pytest.mark.parametrize("atoms", [1, 5, 10_000])
@pytest.mark.parametrize("settings", [{}, {"batch_size": 1}, {"batch_size": 2, "threads": 1}])
def test_results_do_not_depend_on_the_chunks(crystals, monkeypatch, atoms, settings):
    monkeypatch.setattr(threads, "ATOMS_PER_CHUNK", (atoms, atoms))
    leaves = crystals.replace(
        frac_coords=crystals.frac_coords.clone().requires_grad_(),
        cell=crystals.cell.clone().requires_grad_(),
    )
    out = PREDICTOR(leaves, neighbor_list(leaves, PREDICTOR.cutoff))
    total = (out[ENERGY] * crystals.counts).sum()
    frac, cell = torch.autograd.grad(total, [leaves.frac_coords, leaves.cell])
    with Evaluator(PREDICTOR, NAMES, **settings) as evaluator:
        values, slopes = evaluator.values(crystals), evaluator.energy_slopes(crystals)
    assert set(values.values) == set(NAMES)
    for name in NAMES:
        torch.testing.assert_close(values.values[name], out[name].detach())
        torch.testing.assert_close(slopes.values[name], out[name].detach())
    torch.testing.assert_close(slopes.frac_grad, frac)
    torch.testing.assert_close(slopes.cell_grad, cell)
    assert values.finite.all()
    assert slopes.finite.all()
    assert evaluator.predictor_calls == 12


def test_values_and_residuals_are_those_of_the_functions(crystals):
    with Evaluator(PREDICTOR, NAMES) as evaluator:
        slopes = evaluator.energy_slopes(crystals)
    pressure, force = evaluate_residuals(PREDICTOR, crystals)
    torch.testing.assert_close(slopes.pressure, pressure)
    torch.testing.assert_close(slopes.max_force, force)
    seen = evaluate(PREDICTOR, crystals)
    torch.testing.assert_close(slopes.values["toy"], torch.as_tensor(seen["toy"]))


def test_held_sites_feel_no_force():
    structures = random_structures(1, (4, 4, 4))
    crystals = Crystals.from_structures(structures)
    fixed = torch.tensor([False, True, False, True])
    with Evaluator(PREDICTOR, (), fixed=fixed, batch_size=2) as evaluator:
        slopes = evaluator.energy_slopes(crystals)
        loss = evaluator.loss_slopes(crystals, lambda out, _: out[ENERGY], at_rest=True)
    with Evaluator(PREDICTOR, ()) as evaluator:
        free = evaluator.energy_slopes(crystals)
    for found in (slopes, loss):
        by_atom = found.frac_grad.view(3, 4, 3)
        assert (by_atom[:, fixed] == 0).all()
        torch.testing.assert_close(by_atom[:, ~fixed], free.frac_grad.view(3, 4, 3)[:, ~fixed])
    pressure, force = evaluate_residuals(PREDICTOR, crystals, fixed.repeat(3))
    torch.testing.assert_close(slopes.max_force, force)
    torch.testing.assert_close(slopes.pressure, pressure)
    assert (slopes.max_force <= free.max_force).all()


def test_the_energy_may_have_another_name(crystals):
    class Other(PairEnergy):
        def __init__(self):
            self.properties = {"enthalpy": "eV/atom"}

        def __call__(self, crystals, neighbors):
            return {"enthalpy": super().__call__(crystals, neighbors)["formation_energy"]}

    with Evaluator(Other(), ("enthalpy",), energy="enthalpy") as evaluator:
        found = evaluator.energy_slopes(crystals)
    with Evaluator(PairEnergy(), (ENERGY,)) as evaluator:
        torch.testing.assert_close(found.frac_grad, evaluator.energy_slopes(crystals).frac_grad)


def test_chemistry_slopes_are_those_of_each_property():
    space = DesignSpace.from_templates([perovskite()] * 3)
    candidates = Candidates.start(space, torch.Generator().manual_seed(0), score_noise=0.5)
    candidates.harden()
    crystals = candidates.hard()
    predictor = CombinedPredictor([Bowl(), ToleranceFactor()])
    names = ("toy", "tolerance_factor")
    with Evaluator(predictor, names, batch_size=2) as evaluator:
        found = evaluator.chemistry_slopes(crystals, names)
        assert evaluator.predictor_calls == 3
    leaves = [
        x.detach().clone().requires_grad_() for x in (crystals.species_probs, crystals.ionic_radii)
    ]
    moved = crystals.detached().replace(species_probs=leaves[0], ionic_radii=leaves[1])
    out = predictor(moved, neighbor_list(moved, predictor.cutoff))
    for name in names:
        species, radii = torch.autograd.grad(
            out[name].sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        torch.testing.assert_close(found.species[name], species)
        torch.testing.assert_close(found.radii[name], radii)
    assert found.radii["tolerance_factor"].abs().min() > 0.01
    assert candidates.lengths.grad is None


def test_what_does_not_depend_on_the_chemistry_has_no_slope(crystals):
    class Volume(Bowl):
        def __call__(self, crystals, neighbors):
            del neighbors
            return {"toy": crystals.volume}

    with Evaluator(Volume(), ("toy",)) as evaluator:
        found = evaluator.chemistry_slopes(crystals, ("toy",))
    assert (found.species["toy"] == 0).all()
    assert found.species["toy"].shape == crystals.species_probs.shape


@pytest.mark.parametrize("kind", ["values", "energy_slopes"])
def test_what_is_not_finite_is_told(crystals, kind):
    broken = crystals.cell.clone()
    broken[2, 0, 0] = torch.nan
    with Evaluator(PREDICTOR, NAMES) as evaluator:
        found = getattr(evaluator, kind)(crystals.replace(cell=broken))
    assert found.finite.tolist() == [True, True, False, True, True, True]


class Once(Bowl):
    """Out of memory for more than two crystals, the first time for more than four."""

    most = 2

    def __call__(self, crystals, neighbors):
        if crystals.n_systems > self.most:
            raise MemoryError
        return super().__call__(crystals, neighbors)


@pytest.mark.parametrize("kind", ["values", "chemistry_slopes", "loss_slopes"])
def test_everything_goes_on_with_less_memory(crystals, kind, caplog):
    arguments = {"values": (), "chemistry_slopes": (["toy"],), "loss_slopes": (_toy,)}[kind]
    with Evaluator(Once(), ("toy",)) as evaluator:
        small = getattr(evaluator, kind)(crystals, *arguments)
        assert evaluator.predictor_calls == 6
    with Evaluator(Bowl(), ("toy",)) as evaluator:
        whole = getattr(evaluator, kind)(crystals, *arguments)
    for name, value in vars(whole).items():
        found = getattr(small, name)
        if isinstance(value, dict):
            assert {n: x.tolist() for n, x in value.items()} == {
                n: x.tolist() for n, x in found.items()
            }
        elif value is not None:
            torch.testing.assert_close(found, value)
    assert caplog.text.count("out of memory") == 1


def _toy(out, _):
    return out["toy"]


def test_threads_of_torch_are_given_back():
    before = torch.get_num_threads()
    with Evaluator(Bowl(), ("toy",)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_single_crystal_is_a_batch(crystals):
    with Evaluator(PREDICTOR, NAMES) as evaluator:
        found = evaluator.values(crystals.select(torch.tensor([5])))
    assert found.values["toy"].shape == (1,)


def test_records_of_chunks_are_joined(crystals):
    with Evaluator(PREDICTOR, NAMES) as evaluator:
        whole = evaluator.energy_slopes(crystals)
        parts = [evaluator.energy_slopes(part) for part in crystals.split([2, 1, 3])]
    found = joined(parts)
    assert type(found) is type(whole)
    torch.testing.assert_close(found.frac_grad, whole.frac_grad)
    torch.testing.assert_close(found.values["toy"], whole.values["toy"])


def test_calls_and_limits_are_state(crystals):
    with Evaluator(Once(), ("toy",)) as evaluator, Evaluator(Bowl(), ("toy",)) as other:
        evaluator.values(crystals)
        state = state_of(evaluator)
        assert set(state) == {"predictor_calls", "seconds", "_memory_limit"}
        put_back(other, state, torch.device("cpu"))
        assert other.predictor_calls == 6
        assert other.seconds == evaluator.seconds
        other.seconds["something new"] += 1.0
