"""Which seeds are searched next: all at first, then those that the best crystals came from."""

import dataclasses
import heapq
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pymatgen.core import Structure

from smoacs.chemistry import N_ELEMENTS
from smoacs.search.gradient.moves import composition_key

if TYPE_CHECKING:
    from smoacs.request.config import DesignConfig
    from smoacs.search.result import DesignResult

_STRIDE = 1_000_003
"""Between the random seeds of two parts."""

FIRST_SHARE = 0.25
"""Of the budget that all seeds have, at rest; the rest goes where successes are."""

LITTLE = 0.25
"""Share of its calls below which a round has found little to try."""

ROUND_STEPS = 40
"""Steps of every later round: what about two successes of a good seed take."""

Source = tuple[int, int]
"""Number of a part, and of a crystal among its results."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A search on one template.

    Attributes:
        template: Number of the seed.
        config: With as many candidates and steps.
        turn: Number of the round.
        begin: Crystals to go on from, one for each candidate; none to begin anew.
        at_seed: Whether to begin at the seed itself.
    """

    template: int
    config: "DesignConfig"
    turn: int
    begin: tuple[Source, ...] = ()
    at_seed: bool = False


def next_parts(
    config: "DesignConfig", n_seeds: int, parts: Sequence[Part], results: "Sequence[DesignResult]"
) -> list[Part]:
    """Parts of the next round; none if there is nothing left to do.

    Candidates are dealt over all seeds first. Many seeds hold no success at all, so at rest these
    have a share of the budget only. What is left goes, round by round, to candidates that begin at
    the best crystals there are, in the templates of these: successes, as long as there are fewer
    than asked for; of extremes, the best half.

    Args:
        config: What is wanted.
        n_seeds: How many seeds there are.
        parts: Those that were searched.
        results: What they gave.
    """
    if not parts:
        return _first_parts(config, n_seeds)
    if not _goes_on(config):
        return []
    best = best_of(config, results)
    if _is_idle(parts, results, best):
        return []
    met = [results[number].structures[k] for number, k in best if _met(results, (number, k))]
    n_met = len({reduced(structure) for structure in met})
    left = config.n * config.steps - sum(result.predictor_calls for result in results)
    wanted = max(1, config.n // 2) if _is_extreme(config) else config.n - n_met
    wanted = min(wanted, left // min(config.steps, ROUND_STEPS))
    whole = {part.template for part, r in zip(parts, results, strict=True) if _is_complete(r)}
    known = [source for source in best if parts[source[0]].template not in whole]
    if wanted < 1 or not known:
        return []
    good = [source for source in known if _met(results, source)]
    if good and not _is_extreme(config):
        begin = _by_yield(good, parts, results, wanted)
    else:
        begin = _best_half(config, known, parts, wanted)
    new: list[Part] = []
    for template, sources in sorted(begin.items()):
        own = _config(config, len(sources), number=len(parts) + len(new), steps=ROUND_STEPS)
        new.append(Part(template, own, parts[-1].turn + 1, begin=tuple(sources)))
    return new


def _is_complete(result: "DesignResult") -> bool:
    """Whether all compositions of the template were gone through."""
    counts = [result.search.get(k) for k in ("relaxed", "given_up", "possible_by_composition")]
    gone, given_up, possible = (n if isinstance(n, int) else -1 for n in counts)
    return possible >= 0 and gone + given_up >= possible


def _is_idle(parts: Sequence[Part], results: "Sequence[DesignResult]", best: list[Source]) -> bool:
    """Whether the last round gave none of the best and found little to try."""
    turn = parts[-1].turn
    if any(parts[number].turn == turn for number, _ in best):
        return False
    last = [number for number, part in enumerate(parts) if part.turn == turn]
    allowed = sum(parts[k].config.n * parts[k].config.steps for k in last)
    return sum(results[k].predictor_calls for k in last) < LITTLE * allowed


def _best_half(
    config: "DesignConfig", best: list[Source], parts: Sequence[Part], wanted: int
) -> dict[int, list[Source]]:
    """Crystals to go on from, by the seed: the best half, again and again if more are wanted."""
    good = _fresh_first(best[: max(1, config.n // 2)], parts)
    begin: dict[int, list[Source]] = {}
    for k in range(wanted):
        source = good[k % len(good)]
        begin.setdefault(parts[source[0]].template, []).append(source)
    return begin


def _by_yield(
    good: list[Source], parts: Sequence[Part], results: "Sequence[DesignResult]", wanted: int
) -> dict[int, list[Source]]:
    """Successes to go on from, by the seed: in proportion to a seed's successes for its calls.

    Shares are rounded by the method of highest averages (V. D'Hondt), so if few are wanted they
    belong to the best seeds.
    """
    calls: Counter[int] = Counter()
    for part, result in zip(parts, results, strict=True):
        calls[part.template] += result.predictor_calls
    own: dict[int, list[Source]] = {}
    for source in _fresh_first(good, parts):
        own.setdefault(parts[source[0]].template, []).append(source)
    rate = {k: len(own[k]) / calls[k] for k in own}
    averages = [(-rate[k], order, k) for order, k in enumerate(own)]
    heapq.heapify(averages)
    dealt: Counter[int] = Counter()
    for _ in range(wanted):
        _, order, k = averages[0]
        dealt[k] += 1
        heapq.heapreplace(averages, (-rate[k] / (1 + dealt[k]), order, k))
    return {k: [own[k][i % len(own[k])] for i in range(n)] for k, n in dealt.items()}


def _fresh_first(sources: list[Source], parts: Sequence[Part]) -> list[Source]:
    """Crystals that fewest candidates have gone on from first: more swaps are left to try there."""
    used = Counter(source for part in parts for source in part.begin)
    return sorted(sources, key=lambda source: used[source])


def _first_parts(config: "DesignConfig", n_seeds: int) -> list[Part]:
    """All seeds; at rest half of the candidates begin at the seed, the others anew.

    A single seed is searched as any template is.
    """
    goes_on = _goes_on(config) and n_seeds > 1
    steps = max(1, round((FIRST_SHARE if goes_on else 1.0) * config.steps))
    parts: list[Part] = []
    for k in range(n_seeds):
        n = len(range(k, config.n, n_seeds))
        at_seed = (n + k % 2) // 2 if goes_on else 0
        for size, is_seed in ((at_seed, True), (n - at_seed, False)):
            if size:
                own = _config(config, size, number=len(parts), steps=steps)
                parts.append(Part(k, own, turn=0, at_seed=is_seed))
    return parts


def _goes_on(config: "DesignConfig") -> bool:
    """Whether a second round could know which crystals are better."""
    conflict = sum(1 for target in config.wanted if target.direction) > 1
    return config.rests and not conflict and config.search != "exhaustive"


def _is_extreme(config: "DesignConfig") -> bool:
    return any(target.direction for target in config.wanted)


def _config(config: "DesignConfig", n: int, *, number: int, steps: int) -> "DesignConfig":
    """Settings of a part."""
    seed = (config.seed + number * _STRIDE) % 2**63
    update = {"n": n, "seed": seed, "steps": min(config.steps, steps)}
    return config.model_copy(update=update)


def _met(results: "Sequence[DesignResult]", source: Source) -> bool:
    met = results[source[0]].met
    return bool(met) and met[source[1]]


def best_of(config: "DesignConfig", results: "Sequence[DesignResult]") -> list[Source]:
    """At most n crystals: successes first, and each formula once if possible; then the nearest.

    No success has the formula of a better one on the same template.
    """
    extreme = _is_extreme(config)

    def rank(source: Source) -> tuple[bool, float, Source]:
        part, k = source
        met = _met(results, source)
        losses = results[part].losses
        loss = losses[k] if losses and (extreme or not met) else 0.0
        return not met, loss, source

    def template(source: Source) -> int:
        return id(results[source[0]].template)

    seen: set[tuple[int, ...]] = set()
    repeats: set[tuple[tuple[int, ...], int]] = set()
    first: list[Source] = []
    again: list[Source] = []
    for source in sorted(_sources(results), key=rank):
        formula = reduced(results[source[0]].structures[source[1]])
        if formula not in seen:
            first.append(source)
        elif (formula, template(source)) not in repeats or not _met(results, source):
            again.append(source)
        seen.add(formula)
        repeats.add((formula, template(source)))
    return [*first, *again][: config.n]


def _sources(results: "Sequence[DesignResult]") -> Iterator[Source]:
    for number, result in enumerate(results):
        yield from ((number, k) for k in range(len(result.structures)))


def reduced(structure: Structure) -> tuple[int, ...]:
    """Atoms of each element in the reduced formula, [E]."""
    counts = [0] * N_ELEMENTS
    for site in structure:
        counts[site.specie.Z - 1] += 1
    divisor = math.gcd(*counts)
    return tuple(count // divisor for count in counts)


class Taken:
    """Compositions that have a success already, as the results of one part after another come in.

    The same formula on another seed is no other design to whoever asks for distinct ones.
    """

    def __init__(self) -> None:
        self._formulas: list[tuple[int, ...]] = []
        self._keys: dict[int, tuple[int, set[str]]] = {}

    def add(self, result: "DesignResult") -> None:
        """Note the successes of a part."""
        for structure, met in zip(result.structures, result.met, strict=False):
            if met:
                self._formulas.append(reduced(structure))

    def __len__(self) -> int:
        """Compositions noted so far."""
        return len(self._formulas)

    def add_all(self, structures: Sequence[Structure]) -> None:
        """Note crystals, whether they are successes or not."""
        self._formulas += [reduced(structure) for structure in structures]

    def keys(self, n_sites: int) -> frozenset[str]:
        """Keys of those that a template of so many sites can hold.

        Formulas that were looked at for templates of this size are not looked at again.
        """
        seen, keys = self._keys.get(n_sites, (0, set()))
        for formula in self._formulas[seen:]:
            times, rest = divmod(n_sites, sum(formula))
            if rest == 0:
                keys.add(composition_key([times * count for count in formula]))
        self._keys[n_sites] = len(self._formulas), keys
        return frozenset(keys)
