import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smoacs.chemistry import ELEMENTS, element_index
from smoacs.errors import InputError
from smoacs.templates import SiteRule, perovskite
from smoacs.templates.restrict import blame, combined, conflict, fillable, site_indices

LABELS = ("A", "B", "X", "X", "X", "B'")
TEMPLATE = perovskite()
SOME = ("K", "Rb", "Sr", "La", "Mg", "Ti", "Al", "Nb", "F", "Cl", "O", "S")


@pytest.mark.parametrize(
    ("key", "sites"),
    [
        ("A", (0,)),
        ("X", (2, 3, 4)),
        ("X[0]", (2,)),
        ("X[1:3]", (3, 4)),
        (" X [ 0 : 2 ] ", (2, 3)),
        ("B'", (5,)),
    ],
)
def test_keys_of_sites(key, sites):
    assert site_indices("toy", LABELS, key) == sites


@pytest.mark.parametrize("key", ["C", "a", "", "X[", "X[-1]", "X[:2]", "X[0:9]", "X[3]", "X[2:1]"])
def test_keys_that_name_no_sites(key):
    with pytest.raises(InputError, match=r"sites\..*template 'toy' has "):
        site_indices("toy", LABELS, key)


def test_a_rule_leaves_other_sites_alone():
    mask = SiteRule("a rule", {"K"}, (0,)).mask(3)
    assert mask[1:].all()
    assert np.flatnonzero(mask[0]).tolist() == [element_index("K")]
    assert SiteRule("no site", {"K"}, ()).mask(2).all()


def test_blame_reads_as_a_sentence():
    a, b, c = "abc"
    assert blame([a]) == "a leaves none"
    assert blame([a, b]) == "a and b exclude each other"
    assert blame([a, b, c]) == "a, b and c together leave none"


rules = st.builds(
    SiteRule,
    st.text("abc", min_size=1),
    st.frozensets(st.sampled_from(SOME)),
    st.none() | st.lists(st.integers(0, 4), max_size=4).map(tuple),
)


@given(st.lists(rules, max_size=5))
def test_a_conflict_is_one_and_every_rule_of_it_is_needed(given_rules):
    def feasible(some):
        return bool(fillable(TEMPLATE.allowed & combined(some, TEMPLATE.n_sites)).any())

    assume(not feasible(given_rules))
    clash = conflict(TEMPLATE.allowed, given_rules)
    assert not feasible(clash)
    for rule in clash:
        assert feasible([other for other in clash if other is not rule])


@given(st.lists(rules, max_size=4))
def test_rules_hold_at_every_site_of_what_is_left(given_rules):
    try:
        template = TEMPLATE.with_rules(given_rules)
    except InputError:
        return
    assert template.allowed.any(axis=2).all()
    for rule in given_rules:
        outside = [index for index, symbol in enumerate(ELEMENTS) if symbol not in rule.elements]
        sites = list(range(5)) if rule.sites is None else list(rule.sites)
        assert not template.allowed[:, sites][..., outside].any()
    assert ((template.radii > 0) == template.allowed).all()
