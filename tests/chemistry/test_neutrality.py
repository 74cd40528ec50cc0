from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoacs.chemistry import (
    assignment_likelihood,
    is_neutral,
    may_differ,
    neutral_assignment,
    neutral_states,
    oxidation_table,
)
from smoacs.errors import InputError

COMPOSITIONS = st.dictionaries(
    st.sampled_from(sorted(oxidation_table())), st.integers(1, 3), min_size=1, max_size=4
).filter(lambda counts: sum(counts.values()) <= 6)

GROUPS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.dictionaries(st.integers(-4, 7), st.integers(0, 9), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=5,
)


def brute_force(counts):
    symbols = [symbol for symbol, n in counts.items() for _ in range(n)]
    if len(counts) == 1:
        return True
    return any(
        sum(charges) == 0
        and all(
            may_differ(s, [q for t, q in zip(symbols, charges, strict=True) if t == s])
            for s in counts
        )
        for charges in product(*(oxidation_table()[symbol] for symbol in symbols))
    )


def check_assignment(counts, assignment):
    table = oxidation_table()
    assert assignment.keys() == {symbol for symbol, n in counts.items() if n}
    for symbol, states in assignment.items():
        assert sum(states.values()) == counts[symbol]
        assert all(n > 0 and q in (*table[symbol], 0) for q, n in states.items())
    assert sum(q * n for states in assignment.values() for q, n in states.items()) == 0


@pytest.mark.parametrize(
    ("counts", "assignment"),
    [
        ({"Sr": 1, "Ti": 1, "O": 3}, {"Sr": {2: 1}, "Ti": {4: 1}, "O": {-2: 3}}),
        ({"Fe": 2, "O": 3}, {"Fe": {3: 2}, "O": {-2: 3}}),
        ({"Fe": 1, "O": 1}, {"Fe": {2: 1}, "O": {-2: 1}}),
        ({"Fe": 3, "O": 4}, {"Fe": {2: 1, 3: 2}, "O": {-2: 4}}),
        ({"Mn": 3, "O": 4}, {"Mn": {2: 2, 4: 1}, "O": {-2: 4}}),
        ({"K": 1, "Mn": 1, "O": 4}, {"K": {1: 1}, "Mn": {7: 1}, "O": {-2: 4}}),
        ({"Fe": 3, "S": 4}, {"Fe": {2: 1, 3: 2}, "S": {-2: 4}}),
        ({"Cs": 1, "Pb": 1, "I": 3}, {"Cs": {1: 1}, "Pb": {2: 1}, "I": {-1: 3}}),
        ({"Fe": 1, "O": 1, "He": 0}, {"Fe": {2: 1}, "O": {-2: 1}}),
        ({"Si": 2}, {"Si": {0: 2}}),
        ({}, {}),
    ],
)
def test_known_compounds(counts, assignment):
    assert neutral_assignment(counts) == assignment


@pytest.mark.parametrize(
    "counts",
    [
        {"Sr": 1, "Ti": 1},
        {"Na": 1, "O": 1},
        {"Na": 1, "Xe": 1},
        {"Xx": 1},
        {"Fe": 1, "S": 2},  # not by S2- beside S6+
        {"Ca": 1, "Si": 2},  # nor by Si4- beside Si4+
    ],
)
def test_compositions_that_cannot_be_neutral(counts):
    assert neutral_assignment(counts) is None
    assert not is_neutral(counts)


@given(COMPOSITIONS)
@settings(max_examples=60, deadline=None)
def test_agrees_with_brute_force(counts):
    assignment = neutral_assignment(counts)
    assert (assignment is not None) == brute_force(counts) == is_neutral(counts)
    if assignment is not None:
        check_assignment(counts, assignment)


@pytest.mark.parametrize(
    "counts",
    [
        {"Sr": 27, "Ti": 27, "O": 81},
        {"Cs": 13, "Rb": 14, "Pb": 20, "Sn": 7, "I": 40, "Br": 41},
        {"Fe": 463, "Mn": 1, "O": 616},
        {"C": 100, "S": 560, "Fe": 420},
    ],
)
def test_large_crystals(counts):
    check_assignment(counts, neutral_assignment(counts))


