"""What trials do with the geometry, and when they are over."""

import pytest
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator
from smoacs.search.gradient.objective import Objective, no_loss
from smoacs.search.gradient.policies import Outcome, Polishing, Settling, Standing
from smoacs.search.settings import DEFAULT
from smoacs.targets import Targets
from smoacs.templates import prototype, site_operations
from toys import Stack

N = 4
TEMPLATE = prototype("rutile")
SETTINGS = DEFAULT.discrete
TARGETS = Targets.of(["toy < 9"])
ROWS = torch.arange(N)


@pytest.fixture
def evaluator():
    with Evaluator(Stack(), ("toy",)) as found:
        yield found


def rutiles():
    """MgTiO4-like candidates, stretched and shaken."""
    elements = torch.tensor([[21, 21, 7, 7, 7, 7]] * N)
    elements[1:, 0] = 11
    space = DesignSpace.from_templates([TEMPLATE] * N)
    candidates = Candidates.real(space, torch.zeros(N, dtype=torch.int64), elements)
    noise = torch.randn(candidates.displacements.shape, generator=torch.Generator().manual_seed(0))
    candidates.place(candidates.lengths.detach() * 0.9, displacements=0.01 * noise)
    return candidates


def standing(calls=1, loss=None):
    like = torch.zeros(N)
    known = no_loss(like) if loss is None else torch.full((N,), loss)
    return Standing(
        loss=known.clone(),
        target_loss=known.clone(),
        last_loss=no_loss(like),
        met=torch.zeros(N, dtype=torch.bool),
        calls=torch.full((N,), calls),
    )


def outcome(loss, met=False):
    losses = torch.full((N,), loss) if isinstance(loss, float) else torch.tensor(loss)
    flags = torch.full((N,), met) if isinstance(met, bool) else torch.tensor(met)
    return Outcome(flags, losses, losses.clone(), {"toy": losses.clone()})


def looked_at(policy, objective, candidates, now):
    crystals = candidates.hard(ROWS)
    slopes = objective(
        crystals, lambda t, v: t.loss(v, inner=0.5), ROWS, chemistry=policy.chemistry
    )
    policy.look(ROWS, crystals, slopes, now)
    return slopes


def settling(evaluator):
    candidates = rutiles()
    policy = Settling(candidates, SETTINGS, site_operations(TEMPLATE))
    policy.begin(ROWS)
    return candidates, policy, Objective(evaluator, TARGETS, at_rest=True)


def test_settling_ends_at_rest(evaluator):
    candidates, policy, objective = settling(evaluator)
    now, where = outcome(0.0), standing()
    ended = torch.zeros(N, dtype=torch.bool)
    for _ in range(25):
        slopes = looked_at(policy, objective, candidates, now)
        ended = policy.over(ROWS, slopes, now, where)
        if ended.all():
            break
        policy.move(~ended)
    assert ended.all()
    assert (slopes.pressure.abs() < 3).all()
    assert (slopes.max_force < 0.1).all()
    assert policy.end(ROWS, now) is now
    assert set(policy.parts) == {"newton"}


def test_settling_moves_those_that_go_on(evaluator):
    candidates, policy, objective = settling(evaluator)
    before = candidates.lengths.detach().clone()
    looked_at(policy, objective, candidates, outcome(0.0))
    going = torch.tensor([True, False, True, False])
    policy.move(going)
    moved = (candidates.lengths.detach() != before).any(1)
    assert torch.equal(moved, going)


def test_settling_is_over_when_its_calls_are_spent(evaluator):
    candidates, policy, objective = settling(evaluator)
    now = outcome(0.0)
    slopes = looked_at(policy, objective, candidates, now)

    def over(calls, loss):
        return policy.over(ROWS, slopes, now, standing(calls, loss)).all()

    assert not over(SETTINGS.first_calls - 1, None)
    assert over(SETTINGS.first_calls, None)
    assert not over(SETTINGS.trial_calls - 1, 1.0)
    assert over(SETTINGS.trial_calls, 1.0)


def test_settling_is_over_when_it_will_miss(evaluator):
    candidates, policy, objective = settling(evaluator)
    slopes = looked_at(policy, objective, candidates, outcome(0.0))
    leap = SETTINGS.leap
    far = outcome([0.9 + leap, 1.1 + leap, 1.0, 9.0])
    new = policy.over(ROWS, slopes, far, standing(1, 1.0))
    assert new.tolist() == [False, True, False, True]
    assert not policy.over(ROWS, slopes, far, standing(1, None)).any()  # nothing to compare with
    later = standing(2, 1.0)
    later.last_loss[:] = torch.tensor([0.9 + leap, 0.9 + leap, 2.0, 1.5])
    # Misses by 0.2, 0.4, 0 and 8; the last steps changed them by 0, 0.2, 1 and 7.5.
    assert policy.over(ROWS, slopes, far, later).tolist() == [True, False, False, False]


