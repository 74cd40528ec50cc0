"""Early rejection: what is out of reach is told from the decorations that were all relaxed."""

import pytest
import torch

from smoacs.evaluation import EnergySlopes
from smoacs.search.exhaustive.early_stopping import EarlyStopping, Monitor
from smoacs.search.settings import ExhaustiveSettings
from smoacs.targets import Targets

SETTINGS = ExhaustiveSettings()
SAFETY, NEAREST, WATCHED = SETTINGS.safety, SETTINGS.nearest, SETTINGS.watched
GAP = Targets.of(["band_gap = 2.5 ± 0.2"])


def values(gaps):
    return {"band_gap": torch.tensor(gaps)}


def test_nothing_is_given_up_for_an_extreme():
    shortfalls = Targets.of(["maximize band_gap"]).shortfalls(values([0.0, 9.0]))
    stopping = EarlyStopping(SETTINGS, torch.zeros(5, 2, 0), torch.zeros(5, 0))
    assert not stopping.are_gone(0, shortfalls).any()


def learnt(begun, rested):
    return EarlyStopping(SETTINGS, torch.tensor(begun)[:, :, None], torch.tensor(rested)[:, None])


def test_the_longest_way_of_those_near_the_bound_counts():
    stopping = learnt([[0.5, 0.2], [0.1, 0.0], [-0.3, -0.2]], [0.1, 0.0, -0.1])
    far = torch.tensor([[0.4 * SAFETY + 0.01], [0.4 * SAFETY - 0.01], [-5.0]])
    assert stopping.are_gone(0, far).tolist() == [True, False, False]
    later = torch.tensor([[0.1 * SAFETY + 0.01], [0.1 * SAFETY - 0.01]])
    assert stopping.are_gone(1, later).tolist() == [True, False]
    assert not stopping.are_gone(WATCHED, far).any()


def test_those_far_from_the_bound_do_not_count():
    near = [[0.2, 0.1]] * NEAREST
    rested = [0.0] * NEAREST
    stopping = learnt([*near, [9.0, 9.0]], [*rested, 3.0])
    assert stopping.are_gone(0, torch.tensor([[0.2 * SAFETY + 0.01]])).all()


def test_what_did_not_come_to_rest_teaches_nothing():
    nan = float("nan")
    stopping = learnt([[0.2, 0.1], [9.0, 9.0], [0.1, nan]], [0.0, nan, 0.0])
    assert stopping.are_gone(0, torch.tensor([[1.0]])).all()
    assert not stopping.are_gone(0, torch.tensor([[nan]])).any()


def slopes(gaps):
    """What a predictor says of crystals in a relaxation."""
    n = len(gaps)
    return EnergySlopes(
        values=values(gaps),
        finite=torch.ones(n, dtype=torch.bool),
        frac_grad=torch.zeros(n, 3),
        cell_grad=torch.zeros(n, 3, 3),
        pressure=torch.zeros(n),
        max_force=torch.zeros(n),
    )


def test_a_monitor_notes_the_first_steps_and_gives_up_what_is_out_of_reach():
    stopping = EarlyStopping(SETTINGS, torch.zeros(3, WATCHED, 2), torch.zeros(3, 2))
    where = {"shape": (4, WATCHED), "device": torch.device("cpu")}
    monitor = Monitor(GAP, stopping, **where)
    found, moving = slopes([1.0, 2.5]), torch.tensor([1, 3])
    assert monitor(0, moving, found).tolist() == [True, False]
    assert monitor.begun[1, 0].tolist() == pytest.approx([1.3, -1.7])
    assert monitor.begun[0].isnan().all()
    assert not monitor(WATCHED, moving, found).any()
    patient = Monitor(GAP, None, **where)
    assert not patient(0, moving, found).any()
    assert patient.begun[3, 0].tolist() == pytest.approx([-0.2, -0.2])


def test_safety_and_number_are_settings():
    begun, rested = torch.tensor([[[0.4]], [[9.0]]]), torch.tensor([[0.0], [3.0]])
    narrow = ExhaustiveSettings(safety=1.0, nearest=1)
    far = torch.tensor([[0.41]])
    assert EarlyStopping(narrow, begun, rested).are_gone(0, far).all()
    assert not EarlyStopping(SETTINGS, begun, rested).are_gone(0, far).any()
