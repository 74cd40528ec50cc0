"""Ties by a template's space group, against spglib and pymatgen."""

from functools import cache

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from smoacs.crystals import Candidates, DesignSpace
from smoacs.templates import (
    TEMPLATE_NAMES,
    GeometryRules,
    Operations,
    build_template,
    from_structure,
    operations_of,
    site_operations,
    space_group_data,
    with_geometry,
)
from smoacs.templates.lattice import lattice_parameters, metric_tensor

# Lengths that are equal, and angles that are fixed, in the primitive cells used here.
TIES = {
    "perovskite": ("abc", {"alpha": 90, "beta": 90, "gamma": 90}),
    "rock-salt": ("abc", {"alpha": 60, "beta": 60, "gamma": 60}),
    "garnet": ("abc", {"alpha": 109.4712206, "beta": 109.4712206, "gamma": 109.4712206}),
    "wurtzite": ("ab", {"alpha": 90, "beta": 90, "gamma": 120}),
    "rutile": ("ab", {"alpha": 90, "beta": 90, "gamma": 90}),
    "delafossite": ("ab", {"gamma": 60}),
    "anatase": ("ab", {"gamma": 90}),
}
NAMES = st.sampled_from(TEMPLATE_NAMES)
SEEDS = st.integers(0, 2**32 - 1)


@cache
def named(name):
    return build_template(name)


@cache
def kept_by_name(name):
    return kept(named(name))


def kept(template):
    return with_geometry(template, GeometryRules(symmetry="space-group"))


def invariant(symmetry, shifts):
    """Part of fractional displacements, [N, 3], that keeps all operations."""
    return (symmetry.operations.displacement_mean() @ shifts.ravel()).reshape(shifts.shape)


def parameters(candidates):
    """Lengths (Å) and angles (degrees), each [B, 3]."""
    both = candidates.lengths, candidates.angles
    return tuple(parameter.detach().double().numpy() for parameter in both)


def labelled(template, lengths, angles, coords):
    """The template's sites in some geometry, an element of its own on each kind of site."""
    kinds = sorted(set(template.site_labels))
    symbols = [("Fe", "O", "Na", "Cl")[kinds.index(label)] for label in template.site_labels]
    return Structure(Lattice.from_parameters(*lengths, *angles), symbols, coords)


def group(structure):
    return SpacegroupAnalyzer(structure, symprec=0.01).get_space_group_number()


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_any_move_that_is_projected_keeps_the_space_group(name):
    template = kept_by_name(name)
    rng = np.random.default_rng(1)
    for _ in range(3):
        moved = invariant(template.symmetry, rng.normal(scale=0.01, size=(template.n_sites, 3)))
        strain = np.eye(3) + rng.normal(scale=0.05, size=(3, 3))
        metric = strain @ metric_tensor(template.lengths, template.angles) @ strain.T
        lengths, angles = lattice_parameters(template.symmetry.invariant_metric(metric))
        structure = labelled(template, lengths, angles, template.frac_coords + moved)
        assert group(structure) == template.symmetry.number


@given(NAMES, SEEDS)
def test_projections_change_nothing_twice_and_symmetric_things_never(name, seed):
    symmetry = kept_by_name(name).symmetry
    rng = np.random.default_rng(seed)
    once = invariant(symmetry, rng.normal(size=symmetry.frac_coords.shape))
    np.testing.assert_allclose(invariant(symmetry, once), once, atol=1e-12)
    half = rng.normal(size=(3, 3))
    metric = symmetry.invariant_metric(half @ half.T)
    np.testing.assert_allclose(symmetry.invariant_metric(metric), metric, atol=1e-12)
    for rotation in symmetry.operations.rotations:
        np.testing.assert_allclose(rotation.T @ metric @ rotation, metric, atol=1e-9)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_tied_sites_are_the_equivalent_ones_of_pymatgen(name):
    template = kept_by_name(name)
    structure = labelled(template, template.lengths, template.angles, template.frac_coords)
    symmetrized = SpacegroupAnalyzer(structure, symprec=0.01).get_symmetrized_structure()
    expected = {tuple(sorted(sites)) for sites in symmetrized.equivalent_indices}
    orbits = template.symmetry.orbits
    found = {tuple(np.flatnonzero(orbits == first).tolist()) for first in np.unique(orbits)}
    assert found == expected
    assert template.tied_to is not None
    np.testing.assert_array_equal(template.tied_to, orbits)


