"""A search over several seeds: each has its own template and candidates, searched in turn."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Species, Structure

from smoacs.search.plan import joined_report
from smoacs.search.progress import ProgressCallback, ProgressEvent
from smoacs.search.state import Keeper, State
from smoacs.templates import SeedTemplates, Template

if TYPE_CHECKING:
    from smoacs.search.api import DesignResult
    from smoacs.search.config import DesignConfig

_STRIDE = 1_000_003
"""Between the random seeds of two templates."""

Told = tuple[ProgressCallback | None, Keeper | None]

Search = Callable[["DesignConfig", Template, Told], "DesignResult"]
"""A search on one template."""


def search_seeds(
    config: "DesignConfig",
    found: SeedTemplates,
    search: Search,
    *,
    progress: ProgressCallback | None,
    keeper: Keeper | None,
) -> "DesignResult":
    """Deal the candidates over the seeds, candidate i to seed i modulo their number, and search.

    Args:
        config: What is wanted; `n` candidates in all.
        found: Templates of the seeds, at most `n`.
        search: Searches one template.
        progress: Called after every step.
        keeper: Keeps the state, the results of templates that are done included.
    """
    templates = found.templates
    n_seeds = len(templates)
    last = None if keeper is None else keeper.last()
    done: list[State] = [] if last is None else list(last["seeds_done"])
    results: list[DesignResult] = []
    for number, template in enumerate(templates):
        part = config.model_copy(
            update={
                "n": len(range(number, config.n, n_seeds)),
                "seed": (config.seed + number * _STRIDE) % 2**63,
            }
        )
        if number < len(done):
            results.append(_unpacked(done[number], part, template))
            continue
        own = None if keeper is None else _PartKeeper(keeper, number, done, last)
        results.append(search(part, template, (_shifted(progress, number, n_seeds), own)))
        if results[-1].interrupted:
            break
        done.append(_packed(results[-1]))
    return _joined(config, found, results)


class _PartKeeper:
    """Keeps the state of the search on one template, with the results of those before it."""

    def __init__(self, keeper: Keeper, number: int, done: list[State], last: State | None) -> None:
        self._keeper = keeper
        self._done = list(done)
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
        self._keeper.keep({**state, "seed_number": self._number, "seeds_done": self._done})


def _shifted(
    progress: ProgressCallback | None, number: int, n_seeds: int
) -> ProgressCallback | None:
    """Progress over all templates."""
    if progress is None:
        return None

    def tell(event: ProgressEvent) -> None:
        step = number * event.n_steps + event.step
        progress(dataclasses.replace(event, step=step, n_steps=n_seeds * event.n_steps))

    return tell


def _joined(
    config: "DesignConfig", found: SeedTemplates, results: "list[DesignResult]"
) -> "DesignResult":
    """One result, its candidates in the order in which they were dealt."""
    n_seeds = len(found.templates)
    tables, owner = [], []
    for number, result in enumerate(results):
        owner += [(k * n_seeds + number, number, k) for k in range(len(result.structures))]
    owner.sort()
    place = {(number, k): row for row, (_, number, k) in enumerate(owner)}
    for number, result in enumerate(results):
        candidates = [place[number, k] for k in result.history["candidate"]]
        tables.append(result.history.assign(candidate=np.array(candidates, dtype=np.int64)))
    history = pd.concat(tables, ignore_index=True).sort_values(
        ["step", "candidate"], kind="stable", ignore_index=True
    )
    names = {name for result in results for name in result.timings}
    return dataclasses.replace(
        results[0],
        config=config,
        template=found.templates[0],
        structures=[results[number].structures[k] for _, number, k in owner],
        combinations=[results[number].combinations[k] for _, number, k in owner],
        history=history,
        predictor_calls=sum(result.predictor_calls for result in results),
        timings={name: sum(r.timings.get(name, 0.0) for r in results) for name in sorted(names)},
        steps=max(result.steps for result in results),
        interrupted=any(result.interrupted for result in results),
        search=joined_report([result.search for result in results]),
        decorations=None,
        templates=tuple(found.templates[number] for _, number, _ in owner),
        originals=tuple(found.originals[number] for _, number, _ in owner),
        skipped_seeds=found.skipped,
    )


def _packed(result: "DesignResult") -> State:
    """What a keeper can keep of a result."""
    structures = result.structures
    return {
        "lattices": torch.tensor(np.array([s.lattice.matrix for s in structures])),
        "coords": torch.tensor(np.array([s.frac_coords for s in structures])),
        "symbols": [[str(site.symbol) for site in s.species] for s in structures],
        "charges": [[int(site.oxi_state or 0) for site in s.species] for s in structures],
        "combinations": list(result.combinations),
        "history": {
            str(name): torch.tensor(np.array(values)) for name, values in result.history.items()
        },
        "predictor_calls": result.predictor_calls,
        "timings": dict(result.timings),
        "steps": result.steps,
        "search": dict(result.search),
    }


def _unpacked(state: dict[str, Any], config: "DesignConfig", template: Template) -> "DesignResult":
    from smoacs.search.api import DesignResult  # noqa: PLC0415 - which imports this module

    structures = [
        Structure(
            Lattice(lattice),
            [Species(*ion) for ion in zip(symbols, charges, strict=True)],
            coords,
        )
        for lattice, coords, symbols, charges in zip(
            state["lattices"].numpy(),
            state["coords"].numpy(),
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
        search=state["search"],
    )
