"""Other people's rules on crystals whose answers are known."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.checking import chemistry_table
from smoacs.checking.chemistry import (
    bond_valence_charges,
    closest_pair,
    is_smact_valid,
    prototype,
)
from toys import perovskite_crystal as perovskite


def rock_salt(species=("Na+", "Cl-"), length=5.64):
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), species, [[0, 0, 0], [0.5] * 3]
    )


def test_known_compounds():
    strontium_titanate = perovskite(("Sr2+", "Ti4+", "O2-", "O2-", "O2-"), 3.905)
    table = chemistry_table([strontium_titanate, rock_salt()])
    assert table["smact_valid"].all()
    assert table["bvs_agrees"].all()
    assert table["bvs_charges"].tolist() == ["Sr+2 Ti+4 O-2", "Na+1 Cl-1"]
    assert table["closest_pair"].tolist() == ["Ti-O", "Na-Cl"]
    assert "Perovskite (AB3C_cP5_221_a_c_b)" in table["prototype"][0]
    assert "AB_cF8_225_a_b" in table["prototype"][1]


def test_mixed_anions_have_the_prototype_of_one_anion():
    mixed = perovskite(("Tl+", "Pb2+", "Br-", "F-", "F-"), 4.9)
    assert prototype(mixed).endswith("(anions alike)")
    assert "AB3C_cP5_221_a_c_b" in prototype(mixed)


def test_wrong_charges_do_not_agree():
    wrong = rock_salt(("Na2+", "Cl2-"))
    table = chemistry_table([wrong])
    assert table["bvs_charges"][0] == "Na+1 Cl-1"
    assert table["bvs_agrees"][0] is False or not table["bvs_agrees"][0]


def test_nothing_to_find():
    triclinic = Structure(
        Lattice.from_parameters(4, 5.3, 6.1, 77, 84, 101),
        ["He", "Xe"],
        [[0.1, 0.2, 0.3], [0.6, 0.8, 0.9]],
    )
    table = chemistry_table([triclinic])
    assert table["bvs_charges"][0] == ""
    assert table["bvs_agrees"][0] is None
    broken = Structure(Lattice.cubic(4), ["Na+", "Cl-"], [[0, 0, 0], [0, 0, 0.001]])
    assert chemistry_table([broken])["smact_valid"].tolist() == [False]
    assert chemistry_table([]).empty


def test_composition_rules():
    assert is_smact_valid(perovskite())
    assert not is_smact_valid(Structure(Lattice.cubic(4), ["Na", "Cl", "Cl"], np.eye(3) / 2))


def test_closest_pair_by_size():
    pair, ratio = closest_pair(rock_salt())
    assert (pair, ratio) == ("Na-Cl", pytest.approx(5.64 / 2 / (1.80 + 1.00)))
    alone = Structure(Lattice.cubic(3), ["Cu"], [[0, 0, 0]])
    assert closest_pair(alone) == ("Cu-Cu", pytest.approx(3 / (2 * 1.35)))


def test_bond_valence_is_blind_to_given_charges():
    assert bond_valence_charges(rock_salt(("Na+", "Cl-")))[0] == 1
