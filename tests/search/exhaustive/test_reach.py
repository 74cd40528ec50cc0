"""Early rejection: what is out of reach is told from the decorations that were all relaxed."""

import pytest
import torch

from smoacs.evaluation import Prediction
from smoacs.search.exhaustive.reach import NEAREST, SAFETY, WATCHED, Hopes, Watch, Yardstick
from smoacs.targets import Target

GAP = Target.parse("band_gap = 2.5 ± 0.2")
MODULUS = Target.parse("bulk_modulus > 100")


def values(gaps, moduli=None):
    found = {"band_gap": torch.tensor(gaps)}
    found["bulk_modulus"] = torch.full_like(found["band_gap"], 150.0)
    return found if moduli is None else found | {"bulk_modulus": torch.tensor(moduli)}


def test_shortfalls_are_distances_to_the_bounds():
    found = Yardstick([GAP, MODULUS], 0.0).shortfalls(values([2.0, 2.5, 3.0], [90.0, 100.0, 110.0]))
    expected = [[0.3, -0.7, 10.0], [-0.2, -0.2, 0.0], [-0.7, 0.3, -10.0]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_cautious_shortfalls_count_the_spread_on_the_worse_side():
    found = values([2.5]) | {"band_gap.std": torch.tensor([0.3])}
    assert Yardstick([GAP], 2.0).shortfalls(found).tolist() == [pytest.approx([0.4, 0.4])]


def test_extremes_have_no_bounds_and_nothing_is_given_up_for_them():
    yardstick = Yardstick([Target.parse("maximize band_gap")], 0.0)
    assert yardstick.n_bounds == 0
    shortfalls = yardstick.shortfalls(values([0.0, 9.0]))
    assert shortfalls.shape == (2, 0)
    hopes = Hopes(torch.zeros(5, WATCHED, 0), torch.zeros(5, 0))
    assert not hopes.are_gone(0, shortfalls).any()


def learnt(begun, rested):
    return Hopes(torch.tensor(begun)[:, :, None], torch.tensor(rested)[:, None])


def test_the_longest_way_of_those_near_the_bound_counts():
    hopes = learnt([[0.5, 0.2], [0.1, 0.0], [-0.3, -0.2]], [0.1, 0.0, -0.1])
    far = torch.tensor([[0.4 * SAFETY + 0.01], [0.4 * SAFETY - 0.01], [-5.0]])
    assert hopes.are_gone(0, far).tolist() == [True, False, False]
    later = torch.tensor([[0.1 * SAFETY + 0.01], [0.1 * SAFETY - 0.01]])
    assert hopes.are_gone(1, later).tolist() == [True, False]
    assert not hopes.are_gone(WATCHED, far).any()


def test_those_far_from_the_bound_do_not_count():
    near = [[0.2, 0.1]] * NEAREST
    rested = [0.0] * NEAREST
    hopes = learnt([*near, [9.0, 9.0]], [*rested, 3.0])
    assert hopes.are_gone(0, torch.tensor([[0.2 * SAFETY + 0.01]])).all()


def test_what_did_not_come_to_rest_teaches_nothing():
    nan = float("nan")
    hopes = learnt([[0.2, 0.1], [9.0, 9.0], [0.1, nan]], [0.0, nan, 0.0])
    assert hopes.are_gone(0, torch.tensor([[1.0]])).all()
    assert not hopes.are_gone(0, torch.tensor([[nan]])).any()


def test_a_watch_notes_the_first_steps_and_gives_up_the_hopeless():
    yardstick = Yardstick([GAP], 0.0)
    hopes = Hopes(torch.zeros(3, WATCHED, 2), torch.zeros(3, 2))
    watch = Watch(yardstick, hopes, 4, torch.device("cpu"))
    found = Prediction({"band_gap": torch.tensor([1.0, 2.5])}, torch.tensor([True, True]))
    assert watch(0, torch.tensor([1, 3]), found).tolist() == [True, False]
    assert watch.begun[1, 0].tolist() == pytest.approx([1.3, -1.7])
    assert watch.begun[0].isnan().all()
    assert not watch(WATCHED, torch.tensor([1, 3]), found).any()
    patient = Watch(yardstick, None, 4, torch.device("cpu"))
    assert not patient(0, torch.tensor([1, 3]), found).any()
