"""Oxidation numbers side by side, against the rule for one element at a time."""

import math

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from smoacs.chemistry import (
    ELEMENTS,
    assignment_likelihood,
    can_clash,
    cost_table,
    may_differ,
    side_by_side,
)

CHARGES = st.sampled_from((-4, -3, -2, -1, 1, 2, 3, 4, 5, 6))
SYMBOLS = st.sampled_from(("S", "Te", "Fe", "Cl", "I", "Sb", "H", "Na"))


@given(st.lists(st.tuples(SYMBOLS, CHARGES), min_size=1, max_size=6))
def test_as_one_by_one(ions):
    elements = np.array([[ELEMENTS.index(symbol) for symbol, _ in ions]])
    charges = np.array([charge for _, charge in ions])
    symbols = {symbol for symbol, _ in ions}
    numbers = {s: [q for symbol, q in ions if symbol == s] for s in symbols}
    pairs = all(may_differ(s, (a, b)) for s, own in numbers.items() for a in own for b in own)
    assert bool(side_by_side(elements, charges)[0]) == pairs


def test_many_at_once():
    s, o, mg = (ELEMENTS.index(symbol) for symbol in ("S", "O", "Mg"))
    found = side_by_side(np.array([[mg, s], [s, s], [o, o]]), np.array([6, -2]))
    assert found.tolist() == [True, False, False]


def test_what_can_clash():
    allowed = np.zeros((2, 98), dtype=bool)
    allowed[0, [ELEMENTS.index("Mg"), ELEMENTS.index("S")]] = True
    allowed[1, ELEMENTS.index("O")] = True
    assert not can_clash(allowed, np.array([6, -2]))
    allowed[1, ELEMENTS.index("S")] = True
    assert can_clash(allowed, np.array([6, -2]))


def test_costs_are_those_of_the_likelihood():
    charges = np.array([[1, 3, -2]])
    costs = cost_table(charges)[0]
    total = sum(costs[i, ELEMENTS.index(s)] for i, s in enumerate(("Cu", "In", "Se")))
    likelihood = assignment_likelihood({"Cu": [1], "In": [3], "Se": [-2]})
    assert math.isclose(math.exp(-total), likelihood, rel_tol=1e-5)
