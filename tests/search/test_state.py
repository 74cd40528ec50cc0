"""A search that goes on from any step ends as if it had never stopped."""

import copy
import dataclasses
import io

import numpy as np
import pytest
import torch

from smoacs.crystals import Candidates, DesignSpace
from smoacs.errors import InputError
from smoacs.evaluation import Evaluator
from smoacs.relaxation import QuasiNewton, SecantLattice
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.gradient.adam import CandidateAdam, Variable
from smoacs.search.gradient.policies import Standing
from smoacs.search.gradient.swap_estimates import SwapEstimates
from smoacs.search.settings import PAPER
from smoacs.search.state import put_back, state_of
from smoacs.targets import Targets
from smoacs.targets.scalarisation import Front
from smoacs.templates import perovskite, site_operations
from toys import Bowl, Conflict, PairEnergy

CPU = torch.device("cpu")
SEARCHES = {
    "default": ({"targets": ("toy < 0.3",), "n": 6, "steps": 30}, Bowl),
    "extreme": ({"targets": ("minimize toy",), "n": 3, "steps": 24}, Bowl),
    "paper": ({"targets": ("toy < 0.3",), "n": 6, "steps": 16, "preset": "paper"}, Bowl),
    "at rest": (
        {"targets": ("formation_energy < -0.1",), "n": 3, "steps": 24, "rest": "symmetry"},
        PairEnergy,
    ),
    "front": ({"targets": ("minimize price", "minimize weight"), "n": 4, "steps": 24}, Conflict),
    "large cells at rest": (
        {
            "targets": ("formation_energy < -0.1",),
            "n": 2,
            "steps": 10,
            "rest": "symmetry",
            "repeat": 2,
        },
        PairEnergy,
    ),
    "rules": (
        {
            "targets": ("toy < 0.3",),
            "n": 4,
            "steps": 20,
            "counts": {"F": 2},
            "max_elements": {"all": 4},
        },
        Bowl,
    ),
    "no discrete stage": ({"targets": ("toy < 0.3",), "n": 2, "steps": 1, "preset": "paper"}, Bowl),
    "no anneal": ({"targets": ("toy < 0.3",), "n": 2, "steps": 1}, Bowl),
}


EARLY_COPIES = dataclasses.replace(
    PAPER, copy_mutate=dataclasses.replace(PAPER.copy_mutate, steps=(6, 10))
)
"""The paper's copies come at steps 100 and 150, which takes long."""


class Memory:
    """Keeps every state, as it would come back from a file."""

    def __init__(self, begin=None, stop_after=None):
        self.begin = begin
        self.stop_after = stop_after
        self.states = []
        self.due = True

    def last(self):
        return copy.deepcopy(self.begin)

    @property
    def stop_asked(self):
        return self.stop_after is not None and len(self.states) + 1 >= self.stop_after

    def keep(self, state):
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        self.states.append(torch.load(file, weights_only=True))


def search(name, keeper=None):
    asked, predictor = SEARCHES[name]
    config = DesignConfig(**asked, device="cpu")
    settings = EARLY_COPIES if config.preset == "paper" else None
    return run_search(config, predictor=predictor(), keeper=keeper, settings=settings)


def assert_same(first, second):
    assert first.structures == second.structures
    assert first.combinations == second.combinations
    assert first.history.equals(second.history)
    assert first.predictor_calls == second.predictor_calls
    assert first.steps == second.steps
    assert first.interrupted == second.interrupted


def assert_same_state(first, second):
    if isinstance(first, torch.Tensor):
        assert torch.equal(first.nan_to_num(nan=1e30), second.nan_to_num(nan=1e30))
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first.keys() - {"seconds"}:
            assert_same_state(first[name], second[name])
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_same_state(one, other)
    else:
        assert first == second


