import pytest
from pymatgen.io.vasp.sets import MPRelaxSet

from smoacs.dft import HUBBARD_U, hubbard_values, unpaired_electrons


@pytest.mark.parametrize(
    ("symbol", "charge", "unpaired"),
    [
        ("Ti", 4, 0), ("Ti", 3, 1), ("Mn", 2, 5), ("Fe", 3, 5), ("Fe", 2, 4), ("Ni", 2, 2),
        ("Cu", 1, 0), ("Cu", 2, 1), ("Zn", 2, 0), ("Hg", 2, 0), ("Hg", 1, 1), ("Pd", 4, 4),
        ("La", 3, 0), ("Ce", 4, 0), ("Ce", 3, 1), ("Gd", 3, 7), ("Yb", 2, 0), ("Lu", 3, 0),
        ("Eu", 2, 7), ("Pb", 2, 0), ("Pb", 3, 1), ("O", -2, 0), ("F", -1, 0), ("U", 6, 0),
        ("U", 4, 2), ("Sn", 4, 0), ("Tl", 1, 0),
    ],
)  # fmt: skip
def test_unpaired_electrons(symbol, charge, unpaired):
    assert unpaired_electrons(symbol, charge) == unpaired


def test_hubbard_values_are_those_of_the_materials_project():
    theirs = MPRelaxSet.CONFIG["INCAR"]["LDAUU"]
    assert dict(HUBBARD_U) == theirs["O"] == theirs["F"]


def test_only_oxides_and_fluorides_are_corrected():
    assert hubbard_values(["K", "Ni", "F", "F", "F"]) == {"Ni": 6.2}
    assert hubbard_values(["Na", "V", "O", "O", "S"]) == {"V": 3.25}
    assert hubbard_values(["Na", "V", "S", "S", "S"]) == {}
    assert hubbard_values(["Sr", "Ti", "O", "O", "O"]) == {}
