"""Projections of many crystals at once, against a mean over operations one by one."""

import numpy as np
import pytest
import torch

from smoacs.crystals import Invariants, Symmetriser
from smoacs.crystals.lattice import cell_parameters, metric_tensors
from smoacs.templates import GeometryRules, build_template, site_operations, with_geometry

NAMES = ("rutile", "perovskite", "wurtzite")
OPERATIONS = {name: site_operations(build_template(name)) for name in NAMES}
BATCH = ("rutile", None, "perovskite", "rutile", "wurtzite")
"""Templates of crystals of 6, 3, 5, 6 and 4 sites; one without symmetry."""

COUNTS = torch.tensor([6, 3, 5, 6, 4])


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture(scope="module")
def batch():
    shared = {name: Invariants.of(OPERATIONS[name]) for name in NAMES}
    return Symmetriser([shared.get(name) for name in BATCH], COUNTS)


def metrics(n, seed=0):
    half = draw(n, 3, 3, seed=seed)
    return half @ half.mT


def mean_over_operations(name, metric, shifts):
    """Means of one crystal's metric tensor and displacements over all images."""
    operations = OPERATIONS[name]
    metric, shifts = metric.numpy(), shifts.numpy()
    mean, moved = np.zeros((3, 3)), np.zeros_like(shifts)
    for rotation, image in zip(operations.rotations, operations.permutations, strict=True):
        mean += rotation.T @ metric @ rotation / len(operations)
        for site, target in enumerate(image):
            moved[target] += rotation @ shifts[site] / len(operations)
    return mean, moved


@pytest.mark.parametrize("systems", [None, [0, 2, 4], [3], [1], [4, 1, 0]])
def test_projections_are_means_over_the_images(batch, systems):
    chosen = range(5) if systems is None else systems
    counts = COUNTS[list(chosen)].tolist()
    metric, shifts = metrics(len(counts)), draw(sum(counts), 3, seed=1)
    found = batch.metric(metric, systems), batch.displacements(shifts, systems)
    parts = zip(chosen, metric, found[0], shifts.split(counts), found[1].split(counts), strict=True)
    for system, given, ours, free, kept in parts:
        if BATCH[system] is None:
            assert torch.equal(given, ours)
            assert torch.equal(free, kept)
            continue
        mean, moved = mean_over_operations(BATCH[system], given, free)
        np.testing.assert_allclose(ours, mean, atol=1e-10)
        np.testing.assert_allclose(kept, moved, atol=1e-10)


def test_projections_change_nothing_twice(batch):
    metric = batch.metric(metrics(5))
    shifts = batch.displacements(draw(24, 3))
    torch.testing.assert_close(batch.metric(metric), metric)
    torch.testing.assert_close(batch.displacements(shifts), shifts)
    assert shifts.abs().max() > 0.01  # some sites of rutile and wurtzite may move


@pytest.mark.parametrize("systems", [None, [4, 0, 1]])
def test_gradients_are_projected_by_the_adjoint(batch, systems):
    n = 5 if systems is None else 3
    sites = 24 if systems is None else 13
    shifts, grads = draw(sites, 3), draw(sites, 3, seed=1)
    by_shifts = (batch.displacements(shifts, systems) * grads).sum()
    torch.testing.assert_close(by_shifts, (shifts * batch.gradients(grads, systems)).sum())
    metric, slopes = draw(n, 3, 3), draw(n, 3, 3, seed=1)
    by_metric = (batch.metric(metric, systems) * slopes).sum()
    torch.testing.assert_close(by_metric, (metric * batch.metric_gradients(slopes, systems)).sum())


def test_some_elements_keep_some_symmetries():
    operations = OPERATIONS["perovskite"]
    (kept,) = operations.kept_by(np.array([[37, 21, 7, 7, 8]]))
    keeper = Symmetriser([Invariants.of(operations, kept)], torch.tensor([5]))
    lengths, angles = torch.tensor([[3.0, 4.0, 5.0]]), torch.tensor([[80.0, 95.0, 100.0]])
    found, right = cell_parameters(keeper.metric(metric_tensors(lengths.double(), angles.double())))
    a, b, c = found[0].tolist()
    equal = [abs(x - y) < 1e-9 for x, y in ((a, b), (b, c), (a, c))]
    assert sum(equal) == 1
    torch.testing.assert_close(right, torch.full((1, 3), 90.0).double())


def test_shrunk_displacements_keep_symmetry_and_boxes(batch):
    shifts = 3 * batch.displacements(draw(24, 3))
    box = torch.full((24, 3), 0.02).double()
    box[:6] = torch.linspace(0.01, 0.03, 6).double()[:, None]
    found = batch.shrunk(shifts, box)
    assert (found.abs() <= box + 1e-12).all()
    torch.testing.assert_close(batch.displacements(found), found)
    assert found[:6].abs().max() == pytest.approx(float(box[2:6].min()))  # of a set
    inside = 1e-3 * shifts
    assert torch.equal(batch.shrunk(inside, torch.ones(24, 3).double()), inside)


def test_what_may_not_move_does_not(batch):
    shifts = batch.displacements(draw(24, 3))
    box = torch.ones(24, 3).double()
    box[0] = 0.0
    shifts[0] = 0.0
    found = batch.shrunk(shifts, box)
    assert found.isfinite().all()
    assert (found[0] == 0).all()


def test_cells_keep_symmetry_and_bounds(batch):
    start = torch.full((5, 3), 4.0), torch.full((5, 3), 90.0)
    start[1][4, 2] = 120.0  # wurtzite
    wanted = start[0] * (1 + 0.5 * draw(5, 3)).float().abs(), start[1] + 8 * draw(5, 3, seed=1)
    wanted = wanted[0], wanted[1].float()
    bounds = (
        torch.tensor([3.0, 5.0])[None, :, None].expand(5, 2, 3),
        torch.tensor([50.0, 130.0])[None, :, None].expand(5, 2, 3),
    )
    lengths, angles = batch.cells(wanted, start, bounds)
    assert lengths.dtype == torch.float64
    assert (lengths >= 3.0).all()
    assert (lengths <= 5.0).all()
    metric = metric_tensors(lengths, angles)
    torch.testing.assert_close(batch.metric(metric), metric, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(lengths, start[0].double())
    near = start[0] * 1.01, start[1]
    torch.testing.assert_close(batch.cells(near, start, bounds)[0], near[0].double())


def test_templates_say_what_they_keep():
    free, tied = (
        with_geometry(build_template("rutile"), GeometryRules(symmetry=level)).symmetry
        for level in ("lattice", "space-group")
    )
    assert Invariants.of_template(None) is None
    assert Invariants.of_template(free).sites is None
    keeps = Invariants.of_template(tied)
    assert keeps.orbits.tolist() == tied.orbits.tolist()
    both = Symmetriser([Invariants.of_template(free), keeps], torch.tensor([6, 6]))
    shifts = draw(12, 3)
    found = both.displacements(shifts)
    assert torch.equal(found[:6], shifts[:6])
    assert not torch.allclose(found[6:], shifts[6:])
    metric = metrics(2)
    np.testing.assert_allclose(both.metric(metric)[0], free.invariant_metric(metric[0].numpy()))