@pytest.mark.parametrize("name", SEARCHES)
def test_going_on_from_any_step_gives_the_same(name):
    keeper = Memory()
    whole = search(name, keeper)
    assert_same(whole, search(name))  # keeping changes nothing
    assert len(keeper.states) == whole.steps
    for state in keeper.states[:: max(1, whole.steps // 3)] + keeper.states[-1:]:
        again = Memory(state)
        assert_same(whole, search(name, again))
        if again.states:
            assert_same_state(keeper.states[-1], again.states[-1])


@pytest.mark.parametrize("step", [1, 12, 30])
def test_a_search_that_is_stopped_gives_what_there_is(step):
    whole, keeper = search("default"), Memory(stop_after=step)
    part = search("default", keeper)
    assert part.interrupted == (step < 30)
    assert part.steps == len(keeper.states) == step
    assert len(part.structures) == 6
    assert part.history.equals(whole.history[whole.history["step"] <= step])
    assert_same(whole, search("default", Memory(keeper.states[-1])))


def test_time_adds_up():
    keeper = Memory(stop_after=2)
    search("default", keeper)
    state = keeper.states[-1]
    state["seconds"] += 1000
    assert 1000 < search("default", Memory(state)).timings["total"] < 1060


class Part:
    """Something with state of every kind, and with what is none."""

    NOT_STATE = frozenset({"settings", "variables"})

    def __init__(self, value):
        self.leaf = torch.full((2,), float(value), requires_grad=True)
        self.same_leaf = self.leaf
        self.table = {"a": torch.full((3,), float(value))}
        self.same_table = self.table
        self.items = [torch.tensor(value), value]
        self.count = value
        self.maybe = None
        self.settings = object()
        self.variables = (self.leaf,)


def test_a_part_gets_its_state_back_in_place():
    old, new = Part(1), Part(2)
    settings = new.settings
    put_back(new, state_of(old), CPU)
    assert new.leaf.tolist() == [1, 1]
    assert new.leaf is new.same_leaf is new.variables[0]
    assert new.table is new.same_table
    assert new.table["a"].tolist() == [1, 1, 1]
    assert new.items == [torch.tensor(1), 1]
    assert new.count == 1
    assert new.settings is settings


def test_a_state_is_a_copy():
    part = Part(1)
    state = state_of(part)
    part.table["a"][0] = 5
    part.items.append(3)
    assert state["table"]["a"].tolist() == [1, 1, 1]
    assert len(state["items"]) == 2


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        (1, 2),
        np.zeros(3),
        torch.Generator(),
        object(),
        (k for k in range(3)),
        [object()],
        {"a": object()},
        {"a": [np.zeros(3)]},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_kept_is_refused(value):
    part = Part(1)
    part.tabu = value
    with pytest.raises(TypeError, match=r"cannot keep tabu.* of Part, a .*NOT_STATE"):
        state_of(part)
    part.settings = value
    del part.tabu
    assert "settings" not in state_of(part)


def candidates_of(n=2):
    space = DesignSpace.from_templates([perovskite()] * n)
    return Candidates.start(space, torch.Generator().manual_seed(0), score_noise=0.5)


STATES = {
    "newton": (
        lambda c, _: QuasiNewton(c, site_operations(perovskite())),
        {"stress", "force", "_moves", "_changes", "_curvature", "_gradient", "_move"},
    ),
    "lattice": (lambda c, _: SecantLattice(c), {"_stiffness", "_pressure", "_strain"}),
    "adam": (
        lambda c, _: CandidateAdam({"x": Variable(c.lengths, torch.arange(2), 0.1)}, 2),
        {"_first", "_second", "_steps"},
    ),
    "evaluator": (lambda _, e: e, {"predictor_calls", "seconds", "_memory_limit"}),
    "front": (
        lambda *_: Front(Targets.of(["minimize price", "minimize weight"]), torch.ones(2, 2)),
        {"_best", "_worst", "_frozen"},
    ),
    "estimates": (
        lambda c, _: SwapEstimates(c, ["toy"]),
        {"values", "_changes", "_expected", "_agreement", "_size"},
    ),
    "memory": (
        lambda c, _: c.snapshot(),
        {"combination", "elements", "lengths", "angles", "displacements"},
    ),
    "standing": (
        lambda *_: Standing(*(torch.zeros(2) for _ in range(5))),
        {"loss", "target_loss", "last_loss", "met", "calls"},
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_each_part_of_a_search_keeps_its_state_and_no_more(name):
    build, expected = STATES[name]
    with Evaluator(Bowl(), ("toy",)) as evaluator:
        assert set(state_of(build(candidates_of(), evaluator))) == expected


BEST = {"combination", "elements", "lengths", "angles", "displacements"}
COMMON = {
    "candidates": BEST | {"element_scores", "combination_scores"},
    "evaluator": {"predictor_calls", "seconds", "_memory_limit"},
    "generator": None,
    "best": BEST,
    "found": BEST,
    "swaps": {"tried"},
    "estimates": {"values", "_changes", "_expected", "_agreement", "_size"},
    "standing": {"loss", "target_loss", "last_loss", "met", "calls"},
    "places": {"filled", "loss", "failures", "owing", "idle", "values"},
}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        (
            "default",
            {
                "adam": {"_first", "_second", "_steps"},
                "best_geometry": BEST,
                "outcome": {"met", "loss", "total", "toy"},
            },
        ),
        ("at rest", {"newton": STATES["newton"][1]}),
    ],
)
def test_the_discrete_stage_keeps_all_that_changes_and_no_more(name, own):
    keeper = Memory()
    search(name, keeper)
    state = keeper.states[-1]
    assert state["stage"] == "finishing"
    found = {
        part: set(kept) if isinstance(kept, dict) else None for part, kept in state["parts"].items()
    }
    assert found == COMMON | own


def test_candidates_are_written_in_place():
    old, new = candidates_of(), candidates_of()
    old.harden()
    old.move({"lengths": torch.ones(2, 3)})
    held = new.state
    put_back(held, state_of(old.state), CPU)
    assert new.state.keys() == held.keys()
    for name, tensor in new.state.items():
        assert tensor is held[name]
        assert torch.equal(tensor, old.state[name])


def test_a_state_of_other_code_is_refused():
    state = state_of(Part(1))
    del state["count"]
    with pytest.raises(InputError, match=r"another version.*count"):
        put_back(Part(2), state, CPU)
