from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, oxidation_table
from smoacs.crystals import Candidates, DesignSpace, Snapshot
from smoacs.crystals.candidates import MIN_RELATIVE_VOLUME
from smoacs.crystals.lattice import cosines, relative_volume
from smoacs.templates import from_structure, perovskite


def magnetite():
    """A free triclinic template of seven sites with three combinations of mixed valence, Fe3O4."""
    lattice = Lattice.from_parameters(4.1, 5.2, 6.3, 75, 95, 110)
    sites = np.random.default_rng(0).random((7, 3))
    return from_structure(Structure(lattice, ["Fe"] * 3 + ["O"] * 4, sites))


FREE = magnetite()
TEMPLATES = [perovskite(), FREE, perovskite(2)]


def started(templates, seed=0, noise=0.5):
    space = DesignSpace.from_templates(templates)
    generator = torch.Generator().manual_seed(seed)
    return Candidates.start(space, generator, score_noise=noise, combination_noise=noise)


def in_double(soft):
    """The same candidates in double precision."""

    def convert(x):
        return x.detach().double() if torch.is_tensor(x) and x.is_floating_point() else x

    space = replace(soft.space, **{k: convert(v) for k, v in vars(soft.space).items()})
    return Candidates(space=space, **{k: convert(v) for k, v in soft.variables.items()})


def possible(space):
    """Elements that a site may hold under some combination of its candidate, [N, E]."""
    return (space.allowed & space.combination_used[space.system_idx][:, :, None]).any(1)


