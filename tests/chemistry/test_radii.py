import numpy as np
import pytest

from smoacs.chemistry import (
    MIN_CHARGE,
    element_index,
    goldschmidt,
    ionic_radius,
    oxidation_table,
    radius_table,
)
from smoacs.errors import InputError


@pytest.mark.parametrize(
    ("symbol", "charge", "coordination", "radius"),
    [
        # R. D. Shannon, Acta Cryst. A 32, 751 (1976), table 1
        ("O", -2, 6, 1.40),
        ("F", -1, 6, 1.33),
        ("Cl", -1, 6, 1.81),
        ("Br", -1, 6, 1.96),
        ("I", -1, 6, 2.20),
        ("S", -2, 6, 1.84),
        ("Ti", 4, 6, 0.605),
        ("Sr", 2, 12, 1.44),
        ("Ba", 2, 12, 1.61),
        ("Cs", 1, 12, 1.88),
        ("Pb", 2, 6, 1.19),
    ],
)
def test_shannon(symbol, charge, coordination, radius):
    assert ionic_radius(symbol, charge, coordination) == pytest.approx(radius)


@pytest.mark.parametrize(
    ("symbol", "charge", "high_spin"), [("Fe", 2, 0.78), ("Fe", 3, 0.645), ("Mn", 2, 0.83)]
)
def test_high_spin_is_chosen(symbol, charge, high_spin):
    assert ionic_radius(symbol, charge, 6) == pytest.approx(high_spin)


def test_plain_geometry_before_square():
    assert ionic_radius("Ag", 1, 4) == pytest.approx(1.00)  # IVSQ: 1.02


@pytest.mark.parametrize(
    ("symbol", "charge", "coordination", "radius"),
    [("Sn", 2, 6, 0.999), ("Li", 1, 12, 1.167), ("Y", 3, 12, 1.219)],
)
def test_extension_where_shannon_lacks_the_coordination(symbol, charge, coordination, radius):
    assert ionic_radius(symbol, charge, coordination) == pytest.approx(radius)


@pytest.mark.parametrize(
    ("symbol", "charge", "coordination", "radius"),
    [("Mg", 2, 12, 0.89), ("Al", 3, 12, 0.535), ("N", -3, 6, 1.46)],
)
def test_nearest_coordination_where_both_lack_it(symbol, charge, coordination, radius):
    assert ionic_radius(symbol, charge, coordination) == pytest.approx(radius)


@pytest.mark.parametrize(
    ("symbol", "charge"),
    [("H", -1), ("H", 1), ("C", -4), ("Si", -4), ("Sr", 3), ("He", 1), ("O", 0)],
)
def test_ions_without_a_radius(symbol, charge):
    assert ionic_radius(symbol, charge, 6) is None


def test_unknown_element():
    with pytest.raises(InputError, match="'Xx' is not the symbol"):
        ionic_radius("Xx", 1, 6)


@pytest.mark.parametrize("coordination", [4, 6, 12])
def test_table_agrees_with_single_radii(coordination):
    table = radius_table(coordination)
    assert table.shape == (98, 12)
    for symbol, states in oxidation_table().items():
        for charge in states:
            radius = ionic_radius(symbol, charge, coordination)
            entry = table[element_index(symbol), charge - MIN_CHARGE]
            assert np.isnan(entry) if radius is None else entry == radius


def test_table_is_positive_and_read_only():
    table = radius_table(6)
    assert (table[np.isfinite(table)] > 0.0).all()
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 1.0


@pytest.mark.parametrize(
    ("a", "b", "x", "published"),
    [
        (("Sr", 2), ("Ti", 4), ("O", -2), 1.00),  # SrTiO3
        (("Ba", 2), ("Ti", 4), ("O", -2), 1.06),  # BaTiO3
        (("Ca", 2), ("Ti", 4), ("O", -2), 0.97),  # CaTiO3
        (("Cs", 1), ("Pb", 2), ("I", -1), 0.85),  # CsPbI3
    ],
)
def test_tolerance_factors_of_known_perovskites(a, b, x, published):
    t = goldschmidt(ionic_radius(*a, 12), ionic_radius(*b, 6), ionic_radius(*x, 6))
    assert t == pytest.approx(published, abs=0.005)


def test_tolerance_factor_is_one_where_the_bonds_fit_the_cube():
    r_b, r_x = 0.6, 1.4
    assert goldschmidt(np.sqrt(2) * (r_b + r_x) - r_x, r_b, r_x) == pytest.approx(1.0)
