import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Element
from scipy.stats import wasserstein_distance

from smoacs.errors import InputError
from smoacs.learning import LearnSettings, choose, composition_distances

FORMULAS = ("KMgF3", "KCaF3", "CsSnI3", "NaN", "SrTiO3", "KMgF2Cl", "BaTiO3", "RbPbBr3")


def candidates(formulas=FORMULAS, spread=None):
    table = pd.DataFrame({"id": [f"{k:04d}" for k in range(len(formulas))], "formula": formulas})
    return table if spread is None else table.assign(**{"band_gap.std": spread})


def test_distance_is_the_earth_movers_of_an_independent_library():
    found = composition_distances(FORMULAS[:3], FORMULAS)
    shares = [
        {"K": 0.2, "Mg": 0.2, "F": 0.6},
        {"K": 0.2, "Ca": 0.2, "F": 0.6},
        {"Cs": 0.2, "Sn": 0.2, "I": 0.6},
    ]
    for i, a in enumerate(shares):
        for j, b in enumerate(shares):
            numbers = [[Element(e).mendeleev_no for e in x] for x in (a, b)]
            expected = wasserstein_distance(*numbers, list(a.values()), list(b.values()))
            assert found[i, j] == pytest.approx(expected)


def test_each_reason_takes_its_share_and_nothing_twice():
    spread = [0.1, 0.2, 0.3, 0.9, 0.8, 0.1, 0.1, 0.1]
    settings = LearnSettings(per_round=4)
    chosen = choose(candidates(spread=spread), [], settings)
    assert chosen["formula"].tolist()[:3] == ["KMgF3", "KCaF3", "NaN"]
    assert chosen["chosen_for"].tolist() == ["best", "best", "uncertain", "different"]
    left = [f for f in FORMULAS if f not in set(chosen["formula"][:3])]
    nearest = composition_distances(left, chosen["formula"].tolist()[:3]).min(axis=1)
    assert chosen["formula"].iloc[3] == left[int(nearest.argmax())]


def test_what_was_labelled_is_never_chosen_and_counts_as_known():
    settings = LearnSettings(per_round=3, best=0, uncertain=0, different=1)
    known = ["KMgF3", "CsSnI3"]
    chosen = choose(candidates(), known, settings)["formula"].tolist()
    assert not set(chosen) & set(known)
    left = [f for f in FORMULAS if f not in known]
    assert chosen[0] == left[int(composition_distances(left, known).min(axis=1).argmax())]


def test_without_a_spread_the_best_take_the_place_of_the_uncertain():
    chosen = choose(candidates(), [], LearnSettings(per_round=4))
    assert chosen["chosen_for"].tolist() == ["best"] * 3 + ["different"]


@given(
    n=st.integers(0, 8),
    wanted=st.integers(1, 12),
    shares=st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 3).filter(any),
    spread=st.lists(st.sampled_from([0.1, 0.2, np.nan]), min_size=8, max_size=8),
    known=st.sets(st.sampled_from(FORMULAS)),
)
def test_as_many_as_asked_for_or_all_that_there_are(n, wanted, shares, spread, known):
    best, uncertain, different = shares
    settings = LearnSettings(per_round=wanted, best=best, uncertain=uncertain, different=different)
    assert sum(settings.counts().values()) == wanted
    table = candidates(FORMULAS[:n], spread[:n])
    chosen = choose(table, sorted(known), settings)
    free = [f for f in FORMULAS[:n] if f not in known]
    assert chosen["formula"].is_unique
    assert set(chosen["formula"]) <= set(free)
    assert len(chosen) == min(wanted, len(free))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, "rounds is 0; it is at least 1"),
        ({"tolerance": 0.0}, "tolerance is 0.0; it is a number above 0"),
        ({"core_hours": -1.0}, "core_hours is -1.0"),
        ({"best": 0.0, "uncertain": 0.0, "different": 0.0}, "one is above"),
    ],
)
def test_settings_that_make_no_sense(changes, message):
    with pytest.raises(InputError, match=message):
        LearnSettings(**changes)
