import pytest
import torch

from smoacs.search.gradient.adam import CandidateAdam, Variable

N = 6
SITES = torch.tensor([0, 0, 1, 2, 2, 2, 3, 4, 5, 5])


def variables(seed=0):
    """One tensor with a row per candidate and one with a row per site."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(N, 3, generator=generator, dtype=torch.float64).requires_grad_()
    sites = torch.randn(len(SITES), 7, generator=generator, dtype=torch.float64).requires_grad_()
    return rows, sites


def loss(rows, sites):
    return (rows**4).sum() + (sites - 0.3).square().sum() + (rows[SITES, :1] * sites).sum()


def candidate_adam(rows, sites, beta2=0.999):
    return CandidateAdam(
        {
            "rows": Variable(rows, torch.arange(N), 0.1),
            "sites": Variable(sites, SITES, 0.02, epsilon=1e-3),
        },
        N,
        beta2=beta2,
    )


def step(adam, total, factor=1.0, moving=None):
    """One step down a loss."""
    names = list(adam.variables)
    leaves = [adam.variables[name].tensor for name in names]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    grads = {n: grad for n, grad in zip(names, found, strict=True) if grad is not None}
    changes = adam.changes(grads, factor, moving)
    assert set(changes) == set(grads)
    with torch.no_grad():
        for name, change in changes.items():
            adam.variables[name].tensor.add_(change)


@pytest.mark.parametrize("beta2", [0.999, 0.9])
def test_equals_torch_when_all_move(beta2):
    ours, theirs = variables(), variables()
    adam = candidate_adam(*ours, beta2=beta2)
    reference = torch.optim.Adam(
        [
            {"params": [theirs[0]], "lr": 0.1, "eps": 1e-8},
            {"params": [theirs[1]], "lr": 0.02, "eps": 1e-3},
        ],
        betas=(0.9, beta2),
    )
    for _ in range(20):
        step(adam, loss(*ours))
        reference.zero_grad()
        loss(*theirs).backward()
        reference.step()
    # Ours counts steps in single precision, in which 1 - 0.999 has four digits.
    torch.testing.assert_close(ours, theirs, rtol=3e-4, atol=1e-5)
    assert (ours[0] - variables()[0]).abs().mean() > 0.1


def test_tensors_with_the_same_rows_move_as_each_alone():
    kinds = [((N,), torch.float64), ((N, 3), torch.float64), ((N, 3), torch.float32)]
    kinds.append(((N, 2, 2), torch.float32))
    moving = torch.arange(N) != 2

    def moved(chosen):
        rows = torch.arange(N)
        tensors = [torch.ones(shape, dtype=dtype).requires_grad_() for shape, dtype in chosen]
        named = {str(k): Variable(t, rows, 0.1) for k, t in enumerate(tensors)}
        adam = CandidateAdam(named, N)
        for power in (2, 3):
            scale = torch.arange(1.0, N + 1)
            total = sum((scale * (t.view(N, -1) ** power).sum(1)).sum() for t in tensors)
            step(adam, total, moving=moving)
        return [t.detach() for t in tensors]

    together = moved(kinds)
    assert [t.dtype for t in together] == [dtype for _, dtype in kinds]
    torch.testing.assert_close(together, [moved([kind])[0] for kind in kinds], rtol=0, atol=0)
    assert all((t[moving] < 1).all() and (t[~moving] == 1).all() for t in together)


def test_factor_scales_the_step():
    full, half = variables(), variables()
    for tensors, factor in ((full, 1.0), (half, 0.5)):
        step(candidate_adam(*tensors), loss(*tensors), factor)
    start = variables()
    for a, b, c in zip(full, half, start, strict=True):
        torch.testing.assert_close(a - c, 2 * (b - c))


def test_resting_candidates_stand_still_and_keep_their_momentum():
    tensors, moving = variables(), torch.tensor([True, False, True, True, False, True])
    adam = candidate_adam(*tensors)
    for k in range(10):
        before = [t.detach().clone() for t in tensors]
        step(adam, loss(*tensors), moving=moving if 3 <= k < 6 else None)
        for tensor, then, rows in zip(tensors, before, (torch.arange(N), SITES), strict=True):
            still = (tensor == then).all(1)
            expected = ~moving[rows] if 3 <= k < 6 else torch.zeros(len(rows), dtype=torch.bool)
            assert torch.equal(still, expected)
    # A candidate that never rested is where it would be without the others.
    alone = variables()
    adam = candidate_adam(*alone)
    for _ in range(10):
        step(adam, loss(*alone))
    assert torch.equal(alone[0][moving], tensors[0][moving])
    # One that rested for three of ten steps has taken the steps of a run of seven.
    short = variables()
    adam = candidate_adam(*short)
    for _ in range(7):
        step(adam, loss(*short))
    assert torch.equal(short[0][~moving], tensors[0][~moving])


def test_restart_makes_some_candidates_new():
    tensors = variables()
    adam = candidate_adam(*tensors)
    for _ in range(5):
        step(adam, loss(*tensors))
    anew = torch.tensor([False, True, False, False, False, True])
    adam.restart(anew)
    fresh = [t.detach().clone().requires_grad_() for t in tensors]
    for optimiser, leaves in ((adam, tensors), (candidate_adam(*fresh), fresh)):
        step(optimiser, loss(*leaves))
    assert torch.equal(tensors[0][anew], fresh[0][anew])
    assert torch.equal(tensors[1][anew[SITES]], fresh[1][anew[SITES]])
    assert (tensors[0][~anew] != fresh[0][~anew]).all()


def test_what_nothing_depends_on_stays():
    rows, sites = variables()
    adam = candidate_adam(rows, sites)
    before = sites.detach().clone()
    step(adam, rows.square().sum())
    assert rows.grad is None
    assert torch.equal(sites, before)
    assert not torch.equal(rows, variables()[0])


def test_broken_candidate_does_not_touch_the_others():
    broken, whole = variables(), variables()
    with torch.no_grad():
        broken[0][2] = torch.nan
    for tensors in (broken, whole):
        adam = candidate_adam(*tensors)
        for _ in range(3):
            step(adam, loss(*tensors))
    others = torch.arange(N) != 2
    assert torch.equal(broken[0][others], whole[0][others])
    assert torch.equal(broken[1][others[SITES]], whole[1][others[SITES]])
    assert broken[0][2].isnan().all()


def test_one_that_stands_still_may_be_broken():
    tensors = variables()
    adam = candidate_adam(*tensors)
    moving = torch.arange(N) != 2
    grads = {"rows": torch.ones(N, 3).double(), "sites": torch.ones(len(SITES), 7).double()}
    grads["rows"][2] = torch.nan
    changes = adam.changes(grads, 1.0, moving)
    assert (changes["rows"][2] == 0).all()
    assert (changes["rows"][moving] != 0).all()
    grads["rows"][2] = 1.0
    assert adam.changes(grads, 1.0)["rows"].isfinite().all()


def test_learning_rates_may_differ_within_a_tensor():
    tensor, rates = torch.zeros(N, 3), torch.tensor([0.1, 0.0, 0.2]).expand(N, 3)
    adam = CandidateAdam({"x": Variable(tensor, torch.arange(N), rates)}, N)
    change = adam.changes({"x": torch.ones(N, 3)}, 0.5)["x"]
    torch.testing.assert_close(change, -0.5 * rates, rtol=1e-4, atol=1e-6)
