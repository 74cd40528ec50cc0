"""Crystals near a predictor's rest: lower in its energy than where they were drawn, and copies."""

from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Structure
from torch import Tensor

from smoacs.chemistry import ELEMENTS
from smoacs.crystals import Crystals, NeighborList
from smoacs.predictors import load_predictor
from smoacs.relaxation import relax_structures
from smoacs.training.displaced.crystals import MIN_COVALENT_RATIO, closest_ratio
from smoacs.training.displaced.resting import box_samples, resting_samples
from smoacs.training.layout import layout_row


def test_samples_come_in_pairs_of_rest_and_deformed_copy() -> None:
    predictor = load_predictor()
    samples = resting_samples(6, np.random.default_rng(1), predictor, perovskite_share=1.0)
    assert len(samples) == 12
    assert all(s.kind == "resting" and s.parent == -1 for s in samples)
    assert all(closest_ratio(s.structure) > MIN_COVALENT_RATIO for s in samples)
    for rest, copy in zip(samples[::2], samples[1::2], strict=True):
        assert rest.structure.composition == copy.structure.composition
        assert len(rest.structure) == 5
    energies = [r.energy for r in relax_structures([s.structure for s in samples], max_steps=0)]
    rest_energies, copy_energies = np.array(energies[::2]), np.array(energies[1::2])
    assert rest_energies.mean() < copy_energies.mean() - 0.005
    lower = rest_energies < copy_energies
    assert lower.sum() >= 5, "one may be on its way still after the steps it is given"


def test_known_crystals_lend_their_structure_to_other_elements() -> None:
    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    known = pd.DataFrame([layout_row(rock_salt)])
    samples = resting_samples(
        6, np.random.default_rng(0), load_predictor(), known, perovskite_share=0.0
    )
    eights = [s.structure for s in samples if len(s.structure) == 8]
    assert eights
    assert {len(s.structure) for s in samples} - {8}  # decorations of structure types, too
    assert any(s.composition.reduced_formula != "NaCl" for s in eights)


class Box:
    """A potential at rest in a box of 4, 4.4 and 5 Å, whatever is in it."""

    properties: ClassVar = {"formation_energy": "eV/atom"}
    cutoff = 0.0
    elements = frozenset(ELEMENTS)
    rest = (4.0, 4.4, 5.0)

    def __call__(self, crystals: Crystals, _: NeighborList) -> dict[str, Tensor]:
        """Return the energy of each crystal, [B]."""
        lengths = torch.linalg.vector_norm(crystals.cell, dim=2)
        return {"formation_energy": ((lengths - lengths.new_tensor(self.rest)) ** 2).sum(1)}


def test_boxes_go_from_one_rest_through_the_other_and_beyond() -> None:
    samples = box_samples(2, np.random.default_rng(3), load_predictor(), Box())
    assert len(samples) == 10
    for first, _, _, last, beyond in zip(*(samples[k::5] for k in range(5)), strict=True):
        assert len({site.specie for site in first.structure[2:]}) > 1
        assert first.structure.lattice.is_orthogonal
        lengths = [np.log(s.structure.lattice.abc) for s in (first, last, beyond)]
        if len({site.specie for site in first.structure}) == 5:  # no symmetry ties the lengths
            assert np.allclose(np.exp(lengths[1]), Box.rest, atol=0.02)
        ahead = (lengths[2] - lengths[1]) / (lengths[1] - lengths[0])
        assert np.allclose(ahead, ahead[0])
        assert 0.2 <= ahead[0] <= 1.0
