"""What is kept of a search for designs at a minimum: where crystals ended, and the search within.

A state is that of the search for crystals in their symmetry, with one entry more. That search is at
its end once crystals are let go: it gives what it gave when it goes on from its last state.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pymatgen.core import Lattice, Species, Structure

from smoacs.relaxation import Settled
from smoacs.request import DesignConfig
from smoacs.search.result import DesignResult
from smoacs.search.seeds.state import packed as packed_search
from smoacs.search.seeds.state import unpacked as unpacked_search
from smoacs.search.state import Keeper, State
from smoacs.structures import charges, symbols
from smoacs.templates import Template

SETTLING = "settling"
"""Name, in a state, of what belongs to settling."""

Templates = Sequence[tuple[Template, Template | None]]
"""All templates of a run, each with its like before any constraint was applied (of seeds)."""

_NUMBERS = ("energy", "parent_energy", "lowest_frequency", "parent_frequency")
_REST = ("parent_space_group", "space_group", "converged", "failure")


class WithinSettling:
    """Keeps the states of the search within, beside what has settled before it."""

    def __init__(self, keeper: Keeper, wave: int, own: State) -> None:
        """Take the keeper of the whole, the number of this search, and what was settled so far."""
        self._keeper = keeper
        self._own = own
        last = keeper.last()
        kept = {} if last is None else dict(last)
        number = kept.pop(SETTLING, {}).get("wave", 0)
        self.latest: State = kept if number == wave else {}

    def last(self) -> State | None:
        """State to go on from, if this search has one."""
        return self.latest or None

    @property
    def due(self) -> bool:
        """Whether it is time to keep a state."""
        return self._keeper.due

    @property
    def stop_asked(self) -> bool:
        """Whether the search is to stop after this step."""
        return self._keeper.stop_asked

    def keep(self, state: State) -> None:
        """Keep a state."""
        self.latest = state
        self._keeper.keep({**state, SETTLING: self._own})

    def keep_settled(self, own: State) -> None:
        """Keep what has settled since this search ended."""
        self._keeper.keep({**self.latest, SETTLING: own})


def packed(settled: Settled) -> State:
    """What a keeper can keep of a crystal that was let go."""
    state: State = {name: float(getattr(settled, name)) for name in _NUMBERS}
    state |= {name: getattr(settled, name) for name in _REST}
    end = settled.structure
    if end is not None:
        state["lattice"] = torch.tensor(np.array(end.lattice.matrix))
        state["coords"] = torch.tensor(np.array(end.frac_coords))
        state["symbols"] = list(symbols(end))
        states = charges(end)
        state["charges"] = None if states is None else [_whole(q) for q in states]
    return state


def _whole(charge: float) -> float:
    """A charge, as an integer if it is one."""
    return int(charge) if charge == int(charge) else charge


def unpacked(state: dict[str, Any]) -> Settled:
    """The crystal that was packed."""
    end = None
    if "lattice" in state:
        states = state["charges"] or [None] * len(state["symbols"])
        species = [Species(*ion) for ion in zip(state["symbols"], states, strict=True)]
        end = Structure(Lattice(state["lattice"].numpy()), species, state["coords"].numpy())
    return Settled(structure=end, **{name: state[name] for name in (*_NUMBERS, *_REST)})


def packed_result(result: DesignResult, templates: Templates) -> State:
    """What a keeper can keep of a search for parents that is done."""
    place = {id(template): k for k, (template, _) in enumerate(templates)}
    own = [place[id(template)] for template in result.templates]
    return {**packed_search(result), "templates": own, "skipped": list(result.skipped_seeds)}


def unpacked_result(
    state: dict[str, Any], config: DesignConfig, templates: Templates
) -> DesignResult:
    """The search that was packed."""
    own = [templates[k] for k in state["templates"]]
    return replace(
        unpacked_search(state, config, templates[0][0]),
        templates=tuple(template for template, _ in own),
        originals=tuple(original for _, original in own if original is not None),
        skipped_seeds=tuple(state["skipped"]),
    )