@pytest.mark.parametrize(("name", "ties"), TIES.items())
def test_lattice_systems_have_their_ties(name, ties):
    equal, angles = ties
    template = with_geometry(named(name), GeometryRules(symmetry="lattice"))
    assert template.tied_to is None
    space = DesignSpace.from_templates([template] * 4)
    soft = disturbed(space)
    lengths, found = parameters(soft)
    for key in equal[1:]:
        np.testing.assert_allclose(lengths[:, "abc".index(key)], lengths[:, 0], rtol=1e-6)
    for key, value in angles.items():
        column = ("alpha", "beta", "gamma").index(key)
        np.testing.assert_allclose(found[:, column], value, atol=1e-5)
    free = [c for c in "abc" if c not in equal]
    for key in free:
        assert np.ptp(lengths[:, "abc".index(key)] / lengths[:, 0]) > 1e-3


def disturbed(space, seed=0):
    generator = torch.Generator().manual_seed(seed)
    soft = Candidates.start(space, generator)
    with torch.no_grad():
        soft.lengths.mul_(1 + 0.2 * torch.randn(soft.lengths.shape, generator=generator))
        soft.angles.add_(12 * torch.randn(soft.angles.shape, generator=generator))
        soft.displacements.add_(0.02 * torch.randn(soft.displacements.shape, generator=generator))
    soft.project()
    return soft


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_the_projected_variables_of_candidates_have_the_space_group(name):
    template = kept_by_name(name)
    soft = disturbed(DesignSpace.from_templates([template] * 3))
    lengths, angles = parameters(soft)
    moved = soft.displacements.detach().double().numpy().reshape(3, -1, 3)
    before = [lengths.copy(), angles.copy(), moved.copy()]
    for b in range(3):
        structure = labelled(template, lengths[b], angles[b], template.frac_coords + moved[b])
        assert group(structure) == template.symmetry.number
    soft.project()
    after = [*parameters(soft), soft.displacements.detach()]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(np.asarray(new).reshape(old.shape), old, atol=2e-5)


def test_templates_of_different_symmetry_stand_side_by_side():
    templates = [kept_by_name("rutile"), build_template("rock-salt")]
    soft = disturbed(DesignSpace.from_templates(templates))
    lengths, _ = parameters(soft)
    assert lengths[0, 0] == pytest.approx(lengths[0, 1])
    assert abs(lengths[1, 0] - lengths[1, 1]) > 1e-3  # the second one is free


@pytest.mark.parametrize(
    ("name", "pair"), [("rock-salt", "AX"), ("half-heusler", "AB"), ("full-heusler", "BX")]
)
def test_one_element_on_two_sets_of_sites_can_raise_the_symmetry(name, pair):
    template = kept_by_name(name)
    distinct = ["ABX".index(label) for label in template.site_labels]
    same = ["ABX".index(pair[0] if label in pair else label) for label in template.site_labels]
    assert not template.symmetry.is_raised(distinct)
    assert template.symmetry.is_raised(same)


def test_rounded_coordinates_become_exact():
    rutile = build_template("rutile")
    structure = rutile.to_structure([{"A": "Ti", "X": "O"}[x] for x in rutile.site_labels])
    rounded = Structure(structure.lattice, structure.species, structure.frac_coords.round(3))
    rounded.translate_sites([2], [4e-4, 0.0, 0.0], to_unit_cell=True)
    template = kept(from_structure(rounded))
    oxygen = template.frac_coords[2]
    assert template.symmetry.number == 136
    assert min(abs(oxygen[0] - oxygen[1]), abs(oxygen[0] + oxygen[1] - 1)) < 1e-9


