"""Chunks give the values and gradients of the whole; only crystals too dense are stretched."""

import math

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.adapters import (
    BLEND,
    DENSE,
    count_work,
    evaluate_in_chunks,
    loosen,
)
from toys import PairEnergy, random_structures

FIELDS = ("species_probs", "frac_coords", "cell")


def pair_energy(crystals, neighbors):
    return PairEnergy()(crystals, neighbors)["formation_energy"]


def leaves_of(crystals):
    return crystals.replace(
        **{name: vars(crystals)[name].detach().clone().requires_grad_() for name in FIELDS}
    )


@pytest.mark.parametrize("work_per_chunk", [1, 7, 1000])
def test_chunks_equal_the_whole(work_per_chunk):
    structures = random_structures(0, [1, 4, 2, 6, 3])
    crystals = Crystals.from_structures(structures)
    neighbors = neighbor_list(crystals, PairEnergy.cutoff)
    slopes = torch.linspace(-1, 1, 5, dtype=torch.float64)
    results = []
    for chunked in (True, False):
        live = leaves_of(crystals)
        if chunked:
            values = evaluate_in_chunks(
                pair_energy, live, neighbors, work=live.counts, work_per_chunk=work_per_chunk
            )
        else:
            values = pair_energy(live, neighbors)
        values.backward(slopes)
        results.append([values.detach(), *(vars(live)[name].grad for name in FIELDS)])
    for chunked, whole in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        values = evaluate_in_chunks(
            pair_energy, crystals, neighbors, work=crystals.counts, work_per_chunk=work_per_chunk
        )
    torch.testing.assert_close(values, results[1][0], rtol=1e-12, atol=1e-12)


def test_gradient_of_some_variables_alone():
    crystals = Crystals.from_structures(random_structures(1, [3, 2]))
    neighbors = neighbor_list(crystals, PairEnergy.cutoff)
    cell = crystals.cell.clone().requires_grad_()

    def value(cell):
        return evaluate_in_chunks(
            pair_energy,
            crystals.replace(cell=cell),
            neighbors,
            work=crystals.counts,
            work_per_chunk=1,
        )

    assert torch.autograd.gradcheck(value, cell)
    assert value(cell).sum().item() != 0


def test_work_is_edges_and_angles():
    structures = random_structures(2, [3, 1, 5])
    crystals = Crystals.from_structures(structures)
    expected = []
    for structure in structures:
        near = np.array([len(n) for n in structure.get_all_neighbors(5.0)])
        nearest = np.array([len(n) for n in structure.get_all_neighbors(3.0)])
        expected.append(int((near + nearest * (nearest - 1)).sum()))
    work = count_work(crystals, neighbor_list(crystals, 5.0, skin=1.0), 5.0, 3.0)
    assert work.tolist() == expected


def cubes(volumes):
    return Crystals.from_structures(
        [Structure(Lattice.cubic(v ** (1 / 3)), ["C"], [[0.0] * 3]) for v in volumes]
    )


def test_real_crystals_are_left_alone():
    crystals = cubes([1.001 * DENSE, 4.5, 100.0])
    loose, energy = loosen(crystals)
    assert torch.equal(loose.cell, crystals.cell)
    assert energy.tolist() == [0, 0, 0]


def test_dense_crystals_are_stretched_smoothly():
    volumes = np.geomspace(1e-3, 2 * DENSE, 400)
    crystals = cubes(volumes)
    loose, energy = loosen(crystals)
    stretched = loose.volume.numpy()
    assert stretched.min() == pytest.approx(DENSE * math.exp(-BLEND / 2), rel=1e-3)
    assert (np.diff(stretched) >= -1e-9).all()
    assert (np.diff(energy[volumes < DENSE].numpy()) < 0).all()
    middle = cubes([0.9 * DENSE, 0.5 * DENSE])
    assert torch.autograd.gradcheck(
        lambda cell: [
            loosen(middle.replace(cell=cell))[1],
            loosen(middle.replace(cell=cell))[0].cell,
        ],
        middle.cell.requires_grad_(),
    )