def test_one_atom_too_many_among_1080():
    assert neutral_assignment({"Sr": 216, "Ti": 216, "O": 648}) is not None
    assert neutral_assignment({"Sr": 217, "Ti": 215, "O": 648}) is None
    assert neutral_assignment({"Fe": 648, "O": 432}) is None


def test_other_table():
    assert neutral_assignment({"Ti": 2, "O": 3}) is None
    assert neutral_assignment({"Ti": 2, "O": 3}, oxidation_table("smact")) == {
        "Ti": {3: 2},
        "O": {-2: 3},
    }


@pytest.mark.parametrize("count", [-1, 0.5])
def test_counts_are_whole_numbers(count):
    with pytest.raises(InputError, match=f"count of Fe is {count}"):
        neutral_assignment({"Fe": count})


@given(GROUPS, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_best_states_agree_with_brute_force(groups, limit):
    def cost(choice):
        return sum(s[q] for (_, s), q in zip(groups, choice, strict=True))

    counts = [count for count, _ in groups]
    every = [
        choice
        for choice in product(*(states for _, states in groups))
        if sum(n * q for n, q in zip(counts, choice, strict=True)) == 0
    ]
    found = neutral_states(groups, limit=limit)
    assert len(set(found)) == len(found) == min(limit, len(every))
    assert set(found) <= set(every)
    assert [cost(choice) for choice in found] == sorted(map(cost, every))[:limit]


def test_best_states_of_many_groups():
    groups = [(1, {3: 0.1, 2: 1.0}), (1, {-2: 0.0})] * 300 + [(1, {-2: 0.0})] * 50
    found = neutral_states(groups, limit=3)
    assert len(set(found)) == 3
    assert all(sum(choice) == 0 for choice in found)


@pytest.mark.parametrize(
    ("counts", "assignment"),
    [
        ({"Cu": 1, "Al": 1, "O": 2}, {"Cu": {1: 1}, "Al": {3: 1}, "O": {-2: 2}}),
        ({"V": 2, "O": 3}, {"V": {3: 2}, "O": {-2: 3}}),
        ({"K": 1, "Cr": 1, "F": 3}, {"K": {1: 1}, "Cr": {2: 1}, "F": {-1: 3}}),
        ({"Ca": 1, "In": 1, "Br": 3}, {"Ca": {2: 1}, "In": {1: 1}, "Br": {-1: 3}}),
        (
            {"La": 1, "Cu": 1, "O": 1, "S": 1},
            {"La": {3: 1}, "Cu": {1: 1}, "O": {-2: 1}, "S": {-2: 1}},
        ),
        ({"Cu": 1, "In": 1, "Se": 2}, {"Cu": {1: 1}, "In": {3: 1}, "Se": {-2: 2}}),
        ({"Sn": 2, "S": 3}, {"Sn": {2: 1, 4: 1}, "S": {-2: 3}}),
        ({"Mg": 3, "Bi": 2}, {"Mg": {2: 3}, "Bi": {-3: 2}}),
        ({"Cs": 1, "Au": 1}, {"Cs": {1: 1}, "Au": {-1: 1}}),
        ({"Ca": 2, "Si": 1}, None),  # Si4- are 1.2 % of silicon's reports
    ],
)
def test_states_that_chemists_use(counts, assignment):
    assert neutral_assignment(counts, oxidation_table("icsd")) == assignment


def test_likelihood_is_the_product_of_the_shares_of_reports():
    usual = assignment_likelihood({"Sr": [2], "Ti": [4], "O": [-2, -2, -2]})
    assert usual == pytest.approx(0.9994 * 0.9224 * 0.9956, abs=2e-3)
    assert assignment_likelihood({"Sr": [2], "Ti": [3], "F": [-1]}) < 0.1 * usual
    assert assignment_likelihood({"Si": [0]}) == 1.0
