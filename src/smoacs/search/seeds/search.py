"""A search over several seeds: each has its own template and candidates, searched in turn."""

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from smoacs.request.chemical_rules import crystal_rules
from smoacs.request.decoration_rules import decoration_rule
from smoacs.search.gradient.known_crystals import KnownCrystal, of_seed
from smoacs.search.progress import Audience, ProgressCallback, ProgressEvent
from smoacs.search.seeds.report import joined_report
from smoacs.search.seeds.rounds import Part, Source, Taken, best_of, next_parts
from smoacs.search.seeds.state import FINISHED, PartKeeper, packed, unpacked
from smoacs.search.state import Keeper, State
from smoacs.templates import SeedTemplates, Template

if TYPE_CHECKING:
    from smoacs.request.config import DesignConfig
    from smoacs.search.result import DesignResult

Search = Callable[..., "DesignResult"]
"""A search on one template: settings, template, audience, compositions that nobody is to get
(`taken`) and crystals to go on from (`begin`)."""


def search_seeds(
    config: "DesignConfig",
    found: SeedTemplates,
    search: Search,
    *,
    progress: ProgressCallback | None,
    keeper: Keeper | None,
    taken: Taken | None = None,
) -> "DesignResult":
    """Deal the candidates over the seeds, candidate i to seed i modulo their number, and search.

    At rest the search goes on, round by round, on the seeds that the best crystals came from (see
    `rounds`). The best of all are returned, each formula once as long as there are others.

    Args:
        config: What is wanted; `n` candidates in all.
        found: Templates of the seeds, at most `n`.
        search: Searches one template.
        progress: Called after every step.
        keeper: Keeps the state, the results of templates that are done included.
        taken: Compositions that nobody is to get, those of the successes are added to a copy.
    """
    last = None if keeper is None else keeper.last()
    done: list[State] = [] if last is None else list(last[FINISHED])
    parts: list[Part] = []
    results: list[DesignResult] = []
    taken = Taken() if taken is None else copy.deepcopy(taken)
    before = total = 0
    while True:
        if len(parts) == len(results):
            new = next_parts(config, len(found.templates), parts, results)
            if not new:
                break
            parts += new
            total += sum(part.config.steps for part in new)
        number = len(results)
        part = parts[number]
        template = found.templates[part.template]
        if number < len(done):
            results.append(unpacked(done[number], part.config, template))
        else:
            own = None if keeper is None else PartKeeper(keeper, number, done, last)
            audience = Audience(_shifted(progress, before, total), own)
            keys = taken.keys(template.n_sites)
            begin = _beginnings(part, template, results)
            results.append(search(part.config, template, audience, taken=keys, begin=begin))
            if results[-1].interrupted:
                break
            if keeper is not None:
                done.append(packed(results[-1]))
        taken.add(results[-1])
        before += part.config.steps
    return _joined(config, found, parts, results)


def _beginnings(
    part: Part, template: Template, results: "Sequence[DesignResult]"
) -> list[KnownCrystal]:
    """Crystals that a part goes on from; none if it begins anew."""
    if part.at_seed:
        rule = decoration_rule(crystal_rules(part.config.chemical_rules(template)), template)
        seeds = of_seed(template, rule)
        return [seeds[k % len(seeds)] for k in range(part.config.n)] if seeds else []
    known = [(results[number], k) for number, k in part.begin]
    return [KnownCrystal(result.structures[k], result.combinations[k]) for result, k in known]


def _shifted(progress: ProgressCallback | None, before: int, total: int) -> ProgressCallback | None:
    """Progress over all parts: of so many steps in all, so many before this part."""
    if progress is None:
        return None

    def tell(event: ProgressEvent) -> None:
        progress(dataclasses.replace(event, step=before + event.step, n_steps=total))

    return tell


def _joined(
    config: "DesignConfig",
    found: SeedTemplates,
    parts: list[Part],
    results: "list[DesignResult]",
) -> "DesignResult":
    """One result: the best crystals of all parts, those of the first round in their places."""
    sources = _placed(best_of(config, results), parts, len(found.templates), config.n)
    place = {source: row for row, source in enumerate(sources)}
    tables = []
    for number, result in enumerate(results):
        rows = result.history["candidate"].map(lambda k, part=number: place.get((part, k), -1))
        table = result.history.assign(candidate=rows.astype(np.int64))
        tables.append(table[table["candidate"] >= 0])
    history = pd.concat(tables, ignore_index=True).sort_values(
        ["step", "candidate"], kind="stable", ignore_index=True
    )
    names = {name for result in results for name in result.timings}
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
        losses=tuple(results[number].losses[k] for number, k in sources) if told else (),
        search=joined_report(
            [result.search for result in results], [result.template.name for result in results]
        ),
        decorations=None,
        templates=tuple(found.templates[seed] for seed in seeds),
        originals=tuple(found.originals[seed] for seed in seeds),
        skipped_seeds=found.skipped,
    )


def _placed(best: list[Source], parts: Sequence[Part], n_seeds: int, n: int) -> list[Source]:
    """The sources in order: candidates of the first round where they were dealt, others between."""
    free = [list(range(k, n, n_seeds)) for k in range(n_seeds)]
    places: dict[int, Source] = {}
    others = []
    for source in sorted(best):
        part = parts[source[0]]
        if part.begin or not free[part.template]:
            others.append(source)
        else:
            places[free[part.template].pop(0)] = source
    rest = iter(others)
    row = (places.get(place) or next(rest, None) for place in range(n))
    return [source for source in row if source is not None]