@pytest.mark.parametrize("temperature", [1.0, 0.01, 1e-4])
@pytest.mark.parametrize("second_softmax", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_forbidden_elements_have_no_weight_and_no_gradient(temperature, second_softmax, noise):
    soft = started(TEMPLATES, noise=noise)
    probs, _ = soft.element_probs(temperature, second_softmax=second_softmax)
    forbidden = ~possible(soft.space)
    assert forbidden.any(1).all()
    assert (probs[forbidden] == 0).all()
    assert (probs >= 0).all()
    torch.testing.assert_close(probs.sum(1), torch.ones(len(probs)), rtol=0, atol=1e-6)
    weights = torch.randn(probs.shape, generator=torch.Generator().manual_seed(1))
    (probs * weights).sum().backward()
    assert (soft.element_scores.grad[forbidden] == 0).all()
    assert soft.element_scores.grad.isfinite().all()
    assert soft.combination_scores.grad.isfinite().all()
    assert (soft.combination_scores.grad[~soft.space.combination_used] == 0).all()
    if temperature == 1.0:
        assert soft.element_scores.grad[~forbidden].abs().max() > 0.01


def test_start_weighs_all_allowed_elements_of_a_combination_alike():
    soft = started([perovskite()], noise=0.0)
    probs, _ = soft.element_probs(0.01)
    k = soft.space.combination_used.sum()
    expected = (soft.space.allowed / soft.space.allowed.sum(2, keepdim=True)).sum(1) / k
    torch.testing.assert_close(probs, expected)


def test_expected_radius_is_that_of_the_mixture():
    soft = started([perovskite()], noise=0.5)
    allowed, radii = soft.space.allowed, soft.space.radii
    _, expected = soft.element_probs(1.0)
    v = torch.softmax(soft.combination_scores[0], 0)
    for site in range(5):
        total = 0.0
        for k in range(len(v)):
            scores = soft.element_scores[site][allowed[site, k]]
            total += v[k] * (torch.softmax(scores, 0) * radii[site, k][allowed[site, k]]).sum()
        assert expected[site].item() == pytest.approx(total.item(), rel=1e-5)


@given(seed=st.integers(0, 2**31), noise=st.sampled_from([1e-3, 1.0, 1e3]))
def test_discrete_crystals_are_always_neutral(seed, noise):
    soft = started(TEMPLATES, seed=seed, noise=noise)
    soft.harden()
    table = oxidation_table()
    for b, template in enumerate(TEMPLATES):
        charges = template.combinations[soft.combination[b]]
        assert charges.sum() == 0
        symbols = [ELEMENTS[e] for e in soft.elements[soft.space.system_idx == b]]
        wrong = [(s, q) for s, q in zip(symbols, charges, strict=True) if q not in table[s]]
        assert wrong == []


@pytest.mark.parametrize("second_softmax", [False, True])
def test_cold_crystals_are_the_discrete_ones(second_softmax):
    soft = started(TEMPLATES)
    cold = soft.soft(1e-4, second_softmax=second_softmax)
    soft.harden()
    hard = soft.hard()
    torch.testing.assert_close(cold.species_probs, hard.species_probs, rtol=0, atol=1e-5)
    torch.testing.assert_close(cold.frac_coords, hard.frac_coords, rtol=0, atol=0)
    torch.testing.assert_close(cold.cell, hard.cell, rtol=0, atol=0)


def test_cold_radii_are_those_of_the_discrete_crystal():
    soft = started([perovskite(), perovskite(2)])
    cold = soft.soft(1e-4)
    soft.harden()
    hard = soft.hard()
    torch.testing.assert_close(cold.ionic_radii, hard.ionic_radii, rtol=1e-5, atol=0)
    assert hard.ionic_radii.min() > 0.1
    assert torch.equal(hard.site_roles, soft.space.roles)


@pytest.mark.parametrize("second_softmax", [False, True])
def test_gradient_of_the_crystals(second_softmax):
    soft = in_double(started([FREE, perovskite()]))
    soft.angles.sub_(4.0)
    names = ("lengths", "angles", "displacements", "element_scores", "combination_scores")
    soft.displacements.add_(0.1 * torch.rand(soft.displacements.shape))
    weights = torch.randn(soft.element_scores.shape).double()

    def function(*variables):
        moved = replace(soft, **dict(zip(names, variables, strict=True)))
        crystals = moved.soft(0.5, second_softmax=second_softmax)
        return (crystals.species_probs * weights).sum(1), crystals.positions

    inputs = [getattr(soft, name).requires_grad_() for name in names]
    assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
    species, positions = function(*inputs)
    for grad in torch.autograd.grad(species.sum() + positions.sum(), inputs):
        assert grad.abs().max() > 0.01


def test_gradient_of_the_radii():
    soft = in_double(started([perovskite()]))

    def radii(element_scores, combination_scores):
        moved = replace(soft, element_scores=element_scores, combination_scores=combination_scores)
        return moved.soft(0.5).ionic_radii

    inputs = (soft.element_scores.requires_grad_(), soft.combination_scores.requires_grad_())
    assert torch.autograd.gradcheck(radii, inputs, fast_mode=True)
    for grad in torch.autograd.grad(radii(*inputs).sum(), inputs):
        assert grad.abs().max() > 0.01


def scattered(templates, seed, size):
    """Candidates whose variables are thrown about, often beyond their bounds."""
    soft = started(templates, seed=seed)
    with torch.no_grad():
        units = ((soft.lengths, 10.0), (soft.angles, 60.0), (soft.displacements, 1.0))
        for tensor, unit in units:
            draw = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed))
            tensor.add_(size * unit * draw)
    return soft


@given(seed=st.integers(0, 2**31), size=st.sampled_from([0.1, 1.0, 10.0]))
def test_projected_candidates_are_within_bounds(seed, size):
    soft = scattered(TEMPLATES, seed, size)
    soft.project()
    space = soft.space
    lengths, angles = soft.lengths.detach(), soft.angles.detach()
    low, high = space.length_bounds.unbind(1)
    assert (lengths >= low - 1e-5).all()
    assert (lengths <= high + 1e-5).all()
    low, high = space.angle_bounds.unbind(1)
    assert (angles >= low).all()
    assert (angles <= high).all()
    assert (relative_volume(cosines(angles)) >= MIN_RELATIVE_VOLUME).all()
    assert (soft.displacements.abs() <= space.coord_box).all()
    crystals = soft.soft(0.5)
    assert crystals.cell.isfinite().all()
    assert (crystals.volume > 0.1).all()


