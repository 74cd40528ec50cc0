import dataclasses

import pytest

from smoacs.learning import LearnSettings, RoundNumbers, stop_reason
from smoacs.learning.numbers import known_share

SETTINGS = LearnSettings(rounds=9, patience=2)


def rounds(*shares, hours=1.0, new=5):
    return [
        RoundNumbers(
            round=k,
            candidates=10,
            success_rate=0.5,
            new_successes=new,
            labelled=new,
            failed=0,
            confirmed=0,
            confirmed_share=share,
            gap_mae=None,
            gap_median_error=None,
            median_pressure=None,
            low_pressure_share=None,
            core_hours=hours,
            total_core_hours=hours * (k + 1),
        )
        for k, share in enumerate(shares)
    ]


@pytest.mark.parametrize(
    "shares", [(), (0.3,), (0.3, 0.2), (0.3, 0.2, 0.4), (0.1, 0.2, 0.3, 0.3), (0.5, 0.6, 0.5)]
)
def test_it_goes_on_while_the_share_may_rise(shares):
    assert stop_reason(rounds(*shares), SETTINGS) is None


@pytest.mark.parametrize("shares", [(0.3, 0.2, 0.3), (0.1, 0.6, 0.5, 0.6), (0.0, 0.0, 0.0)])
def test_it_stops_when_the_share_has_not_risen(shares):
    assert stop_reason(rounds(*shares), SETTINGS) == (
        "the confirmed share has not risen for 2 rounds"
    )


def test_other_ends():
    assert stop_reason(rounds(0.1, 0.2), LearnSettings(rounds=2)) == "all 2 rounds are done"
    assert stop_reason(rounds(0.1, 0.2), LearnSettings(core_hours=2.0)).startswith(
        "the budget of 2"
    )
    assert stop_reason(rounds(0.1, 0.2), LearnSettings(core_hours=2.1)) is None
    used_up = stop_reason([*rounds(0.5), *rounds(None, new=0)], SETTINGS)
    assert used_up.startswith("all distinct successes of the last round are among the 5 labelled")
    none = [dataclasses.replace(rounds(0.5)[0], success_rate=0.0, new_successes=0, labelled=0)]
    assert stop_reason(none, SETTINGS).startswith("no candidate of the last round succeeds")


def test_the_best_count_where_they_are_kept_apart():
    shares = ((0.5, 0.2), (0.4, 0.4), (0.3, 0.6))
    rising = [
        dataclasses.replace(item, best_share=best)
        for item, (_, best) in zip(rounds(*(a for a, _ in shares)), shares, strict=True)
    ]
    assert stop_reason(rounds(*(a for a, _ in shares)), SETTINGS) is not None
    assert stop_reason(rising, SETTINGS) is None


def test_known_share_is_of_the_successes_that_have_a_label():
    labelled = [("NaCl", True), ("KCl", False), ("LiF", True)]
    assert known_share(["NaCl", "KCl", "MgO"], labelled) == 0.5
    assert known_share(["MgO"], labelled) is None


def test_numbers_survive_json():
    (item,) = rounds(0.5)
    assert RoundNumbers.from_dict(item.to_dict()) == item
    older = {k: v for k, v in item.to_dict().items() if not k.endswith("_share")}
    older["confirmed_share"] = 0.5
    older["low_pressure_share"] = None
    assert RoundNumbers.from_dict(older) == item, "rounds of earlier versions"
