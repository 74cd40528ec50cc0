import pytest

from smoacs.chemistry import (
    ELEMENTS,
    MAX_CHARGE,
    MIN_CHARGE,
    icsd_reports,
    may_differ,
    oxidation_table,
)
from smoacs.errors import InputError


def elements_with(charge):
    return " ".join(e for e, states in oxidation_table().items() if charge in states)


def test_common_table_has_117_pairs_and_75_elements():
    table = oxidation_table("common")
    assert len(table) == 75
    assert sum(map(len, table.values())) == 117


@pytest.mark.parametrize(
    ("charge", "elements"),
    [
        (-4, "C Si"),
        (-2, "C O S Se Te"),
        (-1, "H F Cl Br I"),
        (1, "H Li Na K Rb Ag Cs Hg Tl"),
        (2, "Be C Mg S Ca Mn Fe Co Ni Cu Zn Ge Sr Pd Cd Sn Ba Eu Hg Pb"),
        (4, "C Si S Ti Mn Ge Se Zr Mo Ru Pd Sn Te Ce Hf W Re Ir Pb Th"),
        (5, "N P V As Br Nb Sb I Ta"),
        (7, "Mn Re"),
    ],
)
def test_common_table_by_charge(charge, elements):
    assert elements_with(charge) == elements


@pytest.mark.parametrize("name", ["icsd", "common", "smact"])
def test_charges_are_in_range_distinct_and_never_zero(name):
    for symbol, states in oxidation_table(name).items():
        assert symbol in ELEMENTS
        assert states
        assert len(set(states)) == len(states)
        assert all(MIN_CHARGE <= q <= MAX_CHARGE and q != 0 for q in states)


@pytest.mark.parametrize(
    ("symbol", "states"),
    [("H", (1, -1)), ("S", (-2, 6, 4, 2)), ("Fe", (3, 2)), ("Mn", (2, 4, 7)), ("Pb", (2, 4))],
)
def test_most_frequent_state_comes_first(symbol, states):
    assert oxidation_table()[symbol] == states


def test_common_table_is_part_of_the_smact_table():
    smact = oxidation_table("smact")
    assert all(set(states) <= set(smact[e]) for e, states in oxidation_table().items())


def test_table_cannot_be_changed():
    with pytest.raises(TypeError):
        oxidation_table()["Fe"] = (6,)


def test_unknown_table():
    with pytest.raises(InputError, match="no oxidation table 'wiki'"):
        oxidation_table("wiki")


def test_the_icsd_table_has_every_usual_state_and_no_bonded_anion():
    table = oxidation_table("icsd")
    assert table["Cu"] == (2, 1)
    assert table["V"] == (5, 3, 4)
    assert set(table["Cr"]) >= {2, 3, 6}
    assert {"Au", "Pt", "Yb"} <= set(table)
    assert table["O"] == (-2,)  # peroxides are found by their bonds
    assert -1 not in table["S"]
    assert table["Na"] == (1,)
    assert table["Bi"] == (3, -3)
    assert "Xe" not in table
    assert table["Ag"] == (1,)  # Ag2+ is 2.7 % of the reports: known, and no choice of a design


@pytest.mark.parametrize(
    ("symbol", "charges", "may"),
    [
        ("Fe", (2, 3), True),
        ("Fe", (2, 2), True),
        ("Sb", (3, 5), True),
        ("Sb", (-3, 5), False),
        ("S", (-2, 6), False),
        ("S", (4, 6), False),
        ("Si", (-4, 4), False),
    ],
)
def test_mixed_valence(symbol, charges, may):
    assert may_differ(symbol, charges) is may


def test_the_file_holds_what_the_packages_say():
    """With the versions that we test with; others may differ, which is why there is a file."""
    element = pytest.importorskip("pymatgen.core.periodic_table").Element
    table = oxidation_table()
    assert set(table["Fe"]) <= set(element("Fe").icsd_oxidation_states)
    assert icsd_reports()["O", -2] == 116910
