"""Which swaps are tried: allowed ones, cheap ones, and compositions that nobody has."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.evaluation import Evaluator
from smoacs.search.gradient.moves import Moves, composition_keys
from smoacs.search.gradient.objective import Objective
from smoacs.search.gradient.swaps import Swaps
from smoacs.search.settings import DEFAULT
from smoacs.search.state import state_of
from smoacs.targets import Targets
from smoacs.templates import perovskite
from toys import Bowl

N = 12
NOBODY = torch.zeros(N, dtype=torch.bool)


@pytest.fixture
def evaluator():
    with Evaluator(Bowl(), ("toy",)) as found:
        yield found


def swaps_of(evaluator, *, repeat=1, temperature=0.1, text="toy < 0.1", moves=None):
    """Swaps of real candidates whose values and slopes are known, and the candidates."""
    template = perovskite(repeat).with_elements()
    space = DesignSpace.from_templates([template] * N)
    generator = torch.Generator().manual_seed(0)
    candidates = Candidates.start(space, generator, score_noise=1.0, combination_noise=1.0)
    candidates.harden()
    objective = Objective(evaluator, Targets.of([text]))
    settings = replace(DEFAULT.discrete, swap_temperature=temperature, inner=0.0)
    swaps = Swaps(
        candidates,
        objective,
        settings,
        kinds=template.site_labels,
        generator=torch.Generator().manual_seed(1),
        moves=None if moves is None else moves(space),
    )
    swaps.estimates.update(
        candidates,
        torch.arange(N),
        values=evaluator.values(candidates.hard()).values,
        slopes=objective.chemistry_slopes(candidates.hard()),
    )
    return swaps, candidates


def estimated(swaps, candidates):
    """Estimated values after any single swap, [N, n, E]; infinite where it is not allowed."""
    everyone = torch.arange(N)
    value = swaps.estimates.values["toy"][:, None, None] + swaps.estimates.single(everyone)["toy"]
    value = value.masked_fill(~candidates.allowed().view(value.shape), torch.inf)
    return value.scatter(2, candidates.rows[:, :, None], torch.inf)


def test_one_site_of_those_asked_for_changes(evaluator):
    swaps, candidates = swaps_of(evaluator)
    rows = torch.nonzero(torch.arange(N) % 3 != 0).flatten()
    elements = candidates.rows.clone()
    assert swaps.swap(rows, elements, met=NOBODY, taken=set()).all()
    changed = (elements != candidates.rows).sum(1)
    assert torch.equal(changed, (torch.arange(N) % 3 != 0).long())
    allowed = candidates.allowed().view(N, 5, -1)
    assert allowed.gather(2, elements[:, :, None]).all()
    assert set(swaps.tried) == set(composition_keys(elements[rows]))


def test_cold_swaps_take_the_cheapest(evaluator):
    swaps, candidates = swaps_of(evaluator, temperature=1e-6)
    cost, elements = estimated(swaps, candidates), candidates.rows.clone()
    swaps.swap(torch.arange(N), elements, met=NOBODY, taken=set())
    site = (elements != candidates.rows).long().argmax(1)
    everyone = torch.arange(N)
    taken = cost[everyone, site, elements[everyone, site]]
    cheapest = cost.flatten(1).amin(1)
    assert (taken <= cheapest + 1e-4).sum() >= N - 3  # but for compositions that were on trial


def test_hot_swaps_are_drawn_from_all(evaluator):
    swaps, candidates = swaps_of(evaluator, temperature=1e6)
    cost, elements = estimated(swaps, candidates), candidates.rows.clone()
    swaps.swap(torch.arange(N), elements, met=NOBODY, taken=set())
    site = (elements != candidates.rows).long().argmax(1)
    everyone = torch.arange(N)
    taken = cost[everyone, site, elements[everyone, site]]
    assert (taken > cost.flatten(1).amin(1) + 0.01).sum() > N / 2


def test_large_cells_swap_several_sites_to_one_element(evaluator):
    swaps, candidates = swaps_of(evaluator, repeat=2, text="toy < -1")
    before, elements = candidates.rows.clone(), candidates.rows.clone()
    value = estimated(swaps, candidates)
    swaps.swap(torch.arange(N), elements, met=NOBODY, taken=set())
    labels = np.array(perovskite(2).site_labels)
    for b in range(N):
        changed = torch.nonzero(elements[b] != before[b]).flatten()
        assert 1 <= len(changed) <= 40 // DEFAULT.discrete.sites_per_swap
        assert len(set(elements[b, changed].tolist())) == 1
        assert len(set(labels[changed.numpy()])) == 1
        now = swaps.estimates.values["toy"][b]
        downhill = value[b, changed, elements[b, changed]] < now
        assert downhill.sum() >= len(changed) - 1  # the first need not be downhill
    assert (elements != before).sum() > 2 * N


def test_what_is_taken_is_given_to_nobody(evaluator):
    swaps, candidates = swaps_of(evaluator, temperature=1e-6)
    first = candidates.rows.clone()
    swaps.swap(torch.tensor([0]), first, met=NOBODY, taken=set())
    taken = set(composition_keys(first[:1]))
    second = candidates.rows.clone()
    swaps.swap(torch.tensor([0]), second, met=NOBODY, taken=taken)
    assert taken.isdisjoint(composition_keys(second[:1]))


def test_what_was_tried_comes_after_what_was_not(evaluator):
    swaps, candidates = swaps_of(evaluator, temperature=1e-6)
    found = set()
    for _ in range(6):
        elements = candidates.rows.clone()
        swaps.swap(torch.tensor([0]), elements, met=NOBODY, taken=set())
        found.update(composition_keys(elements[:1]))
    assert len(found) == 6
    assert set(swaps.tried) == found
    assert state_of(swaps) == {"tried": dict.fromkeys(found, 1)}


def test_rules_change_what_is_tied_together(evaluator):
    units = [np.array([0]), np.array([1]), np.array([2, 3, 4])]
    swaps, candidates = swaps_of(evaluator, moves=lambda space: Moves(space, [], units))
    rows = candidates.rows
    rows[:, 3:] = rows[:, [2]]
    elements = rows.clone()
    assert swaps.swap(torch.arange(N), elements, met=NOBODY, taken=set()).all()
    assert (elements != rows).any(1).all()
    assert (elements[:, 2:] == elements[:, [2]]).all()


def test_where_nothing_is_left_nothing_changes(evaluator):
    swaps, candidates = swaps_of(evaluator)
    only = torch.zeros_like(candidates.space.allowed)
    only[torch.arange(5 * N), candidates.combination[candidates.space.system_idx]] = (
        torch.nn.functional.one_hot(candidates.elements, 98).bool()
    )
    candidates.space.allowed.copy_(only)
    elements = candidates.rows.clone()
    assert not swaps.swap(torch.arange(N), elements, met=NOBODY, taken=set()).any()
    assert torch.equal(elements, candidates.rows)
