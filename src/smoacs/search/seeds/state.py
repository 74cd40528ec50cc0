"""What is kept of a search over several seeds: results that are done, and the state of the next."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Species, Structure

from smoacs.request import DesignConfig
from smoacs.search.result import DesignResult
from smoacs.search.state import Keeper, State
from smoacs.templates import Template

FINISHED = "seeds_done"
"""Name, in a state, of the results of templates that are done: from one state to the next their
list only grows, and a keeper need not write again what it has."""


class PartKeeper:
    """Keeps the state of the search on one template, with the results of those before it."""

    def __init__(self, keeper: Keeper, number: int, done: list[State], last: State | None) -> None:
        self._keeper = keeper
        self._done = done
        self._last = last if last is not None and last["seed_number"] == number else None
        self._number = number

    def last(self) -> State | None:
        """State to go on from, if the search was on this template."""
        return self._last

    @property
    def due(self) -> bool:
        """Whether it is time to keep a state."""
        return self._keeper.due

    @property
    def stop_asked(self) -> bool:
        """Whether the search is to stop after this step."""
        return self._keeper.stop_asked

    def keep(self, state: State) -> None:
        """Keep a state, and what other templates gave."""
        self._keeper.keep({**state, "seed_number": self._number, FINISHED: list(self._done)})


def packed(result: DesignResult) -> State:
    """What a keeper can keep of a result."""
    structures = result.structures
    return {
        "lattices": torch.tensor(np.array([s.lattice.matrix for s in structures])),
        # one by one: structures of several seeds have different numbers of sites
        "coords": [torch.tensor(np.array(s.frac_coords)) for s in structures],
        "symbols": [[str(site.symbol) for site in s.species] for s in structures],
        "charges": [[int(site.oxi_state or 0) for site in s.species] for s in structures],
        "combinations": list(result.combinations),
        "history": {
            str(name): torch.tensor(np.array(values)) for name, values in result.history.items()
        },
        "predictor_calls": result.predictor_calls,
        "timings": dict(result.timings),
        "steps": result.steps,
        "met": list(result.met),
        "losses": list(result.losses),
        "search": dict(result.search),
    }


def unpacked(state: dict[str, Any], config: DesignConfig, template: Template) -> DesignResult:
    """The result that was packed."""
    structures = [
        Structure(
            Lattice(lattice),
            [Species(*ion) for ion in zip(symbols, charges, strict=True)],
            coords.numpy(),
        )
        for lattice, coords, symbols, charges in zip(
            state["lattices"].numpy(),
            state["coords"],
            state["symbols"],
            state["charges"],
            strict=True,
        )
    ]
    return DesignResult(
        config=config,
        template=template,
        structures=structures,
        combinations=state["combinations"],
        history=pd.DataFrame({name: values.numpy() for name, values in state["history"].items()}),
        predictor_calls=state["predictor_calls"],
        timings=state["timings"],
        steps=state["steps"],
        met=tuple(state["met"]),
        losses=tuple(state["losses"]),
        search=state["search"],
    )
