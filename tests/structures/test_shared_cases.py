"""The small inputs that users have: each right, or refused with a sentence."""

import pytest

from smoacs.structures import SELECTIVE_DYNAMICS, read_files

RIGHT = {
    "cod_si2.cif": "Si8",
    "lino_H.cif": "Li3 Co3 O6",
    "spinel_o2.cif": "Mg8 Al16 O32",
    "mgo_hall_only.cif": "Mg4 O4",
    "occ_dot.cif": "Sr1 Ti1 O3",
    "occ_rounding.cif": "Sr1 Ti1 O3",
    "mos2_3dec.cif": "Mo2 S4",
    "global_block2.cif": "Mg4 O4",
    "bom.cif": "Mg4 O4",
    "mmcif.cif": "Mg1 O1",
    "mgo_relaxed": "Mg1 O1",
    "nacl_conv.cif": "Na4 Cl4",
    "POSCAR_fixed": "Mg1 O1",
    "POSCAR_v4": "Mg1 O1",
}
WORDS = {"mos2_3dec.cif": "special position", "POSCAR_v4": "those of its title were taken (Mg O)"}


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_crystal(name, shared_data):
    reading = read_files([shared_data.parent / "cases" / name])
    assert reading.failures == []
    (item,) = reading.structures
    assert item.structure.composition.element_composition.formula == RIGHT[name]
    assert (WORDS.get(name, "") in " ".join(reading.notes)) is True
    assert bool(reading.notes) == (name in WORDS)


def test_hydrogen_is_missed(shared_data):
    reading = read_files([shared_data.parent / "cases" / "hydroxide_missingH.cif"])
    assert reading.structures == []
    assert "H has no positions" in reading.failures[0]


def test_what_is_held(shared_data):
    (item,) = read_files([shared_data.parent / "cases" / "POSCAR_fixed"]).structures
    assert item.structure.site_properties[SELECTIVE_DYNAMICS] == [[False] * 3] * 2