def brute_force(structure):
    """Space-group operations of a structure by pymatgen, and where each brings each site."""
    analyzer = SpacegroupAnalyzer(structure, symprec=0.01)
    found = []
    for operation in analyzer.get_space_group_operations():
        off = operation.operate_multi(structure.frac_coords)[:, None] - structure.frac_coords
        image = np.abs(off - np.round(off)).max(axis=2).argmin(axis=1)
        found.append((operation.rotation_matrix, image))
    return found


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING")
@pytest.mark.parametrize("name", ["perovskite", "rutile", "wurtzite", "delafossite", "anatase"])
def test_operations_and_their_means_are_those_of_pymatgen(name):
    template = named(name)
    structure = labelled(template, template.lengths, template.angles, template.frac_coords)
    operations = site_operations(template)
    expected = brute_force(structure)
    assert len(operations) == len(expected)
    rng = np.random.default_rng(2)
    shifts = rng.normal(size=(template.n_sites, 3))
    mean = np.zeros_like(shifts)
    for rotation, image in expected:
        mean[image] += shifts @ rotation.T / len(expected)
    ours = (operations.displacement_mean() @ shifts.ravel()).reshape(shifts.shape)
    np.testing.assert_allclose(ours, mean, atol=1e-10)
    half = rng.normal(size=(3, 3))
    metric = half @ half.T
    turned = sum(rotation.T @ metric @ rotation for rotation, _ in expected) / len(expected)
    found = (operations.metric_mean() @ metric.ravel()).reshape(3, 3)
    np.testing.assert_allclose(found, turned, atol=1e-10)


def test_some_symmetries_are_kept_by_elements():
    operations = site_operations(named("perovskite"))
    strontium_titanate = np.array([37, 21, 7, 7, 7])
    mixed = np.array([37, 21, 7, 7, 8])
    kept = operations.kept_by(np.stack([strontium_titanate, mixed]))
    assert kept.shape == (2, 48)
    assert kept.sum(axis=1).tolist() == [48, 16]
    for k in np.flatnonzero(kept[1]):
        assert operations.permutations[k, 4] == 4
    metric = np.arange(1.0, 10).reshape(3, 3) + np.arange(1.0, 10).reshape(3, 3).T
    own = (operations.metric_mean(kept[1]) @ metric.ravel()).reshape(3, 3)
    assert np.count_nonzero(np.round(own, 9)) == 3  # diagonal
    assert len(set(np.round(np.diag(own), 9))) == 2  # the axis of the odd one is apart


def test_a_cell_of_many_sites_has_the_identity_only():
    alone = site_operations(build_template("perovskite", repeat=4))
    assert len(alone) == 1
    assert alone.distinct_permutations.tolist() == [list(range(320))]
    shift = np.random.default_rng(0).random((4, 3))
    mean = Operations.identity(4).displacement_mean() @ shift.ravel()
    np.testing.assert_allclose(mean, shift.ravel())


def test_what_brings_two_sites_to_one_is_left_out():
    structure = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    found = space_group_data(structure.lattice.matrix, structure.frac_coords, [0, 1])
    whole = operations_of(found, structure.lattice.matrix, structure.frac_coords)
    assert len(whole) == 48
    moved = np.array([[0, 0, 0], [0.5, 0.5, 0.4]])  # no longer where spglib saw it
    fewer = operations_of(found, structure.lattice.matrix, moved)
    assert len(fewer) == 8
    assert (fewer.rotations[:, 2, 2] == 1).all()
    assert len(operations_of(None, structure.lattice.matrix, moved)) == 1