def test_a_crystal_that_is_not_finite_is_over(evaluator):
    candidates, policy, objective = settling(evaluator)
    with torch.no_grad():
        candidates.lengths[2] = torch.nan
    now = outcome(0.0)
    slopes = looked_at(policy, objective, candidates, now)
    assert policy.over(ROWS, slopes, now, standing()).tolist() == [False, False, True, False]


def polishing(evaluator, targets):
    candidates = rutiles()
    policy = Polishing(candidates, Objective(evaluator, targets), SETTINGS)
    policy.begin(ROWS)
    return candidates, policy


def test_polishing_goes_downhill_and_keeps_the_best():
    with Evaluator(Stack(), ("formation_energy",)) as evaluator:
        targets = Targets.of(["formation_energy < -9"])
        candidates, policy = polishing(evaluator, targets)
        objective, found = Objective(evaluator, targets), []
        for step in range(SETTINGS.polish_steps):
            crystals = candidates.hard(ROWS)
            slopes = objective(crystals, lambda t, v: t.loss(v), ROWS)
            now = Outcome(torch.zeros(N, dtype=torch.bool), slopes.loss, slopes.loss, slopes.values)
            policy.look(ROWS, crystals, slopes, now)
            found.append(slopes.loss)
            if step == 3:  # an excursion that is to be forgotten
                candidates.place(candidates.lengths.detach() * 1.3)
                continue
            policy.move(torch.ones(N, dtype=torch.bool))
        ended = policy.end(ROWS, now)
        after = objective(candidates.hard(), lambda t, v: t.loss(v)).loss
    losses = torch.stack(found)
    assert (losses[3] < losses[0]).all()
    torch.testing.assert_close(ended.loss, losses.amin(0))
    torch.testing.assert_close(after, losses.amin(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        ended.values["formation_energy"], evaluated_at(candidates), rtol=1e-4, atol=1e-4
    )
    assert set(policy.parts) == {"adam", "best_geometry", "outcome"}


def evaluated_at(candidates):
    with Evaluator(Stack(), ("formation_energy",)) as evaluator:
        return evaluator.values(candidates.hard()).values["formation_energy"]


def test_a_success_outranks_a_lower_loss(evaluator):
    candidates, policy = polishing(evaluator, TARGETS)
    trials = [
        outcome(1.0),
        outcome([2.0, 2.0, 0.5, 3.0], [True, False, False, True]),
        outcome([0.1, 3.0, 0.6, 2.5], [False, False, False, True]),
    ]
    for now in trials:
        looked_at(policy, Objective(evaluator, TARGETS), candidates, now)
    ended = policy.end(ROWS, trials[-1])
    assert ended.met.tolist() == [True, False, False, True]
    assert ended.loss.tolist() == pytest.approx([2.0, 1.0, 0.5, 2.5])
    policy.begin(torch.tensor([0]))
    again = policy.end(ROWS, trials[-1])
    assert again.met.tolist() == [False, False, False, True]
    assert again.loss.tolist() == pytest.approx([torch.inf, 1.0, 0.5, 2.5])


def test_polishing_is_over_after_its_steps(evaluator):
    candidates, policy = polishing(evaluator, TARGETS)
    with torch.no_grad():
        candidates.lengths[1] = torch.nan
    objective = Objective(evaluator, TARGETS)
    now = outcome(0.0)
    slopes = looked_at(policy, objective, candidates, now)
    assert policy.over(ROWS, slopes, now, standing()).tolist() == [False, True, False, False]
    assert policy.over(ROWS, slopes, now, standing(SETTINGS.polish_steps)).all()


def test_polishing_leaves_the_others_alone(evaluator):
    targets = Targets.of(["toy < -9"])
    candidates, policy = polishing(evaluator, targets)
    objective = Objective(evaluator, targets)
    before = candidates.snapshot()
    index = torch.tensor([1, 3])
    crystals = candidates.hard(index)
    slopes = objective(crystals, lambda t, v: t.loss(v), index)
    now = Outcome(torch.zeros(2, dtype=torch.bool), slopes.loss, slopes.loss, slopes.values)
    policy.look(index, crystals, slopes, now)
    policy.move(torch.tensor([True, False]))
    after = candidates.snapshot()
    assert torch.equal(after.lengths[[0, 2, 3]], before.lengths[[0, 2, 3]])
    assert torch.equal(after.displacements[[0, 2, 3]], before.displacements[[0, 2, 3]])
