import dataclasses
import json

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from pymatgen.core import Lattice, Structure

from smoacs.crystals import Crystals, neighbor_list
from smoacs.predictors.domain import (
    NOT_A_CRYSTAL,
    TrainingDomain,
    applicability,
    geometry_of,
    training_domain,
)
from toys import random_structures

CUTOFF = 5.0
SALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3])
DOMAIN = TrainingDomain(
    element_counts={"Na": 500, "Cl": 800, "O": 3000, "Sr": 5},
    ranges={
        "volume_per_atom": (8.0, 40.0),
        "density": (1.0, 12.0),
        "closest_ratio": (0.8, 1.6),
        "neighbors_per_atom": (10.0, 60.0),
    },
)
KNOWN = frozenset(DOMAIN.element_counts)


def judged(*structures):
    return applicability(Crystals.from_structures(structures), DOMAIN, KNOWN, CUTOFF)


def test_geometry_against_pymatgen():
    structures = random_structures(0, (1, 4, 7), low=4.0, high=7.0)
    crystals = Crystals.from_structures(structures)
    found = geometry_of(crystals, neighbor_list(crystals, CUTOFF, skin=0.5), CUTOFF)
    for b, structure in enumerate(structures):
        assert found["density"][b] == pytest.approx(structure.density, rel=1e-3)
        assert found["volume_per_atom"][b] == pytest.approx(structure.volume / len(structure))
        near = structure.get_all_neighbors(CUTOFF)
        assert found["neighbors_per_atom"][b] == pytest.approx(np.mean([len(n) for n in near]))
    rock = Crystals.from_structures([SALT])
    ratio = geometry_of(rock, neighbor_list(rock, CUTOFF), CUTOFF)["closest_ratio"][0]
    assert ratio == pytest.approx(2.82 / (1.66 + 1.02))  # Cordero's radii


def test_a_usual_crystal_is_inside():
    found = judged(SALT, SALT)
    assert found.in_domain.tolist() == [True, True]
    assert found.reasons == ("", "")


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (SALT.copy().apply_strain(-0.3), ["volume per atom", "below 8", "covalent radii"]),
        (SALT.copy().apply_strain(0.6), ["above 40", "neighbours per atom"]),
        (Structure(SALT.lattice, ["Sr", "O"] * 4, SALT.frac_coords), ["Sr is in only 5"]),
        (Structure(SALT.lattice, ["Cs", "O"] * 4, SALT.frac_coords), ["Cs is in no training"]),
    ],
)
def test_reasons(structure, words):
    found = judged(structure, SALT)
    assert found.in_domain.tolist() == [False, True]
    assert all(word in found.reasons[0] for word in words)


def test_what_is_not_finite_is_outside():
    crystals = Crystals.from_structures([SALT, SALT])
    cell = crystals.cell.clone()
    cell[0, 1, 1] = torch.nan
    found = applicability(crystals.replace(cell=cell), DOMAIN, KNOWN, CUTOFF)
    assert found.reasons == (NOT_A_CRYSTAL, "")


def test_ranges_leave_out_the_extremes_and_survive_json():
    rng = np.random.default_rng(0)
    density = np.concatenate([rng.uniform(2, 10, 2000), [1000.0], [np.inf]])
    domain = training_domain({"O": 3, "H": 2}, {"density": density})
    low, high = domain.ranges["density"]
    assert 2 < low < 2.2
    assert 9.8 < high < 10.01
    content = json.loads(json.dumps(dataclasses.asdict(domain)))
    assert TypeAdapter(TrainingDomain).validate_python(content) == domain


def test_what_charges_do_not_balance_is_outside_where_that_is_rare():
    aluminium_carbide = Structure.from_spacegroup(
        "F-43m", Lattice.cubic(4.5), ["Al", "C"], [[0, 0, 0], [0.25] * 3]
    )
    domain = TrainingDomain(element_counts={"Al": 500, "C": 500}, ranges={}, unbalanced=0.014)
    known = frozenset({"Al", "C"})
    crystals = Crystals.from_structures([aluminium_carbide])
    found = applicability(crystals, domain, known, CUTOFF)
    assert found.reasons[0].endswith("as is so for 1.4 % of the training")
    usual = dataclasses.replace(domain, unbalanced=0.3)
    assert applicability(crystals, usual, known, CUTOFF).in_domain.all()