def test_projection_leaves_points_inside_alone():
    soft = started(TEMPLATES)
    with torch.no_grad():
        soft.displacements.add_(0.04 * (2 * torch.rand(soft.displacements.shape) - 1))
        soft.angles[1] += 2.0  # those of the others are frozen
    before = [x.detach().clone() for x in (soft.lengths, soft.angles, soft.displacements)]
    soft.project()
    for now, then in zip((soft.lengths, soft.angles, soft.displacements), before, strict=True):
        assert torch.equal(now, then)


def test_frozen_coordinates_and_angles_stay():
    frozen = replace(perovskite(), coord_box=np.zeros((5, 3)))
    soft = scattered([frozen], 0, 1.0)
    soft.project()
    assert (soft.displacements == 0).all()
    assert torch.equal(soft.angles.detach(), torch.full((1, 3), 90.0))


def test_no_dead_gradient_at_the_bounds():
    soft = scattered([FREE, perovskite()], 3, 10.0)
    soft.project()
    crystals = soft.soft(0.5)
    (crystals.frac_coords.sum() + crystals.cell.square().sum()).backward()
    assert (soft.displacements.grad == 1).all()
    assert (soft.lengths.grad.abs() > 0.01).all()
    at_length_bound = soft.displacements.abs() == soft.space.coord_box
    assert at_length_bound.any()
    soft.place(angles=torch.tensor([[10.0, 95.0, 110.0]]), systems=torch.tensor([0]))
    assert soft.angles.tolist()[0] == [30.0, 95.0, 110.0]
    slopes = torch.autograd.grad(soft.soft(0.5).cell.sum(), soft.angles)[0][0]
    assert (slopes.abs() > 1e-3).all()


def test_templates_of_different_sizes_share_a_batch():
    soft = started(TEMPLATES)
    whole = soft.soft(0.3)
    assert whole.counts.tolist() == [t.n_sites for t in TEMPLATES]
    assert whole.ionic_radii is None  # one template has no roles
    for b, template in enumerate(TEMPLATES):
        alone = started([template])
        rows = soft.space.system_idx == b
        k = template.n_combinations
        with torch.no_grad():
            alone.lengths.copy_(soft.lengths[[b]])
            alone.element_scores.copy_(soft.element_scores[rows])
            alone.combination_scores.copy_(soft.combination_scores[[b], :k])
        part, single = whole.select(torch.tensor([b])), alone.soft(0.3)
        torch.testing.assert_close(part.species_probs, single.species_probs)
        torch.testing.assert_close(part.frac_coords, single.frac_coords)
        torch.testing.assert_close(part.cell, single.cell)


def test_same_generator_same_start():
    first, second, other = (started(TEMPLATES, seed=s) for s in (5, 5, 6))
    for name in ("lengths", "angles", "displacements", "element_scores", "combination_scores"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.lengths, other.lengths)
    assert not torch.equal(first.element_scores, other.element_scores)


def test_starting_lengths_are_uniform_within_their_bounds():
    soft = started([perovskite()] * 1000, noise=0.0)
    lengths = soft.lengths.detach()
    assert lengths.min() >= 2
    assert lengths.max() <= 10 + 1e-5
    deciles = torch.quantile(lengths.flatten(), torch.linspace(0.1, 0.9, 9))
    torch.testing.assert_close(deciles, torch.linspace(2.8, 9.2, 9), rtol=0, atol=0.3)
    correlation = torch.corrcoef(lengths.T) - torch.eye(3)
    assert correlation.abs().max() < 0.1
    assert soft.length_scale == lengths.max()


