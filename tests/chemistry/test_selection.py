import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smoacs.chemistry import ELEMENTS, PRESETS, element_items, element_rules, forbidden_rules
from smoacs.errors import InputError


def left(rules):
    return frozenset(ELEMENTS).intersection(*(rule.elements for rule in rules))


@pytest.mark.parametrize(
    ("spec", "items"),
    [
        ("F, K Mg", ("F", "Mg", "K")),
        (["F", "K;Mg", "F"], ("F", "Mg", "K")),
        ("no-toxic !Tl K !Pb earth-abundant", ("K", "!Tl", "!Pb", "no-toxic", "earth-abundant")),
        ("", ()),
    ],
)
def test_items_have_one_order(spec, items):
    assert element_items(spec) == items


def test_symbols_name_and_the_rest_takes_away():
    assert left(element_rules("elements", element_items("K Rb Pb !Rb no-toxic"))) == {"K"}
    assert left(element_rules("elements", element_items("!K"))) == set(ELEMENTS) - {"K"}
    assert left(element_rules("sites.A", ("no-toxic",))) == PRESETS["no-toxic"].elements
    assert left(element_rules("elements", ())) == set(ELEMENTS)


def test_in_a_list_of_forbidden_elements_all_takes_away():
    rules = forbidden_rules("forbidden", element_items("no-toxic Xe", forbidden=True))
    assert left(rules) == PRESETS["no-toxic"].elements - {"Xe"}
    assert [rule.text for rule in rules] == ["forbidden = Xe", "forbidden = no-toxic"]


@given(st.lists(st.sampled_from([*ELEMENTS, *(f"!{s}" for s in ELEMENTS), *PRESETS])))
def test_items_are_kept_when_read_again(items):
    once = element_items(items)
    assert set(once) == set(items)
    assert element_items(" ".join(once)) == once


@pytest.mark.parametrize(
    ("spec", "forbidden", "message"),
    [
        ("K Xx", False, "'Xx' is not the symbol of an element"),
        ("!Xx", False, "'Xx' is not the symbol of an element"),
        ("toxic", True, "'toxic' is neither an element nor a preset; did you mean 'no-toxic'?"),
        ("no-fun", False, "'no-fun' is neither an element nor a preset"),
        ("!no-toxic", False, "only an element can follow '!'"),
        ("!K", True, "'!K' in a list of forbidden elements would be allowed"),
        ("earth-abundant", True, "write elements = 'earth-abundant'"),
    ],
)
def test_wrong_items(spec, forbidden, message):
    with pytest.raises(InputError, match=re.escape(message)):
        element_items(spec, forbidden=forbidden)


def test_elements_may_be_given_by_name():
    assert element_items("lead, Cadmium", forbidden=True) == ("Cd", "Pb")
    assert element_items("aluminum sulphur !caesium !cesium") == ("Al", "S", "!Cs")
    assert element_items("Tin") == ("Sn",)
