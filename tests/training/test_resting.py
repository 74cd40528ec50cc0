"""Crystals near a predictor's rest: lower in its energy than where they were drawn, and copies."""

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from smoacs.predictors import load_predictor
from smoacs.relaxation import relax_structures
from smoacs.training.layout import layout_row
from smoacs.training.resting import resting_samples
from smoacs.training.samples import MIN_COVALENT_RATIO, closest_ratio


def test_samples_come_in_pairs_of_rest_and_deformed_copy() -> None:
    predictor = load_predictor()
    samples = resting_samples(3, np.random.default_rng(1), predictor, perovskite_share=1.0)
    assert len(samples) == 6
    assert all(s.kind == "resting" and s.parent == -1 for s in samples)
    assert all(closest_ratio(s.structure) > MIN_COVALENT_RATIO for s in samples)
    energies = [r.energy for r in relax_structures([s.structure for s in samples], max_steps=0)]
    for (rest, copy), (low, high) in zip(
        zip(samples[::2], samples[1::2], strict=True),
        zip(energies[::2], energies[1::2], strict=True),
        strict=True,
    ):
        assert rest.structure.composition == copy.structure.composition
        assert low < high + 1e-3, "rest ends at a small force: by that much a copy may be lower"
        assert len(rest.structure) == 5
    assert np.mean(energies[::2]) < np.mean(energies[1::2])


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
