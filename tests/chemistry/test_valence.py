import pytest

from smoacs.chemistry import ELEMENTS, valence_table


@pytest.mark.parametrize(
    ("symbol", "electrons"),
    [
        ("H", [1, 0, 0, 0, 1]),
        ("B", [2, 1, 0, 0, 3]),
        ("Ne", [2, 6, 0, 0, 8]),
        ("Ti", [2, 0, 2, 0, 4]),
        ("Nb", [2, 0, 3, 0, 5]),
        ("Ga", [2, 1, 10, 0, 13]),
        ("Gd", [2, 0, 0, 8, 10]),  # the rule knows no exceptions: f⁷d¹ in truth
        ("Pb", [2, 2, 10, 14, 28]),
    ],
)
def test_electrons_beyond_the_noble_gas(symbol, electrons):
    assert valence_table()[ELEMENTS.index(symbol), :5].tolist() == electrons


def test_masses():
    assert valence_table()[ELEMENTS.index("O"), 5] == pytest.approx(15.999, abs=1e-3)