def test_free_template_starts_as_it_is():
    crystals = started([FREE], noise=0.0).soft(0.1)
    structure = crystals.to_structures()[0]
    assert structure.lattice.parameters == pytest.approx((4.1, 5.2, 6.3, 75, 95, 110), rel=1e-5)
    np.testing.assert_allclose(structure.frac_coords, FREE.frac_coords, atol=1e-6)


def test_copies():
    soft = started([perovskite()] * 4)
    with torch.no_grad():
        soft.displacements.copy_(torch.rand(soft.displacements.shape))
    names = ("lengths", "angles", "displacements", "element_scores", "combination_scores")
    before = {name: getattr(soft, name).detach().clone() for name in names}
    soft.copy_systems(torch.tensor([0, 3, 2, 2]))
    for name in names:
        rows = getattr(soft, name).detach().view(4, -1)
        assert torch.equal(rows, before[name].view(4, -1)[[0, 3, 2, 2]])
    assert soft.element_scores.shape == (20, N_ELEMENTS)


def real_ones(n=3):
    """Real perovskites, each with other elements and a geometry of its own."""
    candidates = started([perovskite()] * n)
    candidates.harden()
    shifts = 0.01 * torch.arange(5 * n * 3).view(5 * n, 3) / (15 * n)
    lengths = 4.0 + torch.arange(3.0 * n).view(n, 3) / 10
    candidates.place(lengths, displacements=shifts)
    return candidates


def test_to_harden_changes_elements_in_place():
    soft = started([perovskite()] * 4)
    held = soft.state
    soft.harden()
    assert held["elements"] is soft.elements
    assert held["combination"] is soft.combination
    assert soft.rows.shape == (4, 5)
    assert soft.sites_each == 5
    assert torch.equal(soft.rows.flatten(), soft.elements)
    best = soft.combination_scores.masked_fill(~soft.space.combination_used, -torch.inf).argmax(1)
    assert torch.equal(soft.combination, best)
    sites = torch.arange(20)
    allowed = soft.allowed()
    assert allowed[sites, soft.elements].all()
    scores = soft.element_scores.detach()
    assert (scores[sites, soft.elements, None] >= scores)[allowed].all()


def test_real_candidates_stand_on_their_templates():
    elements = torch.tensor([[18, 11, 8, 8, 8], [36, 19, 8, 8, 16]])
    space = DesignSpace.from_templates([perovskite()] * 2)
    candidates = Candidates.real(space, torch.tensor([0, 0]), elements)
    assert torch.equal(candidates.lengths.detach(), candidates.space.lengths)
    assert (candidates.displacements == 0).all()
    assert torch.equal(candidates.rows, elements)
    crystals = candidates.hard()
    assert torch.equal(crystals.species_probs.argmax(1), elements.flatten())
    one = candidates.hard(torch.tensor([1]))
    assert torch.equal(one.cell, crystals.cell[1:])
    assert torch.equal(one.species_probs, crystals.species_probs[5:])
    crystals.cell.sum().backward()
    assert (candidates.lengths.grad > 0).all()


def test_decorating_some_leaves_the_others():
    candidates = real_ones()
    before = candidates.rows.clone()
    other = before[[2]].clone()
    other[:, 2:] = 16
    candidates.decorate(torch.tensor([2]), other)
    assert torch.equal(candidates.rows[:2], before[:2])
    assert torch.equal(candidates.elements.view(3, 5)[2], other[0])
    assert candidates.hard().species_probs.argmax(1)[-1] == 16


