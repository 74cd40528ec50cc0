import pytest
from pymatgen.core.periodic_table import Element

from smoacs.chemistry import ELEMENTS, N_ELEMENTS, element_index, parse_elements
from smoacs.errors import InputError


def test_elements_are_h_to_cf_in_order():
    assert tuple(Element.from_Z(z).symbol for z in range(1, 99)) == ELEMENTS
    assert N_ELEMENTS == 98


def test_index_is_atomic_number_minus_one():
    assert element_index("H") == 0
    assert element_index("Ti") == 21
    assert element_index("Cf") == 97


@pytest.mark.parametrize(("symbol", "near"), [("ti", "Ti"), ("SR", "Sr"), ("Oo", "O")])
def test_unknown_symbol_suggests_the_nearest(symbol, near):
    with pytest.raises(InputError, match=f"{symbol!r} is not .* did you mean '{near}'"):
        element_index(symbol)


@pytest.mark.parametrize("spec", ["Sr,Ti O", " Sr, Ti,\nO, ", ["Ti", "O", "Sr", "O"]])
def test_parse_elements(spec):
    assert parse_elements(spec) == {"Sr", "Ti", "O"}


@pytest.mark.parametrize("spec", ["", " ", ()])
def test_parse_no_elements(spec):
    assert parse_elements(spec) == frozenset()


def test_parse_elements_rejects_formulas():
    with pytest.raises(InputError, match="'SrTiO3' is not the symbol"):
        parse_elements("SrTiO3")
