import pytest
import torch

from smoacs.crystals import DesignSpace, SoftCrystals
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.gradient.finish import SITES_PER_SWAP, _resting, _start, _swap, _try, finish
from smoacs.search.gradient.objective import Objective
from smoacs.search.progress import Recorder
from smoacs.search.settings import DEFAULT
from smoacs.targets import Target
from smoacs.templates import perovskite
from toys import Bowl

N = 12
TEMPLATE = perovskite().with_elements()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def started(seed=0):
    space = DesignSpace.from_templates([TEMPLATE] * N)
    return SoftCrystals.start(space, generator(seed), score_noise=1.0, combination_noise=1.0)


def objective_of(text):
    return Objective(Bowl(), (Target.parse(text),))


def losses(soft, combination, elements, text):
    with objective_of(text) as objective:
        crystals = soft.hard_crystals(combination, elements)
        return objective(crystals, lambda target, values: target.loss(values)).loss


def finished(text, steps, seed=0):
    soft, events = started(seed), []
    recorder = Recorder(steps, events.append)
    with objective_of(text) as objective:
        combination, elements = finish(
            soft,
            objective,
            DEFAULT.finish,
            steps=steps,
            generator=generator(seed),
            recorder=recorder,
        )
    return soft, combination, elements, events


@pytest.mark.parametrize("steps", [1, 7, 40])
def test_result_is_never_worse_than_the_start(steps):
    soft = started()
    before = losses(soft, *soft.discretise(), "toy < 0.1")
    soft, combination, elements, _ = finished("toy < 0.1", steps)
    after = losses(soft, combination, elements, "toy < 0.1")
    assert (after <= before + 1e-6).all()
    if steps == 40:
        assert after.mean() < 0.7 * before.mean()


def test_result_is_neutral_and_within_bounds():
    soft, combination, elements, _ = finished("toy < 0.1", 30)
    site = torch.arange(len(elements))
    assert soft.allowed_under(combination)[site, elements].all()
    lengths, angles = soft.cell_parameters()
    assert lengths.min() >= 2 - 1e-5
    assert lengths.max() <= 10 + 1e-5
    assert (angles == 90).all()


def test_success_that_was_told_is_in_the_result():
    soft, combination, elements, events = finished("toy < 0.3", 40)
    met = losses(soft, combination, elements, "toy < 0.3") == 0
    rates = [event.success_rate for event in events]
    assert rates == sorted(rates)  # a success is kept
    assert rates[-1] == pytest.approx(met.float().mean().item())
    assert rates[-1] > rates[0] + 0.2


def test_successes_get_compositions_of_their_own():
    soft, combination, elements, _ = finished("toy < 0.35", 60)
    met = losses(soft, combination, elements, "toy < 0.35") == 0
    compositions = {tuple(sorted(row)) for row in elements.view(N, -1)[met].tolist()}
    assert met.sum() >= 10
    assert len(compositions) >= met.sum() - 1


def tried(soft, text="toy < 0.1"):
    """The state of the search after one evaluation of the starting crystals."""
    climb = _start(soft)
    with objective_of(text) as objective:
        _try(soft, objective, climb, torch.ones(N, dtype=torch.bool), inner=0.0)
    return climb


def test_swap_cost_is_the_change_of_loss():
    soft = started()
    climb = tried(soft)
    allowed = soft.allowed_under(climb.combination)
    before = losses(soft, climb.combination, climb.elements, "toy < 0.1")
    assert (before > 0).all()
    for site in (0, 1, 4, 5 * (N - 1) + 2):
        b = site // 5
        for element in torch.nonzero(allowed[site]).flatten()[::5].tolist():
            swapped = climb.elements.clone()
            if swapped[site] == element:
                continue
            swapped[site] = element
            after = losses(soft, climb.combination, swapped, "toy < 0.1")
            change = (after - before)[b].item()
            # Exact here: the toy's value is linear in the species, and the bound is not reached.
            assert climb.swap_cost[site, element].item() == pytest.approx(change, abs=1e-5)
    assert (climb.swap_cost[~allowed] == torch.inf).all()
    rows = torch.arange(len(climb.elements))
    assert (climb.swap_cost[rows, climb.elements] == torch.inf).all()


def test_swaps_change_one_site_of_active_candidates():
    soft = started()
    climb = tried(soft)
    active = torch.arange(N) % 3 != 0
    _swap(soft, climb, active, temperature=0.1, generator=generator())
    changed = (climb.elements != climb.best_elements).view(N, -1).sum(1)
    assert torch.equal(changed, active.long())
    site = torch.arange(len(climb.elements))
    assert soft.allowed_under(climb.combination)[site, climb.elements].all()


def test_large_cells_swap_several_sites_downhill_at_once():
    space = DesignSpace.from_templates([perovskite(repeat=2).with_elements()] * N)
    soft = SoftCrystals.start(space, generator(), score_noise=1.0, combination_noise=1.0)
    climb = tried(soft)
    before, cost = climb.best_elements.view(N, 40).clone(), climb.swap_cost.view(N, 40, -1).clone()
    everyone = torch.ones(N, dtype=torch.bool)
    _swap(soft, climb, everyone, temperature=0.1, generator=generator())
    after = climb.elements.view(N, 40)
    for b in range(N):
        changed = torch.nonzero(after[b] != before[b]).flatten()
        assert len(changed) == 40 // SITES_PER_SWAP
        promised = cost[b, changed, after[b, changed]]
        assert (promised < 0).sum() >= len(changed) - 1  # the first need not be downhill


def test_cold_swaps_take_the_cheapest_first():
    soft = started()
    climb = tried(soft)
    cost = climb.swap_cost.view(N, -1).clone()
    _swap(soft, climb, torch.ones(N, dtype=torch.bool), temperature=1e-6, generator=generator())
    sites = torch.nonzero(climb.elements != climb.best_elements).flatten()
    taken = climb.swap_cost.new_tensor(
        [cost.view(-1, climb.swap_cost.shape[1])[s, climb.elements[s]] for s in sites]
    )
    cheapest = cost.min(1).values
    assert (taken <= cheapest + 1e-4).sum() >= N - 3  # but for compositions that were taken
    assert (taken < 0).all()


def test_one_candidate_of_a_composition_rests():
    soft = started()
    climb = tried(soft)
    rows = climb.best_elements.view(N, -1)
    rows[1] = rows[0]
    rows[2, 2:] = rows[0, 2:].flip(0)  # the same composition in another order
    rows[2, :2] = rows[0, :2]
    climb.met[:] = True
    climb.met[5] = False
    resting = _resting(climb, torch.zeros(N, dtype=torch.bool))
    assert resting[0]
    assert not resting[1]
    assert not resting[2]
    assert not resting[5]
    already = torch.zeros(N, dtype=torch.bool)
    already[2] = True
    resting = _resting(climb, already)
    assert resting[2]
    assert not resting[0]


def test_resting_costs_nothing():
    config = DesignConfig(targets=("toy < 1",), n=8, steps=60, device="cpu")
    result = run_search(config, predictor=Bowl())
    assert result.predictor_calls < 0.8 * 8 * 60
    assert result.steps == 60