@pytest.mark.parametrize("systems", [None, torch.tensor([2, 0])])
def test_placed_candidates_are_within_bounds_and_others_stay(systems):
    candidates = real_ones()
    before = candidates.snapshot()
    n = 3 if systems is None else 2
    lengths = torch.tensor([[1.0, 5.0, 99.0]]).expand(n, 3)
    shifts = torch.full((n, 5, 3), 0.05)
    shifts[:, 0] = 0.9
    candidates.place(lengths, displacements=shifts, systems=systems)
    moved = torch.arange(3) if systems is None else systems
    assert torch.equal(candidates.lengths.detach()[moved], torch.tensor([[2.0, 5.0, 10.0]] * n))
    found = candidates.displacements.detach().view(3, 5, 3)
    torch.testing.assert_close(found[moved][:, 1:], shifts[:, 1:])
    torch.testing.assert_close(found[moved][:, 0], torch.full((n, 3), 0.15))
    if systems is not None:
        assert torch.equal(candidates.lengths.detach()[1], before.lengths[1])
        assert torch.equal(found[1], before.displacements[1])
    assert candidates.lengths.requires_grad
    assert candidates.lengths.is_leaf


def test_moves_are_added_and_bounded():
    candidates = real_ones()
    before = candidates.lengths.detach().clone()
    scores = candidates.element_scores.detach().clone()
    candidates.move({"lengths": torch.full((3, 3), 0.5), "element_scores": torch.ones(15, 98)})
    assert torch.allclose(candidates.lengths, before + 0.5)
    assert torch.allclose(candidates.element_scores, scores + 1)
    candidates.move({"lengths": torch.full((3, 3), 500.0)})
    assert (candidates.lengths == 10).all()


def test_what_is_remembered_comes_back():
    candidates = real_ones()
    found = candidates.snapshot()
    assert found.displacements.shape == (3, 5, 3)
    candidates.move({"lengths": torch.ones(3, 3), "displacements": torch.full((15, 3), 0.02)})
    candidates.decorate(torch.arange(3), torch.full((3, 5), 7))
    candidates.combination.fill_(1)
    later = candidates.snapshot()
    assert not torch.equal(found.elements, later.elements)
    candidates.restore(torch.tensor([1]), found)
    now = candidates.snapshot()
    for name in ("combination", "elements", "lengths", "angles", "displacements"):
        own, kept, moved = (getattr(x, name) for x in (now, found, later))
        assert torch.equal(own[1], kept[1])
        assert torch.equal(own[[0, 2]], moved[[0, 2]])
    candidates.restore(torch.tensor([0]), found, torch.tensor([2]))
    assert torch.equal(candidates.rows[0], found.elements[2])
    assert torch.equal(candidates.lengths.detach()[0], found.lengths[2])


def test_rows_of_a_memory_are_overwritten():
    candidates = real_ones()
    memory = candidates.snapshot()
    candidates.move({"lengths": torch.ones(3, 3)})
    other = candidates.snapshot()
    before = Snapshot(**{name: value.clone() for name, value in vars(memory).items()})
    memory.take(torch.tensor([1]), other, torch.tensor([2]))
    assert torch.equal(memory.elements[1], other.elements[2])
    assert torch.equal(memory.lengths[1], other.lengths[2])
    assert torch.equal(memory.lengths[[0, 2]], before.lengths[[0, 2]])


def test_another_space_has_the_same_variables():
    space = DesignSpace.from_templates([perovskite()] * 2)
    masks = space.allowed.any(1).clone()
    masks[:, 8] = False
    narrow = started([perovskite()] * 2).with_space(space.with_masks(masks))
    wide = narrow.with_space(space)
    assert wide.lengths is narrow.lengths
    assert wide.elements is narrow.elements
    assert wide.length_scale == narrow.length_scale
    assert set(narrow.state) - set(wide.state) == {"allowed", "combination_used"}
    narrow.harden()
    assert not (wide.elements == 8).any()
    assert wide.allowed()[:, 8].any() > narrow.allowed()[:, 8].any()


def test_copies_of_candidates_with_spaces_of_their_own_take_these_along():
    space = DesignSpace.from_templates([perovskite()] * 2)
    masks = space.allowed.any(1).clone()
    masks[5:, 8] = False
    candidates = started([perovskite()] * 2).with_space(space.with_masks(masks))
    candidates.copy_systems(torch.tensor([1, 1]))
    assert not candidates.space.allowed[..., 8].any()
