"""Every kind of search, killed at a checkpoint and resumed, ends as if nothing had happened.

    python -m pytest -m slow tests/search/test_resume_modes.py --checkpoints 20

tries twenty checkpoints of each; without the option two are drawn, anew each time. What is drawn
stands in the test's output.
"""

import io
import secrets
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from smoacs.predictors import load_predictor
from smoacs.request import DesignConfig
from smoacs.search import run_search
from smoacs.search.settings import AT_REST

GAP = "band_gap = 2.5 ± 0.5"
FACTOR = "0.8 <= tolerance_factor <= 1.0"
PEROVSKITE = (GAP, FACTOR)
HALIDES = ("K", "Rb", "Cs", "Mg", "Ca", "Zn", "Cd", "F", "Cl")
MODES = {
    "minimum": {"targets": PEROVSKITE, "rest": "minimum", "n": 2, "elements": HALIDES},
    "minimum by gradients": {
        "targets": PEROVSKITE,
        "rest": "minimum",
        "n": 2,
        "search": "gradient",
    },
    "seeds at a minimum": {"targets": (GAP,), "rest": "minimum", "n": 2, "steps": 10},
    "gradients at rest": {"targets": PEROVSKITE, "search": "gradient"},
    "gradients not at rest": {"targets": PEROVSKITE, "search": "gradient", "rest": "none"},
    "paper": {"targets": PEROVSKITE, "preset": "paper", "steps": 110},
    "maximize": {"targets": ("maximize band_gap", FACTOR), "search": "gradient"},
    "maximize not at rest": {"targets": ("maximize band_gap", FACTOR), "rest": "none"},
    "pareto": {"targets": ("maximize band_gap", "minimize formation_energy")},
    "pareto not at rest": {
        "targets": ("maximize band_gap", "minimize formation_energy"),
        "rest": "none",
    },
    "conservative": {"targets": PEROVSKITE, "search": "gradient", "conservative": 0.5},
    "rules": {"targets": PEROVSKITE, "required": ("O",), "max_elements": {"all": 3}, "n": 4},
    "counts": {
        "template": "spinel",
        "targets": (GAP,),
        "counts": {"O": 8},
        "elements": ("O", "Mg", "Zn", "Al", "Ga", "In"),
        "search": "gradient",
        "n": 3,
    },
    "layered": {"template": "anatase", "targets": (GAP,), "search": "gradient", "n": 4},
    "space group": {"template": "rutile", "targets": (GAP,), "symmetry": "space-group", "n": 4},
    "rock salt": {"template": "rock-salt", "targets": (GAP,), "search": "gradient"},
    "repeat": {"targets": (GAP,), "repeat": 2, "n": 2, "steps": 16},
    "exhaustive": {
        "targets": PEROVSKITE,
        "search": "exhaustive",
        "elements": HALIDES,
        "sites": {"X": ("F", "Cl")},
    },
    "unfinished": {"targets": PEROVSKITE, "search": "auto", "n": 40, "steps": 60},
    "seeds": {"targets": (GAP,), "n": 4, "steps": 30},
    "seeds not at rest": {"targets": (GAP,), "n": 4, "steps": 20, "rest": "none"},
}
FEW_LET_GO = replace(
    AT_REST,
    settling=replace(
        AT_REST.settling, least=4, least_pool=50, searched=40, round=2, smallest=2, wave_steps=5
    ),
)
SEEDS = [
    Structure(Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]),
]


class Tape:
    """A keeper that keeps every state as a file would, and goes on from one of them."""

    def __init__(self, state=None):
        self._state = state
        self.states = []
        self.due = True
        self.stop_asked = False

    def last(self):
        return self._state

    def keep(self, state):
        file = io.BytesIO()
        torch.save(state, file)
        self.states.append(file.getvalue())


def from_file(data):
    return torch.load(io.BytesIO(data), weights_only=True)


def rest_of(mode):
    """Within their symmetry, but for the paper's designs."""
    return {} if "preset" in MODES[mode] else {"rest": "symmetry"}


def searched(mode, keeper=None):
    settings = {"n": 6, "steps": 30, "seed": 1, "device": "cpu", **rest_of(mode), **MODES[mode]}
    return run_search(
        DesignConfig(**settings),
        predictor=load_predictor(device="cpu"),
        keeper=keeper,
        settings=FEW_LET_GO if MODES[mode].get("rest") == "minimum" else None,
        seeds=SEEDS if mode.startswith("seeds") else None,
    )


def assert_same(one, other):
    assert len(one.structures) == len(other.structures)
    for mine, theirs in zip(one.structures, other.structures, strict=True):
        assert mine.species == theirs.species
        np.testing.assert_array_equal(mine.lattice.matrix, theirs.lattice.matrix)
        np.testing.assert_array_equal(mine.frac_coords, theirs.frac_coords)
    assert one.met == other.met
    assert one.losses == other.losses
    assert one.predictor_calls == other.predictor_calls
    assert one.history.equals(other.history)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_search_that_was_killed_gives_what_it_would_have_given(mode, request):
    tape = Tape()
    whole = searched(mode, tape)
    assert_same(whole, searched(mode))  # keeping states changes nothing
    n = min(request.config.getoption("--checkpoints"), len(tape.states))
    draw = np.random.default_rng(seed := secrets.randbits(32))
    chosen = sorted(draw.choice(len(tape.states), n, replace=False).tolist())
    print(f"{mode}: checkpoints {chosen} of {len(tape.states)}, drawn by {seed}")  # noqa: T201
    for k in chosen:
        assert_same(whole, searched(mode, Tape(from_file(tape.states[k]))))
