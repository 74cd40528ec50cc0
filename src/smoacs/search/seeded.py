"""A search over several seeds: each has its own template and candidates, searched in turn."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Lattice, Species, Structure

from smoacs.chemistry import N_ELEMENTS
from smoacs.search.crystal_rows import composition_key
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

Search = Callable[..., "DesignResult"]
"""A search on one template: settings, template, who is told, and compositions taken (`taken`)."""

FEWEST_STEPS = 40
"""Steps that are worth another search."""


def search_seeds(
    config: "DesignConfig",
    found: SeedTemplates,
    search: Search,
    *,
    progress: ProgressCallback | None,
    keeper: Keeper | None,
) -> "DesignResult":
    """Deal the candidates over the seeds, candidate i to seed i modulo their number, and search.

    Candidates at rest without a success are searched again, on seeds that have some. No formula
    succeeds twice.

    Args:
        config: What is wanted; `n` candidates in all.
        found: Templates of the seeds, at most `n`.
        search: Searches one template.
        progress: Called after every step.
        keeper: Keeps the state, the results of templates that are done included.
    """
    last = None if keeper is None else keeper.last()
    done: list[State] = [] if last is None else list(last["seeds_done"])
    parts: list[_Part] = []
    results: list[DesignResult] = []
    while True:
        if len(parts) == len(results):
            new = _next_parts(config, found, parts, results)
            if not new:
                break
            parts += new
        number = len(results)
        part = parts[number]
        if number < len(done):
            results.append(_unpacked(done[number], part.config, found.templates[part.template]))
            continue
        own = None if keeper is None else _PartKeeper(keeper, number, done, last)
        told = (_shifted(progress, parts, number), own)
        template = found.templates[part.template]
        taken = _compositions(template.n_sites, results)
        results.append(search(part.config, template, told, taken=taken))
        if results[-1].interrupted:
            break
        done.append(_packed(results[-1]))
    return _joined(config, found, parts, results)


@dataclasses.dataclass(frozen=True)
class _Part:
    """The search on one template.

    Attributes:
        template: Number of the seed.
        places: Of its candidates among all.
        config: With as many candidates.
    """

    template: int
    places: tuple[int, ...]
    config: "DesignConfig"


def _next_parts(
    config: "DesignConfig",
    found: SeedTemplates,
    parts: list[_Part],
    results: "list[DesignResult]",
) -> list[_Part]:
    """Searches on all seeds; then, again and again, on those that succeeded.

    Some templates hold no success at all. So at rest all seeds have half of the budget; after that
    the places without a success are dealt over the seeds that have some, until the budget is spent.
    """
    n_seeds = len(found.templates)
    if not parts:
        dealt = {k: tuple(range(k, config.n, n_seeds)) for k in range(n_seeds)}
        steps = max(1, config.steps // 2) if config.at_rest else config.steps
        return [_part(config, k, places, number=k, steps=steps) for k, places in dealt.items()]
    owner = _owners(parts[: len(results)])
    failed = [
        place
        for place, (number, k) in sorted(owner.items())
        if results[number].met and not results[number].met[k]
    ]
    good = sorted({p.template for p, r in zip(parts, results, strict=True) if any(r.met)})
    left = config.n * config.steps - sum(result.predictor_calls for result in results)
    failed = failed[: left // FEWEST_STEPS]
    if not failed:
        return []
    steps = min(config.steps, left // len(failed))
    good = (good or list(range(n_seeds)))[: len(failed)]
    new = []
    for index, template in enumerate(good):
        places = tuple(failed[index :: len(good)])
        new.append(_part(config, template, places, number=len(parts) + index, steps=steps))
    return new


def _part(
    config: "DesignConfig", template: int, places: tuple[int, ...], *, number: int, steps: int
) -> _Part:
    seed = (config.seed + number * _STRIDE) % 2**63
    update = {"n": len(places), "seed": seed, "steps": steps}
    return _Part(template, places, config.model_copy(update=update))


def _owners(parts: list[_Part]) -> dict[int, tuple[int, int]]:
    """Part and candidate of it that each place has; later parts have overwritten earlier ones."""
    owner: dict[int, tuple[int, int]] = {}
    for number, part in enumerate(parts):
        owner.update({place: (number, k) for k, place in enumerate(part.places)})
    return owner


def _compositions(n_sites: int, results: "list[DesignResult]") -> frozenset[str]:
    """Keys, in a template of so many sites, of the compositions that have a success already.

    The same formula on another seed is no other design to whoever asks for distinct ones.
    """
    keys: set[str] = set()
    for result in results:
        for structure, met in zip(result.structures, result.met, strict=False):
            counts = [0] * N_ELEMENTS
            for site in structure:
                counts[site.specie.Z - 1] += 1
            times, rest = divmod(n_sites * math.gcd(*counts), len(structure))
            if met and rest == 0:
                divisor = math.gcd(*counts)
                keys.add(composition_key([count // divisor * times for count in counts]))
    return frozenset(keys)


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
    progress: ProgressCallback | None, parts: list[_Part], number: int
) -> ProgressCallback | None:
    """Progress over all parts."""
    if progress is None:
        return None
    before = sum(part.config.steps for part in parts[:number])
    total = sum(part.config.steps for part in parts)

    def tell(event: ProgressEvent) -> None:
        progress(dataclasses.replace(event, step=before + event.step, n_steps=total))

    return tell


def _joined(
    config: "DesignConfig",
    found: SeedTemplates,
    parts: list[_Part],
    results: "list[DesignResult]",
) -> "DesignResult":
    """One result, its candidates in their places."""
    owner = dict(sorted(_owners(parts[: len(results)]).items()))
    place = {source: row for row, source in enumerate(owner.values())}
    tables = []
    for number, result in enumerate(results):
        rows = result.history["candidate"].map(lambda k, part=number: place.get((part, k), -1))
        table = result.history.assign(candidate=rows.astype(np.int64))
        tables.append(table[table["candidate"] >= 0])
    history = pd.concat(tables, ignore_index=True).sort_values(
        ["step", "candidate"], kind="stable", ignore_index=True
    )
    names = {name for result in results for name in result.timings}
    sources = list(owner.values())
    seeds = [parts[number].template for number, _ in sources]
    told = all(result.met for result in results)
    return dataclasses.replace(
        results[0],
        config=config,
        template=found.templates[0],
        structures=[results[number].structures[k] for number, k in sources],
        combinations=[results[number].combinations[k] for number, k in sources],
        history=history,
        predictor_calls=sum(result.predictor_calls for result in results),
        timings={name: sum(r.timings.get(name, 0.0) for r in results) for name in sorted(names)},
        steps=max(result.steps for result in results),
        interrupted=any(result.interrupted for result in results),
        met=tuple(results[number].met[k] for number, k in sources) if told else (),
        search=joined_report([result.search for result in results]),
        decorations=None,
        templates=tuple(found.templates[seed] for seed in seeds),
        originals=tuple(found.originals[seed] for seed in seeds),
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
        "met": list(result.met),
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
        met=tuple(state["met"]),
        search=state["search"],
    )
