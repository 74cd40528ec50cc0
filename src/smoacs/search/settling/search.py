"""Designs at a minimum: parents are searched, let go, and what comes of them decides what is next.

A search for crystals at rest in their symmetry gives parents. An exhaustive one gives many more
than it is asked for: all that settling may bring within the targets. One by gradients goes on in
waves, each aimed at where, by all that has settled, crystals come from that end within them.
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from smoacs.predictors import Predictor, load_settling_predictor
from smoacs.request import DesignConfig
from smoacs.search.progress import Audience, ProgressCallback, ProgressEvent
from smoacs.search.result import DesignResult
from smoacs.search.seeds.rounds import Taken
from smoacs.search.settings import SettlingSettings
from smoacs.search.settling.chosen import settled_result
from smoacs.search.settling.handover import Handover
from smoacs.search.settling.pool import PropertiesOf, parents_of
from smoacs.search.settling.reach import moved_against
from smoacs.search.settling.rounds import Rounds
from smoacs.search.settling.state import (
    SETTLING,
    WithinSettling,
    packed_result,
    unpacked_result,
)
from smoacs.search.state import Keeper, State
from smoacs.templates import Template

log = logging.getLogger(__name__)

_STRIDE = 7_368_787
"""Between the random seeds of two waves."""


class ParentSearch(Protocol):
    """A search for crystals at rest in their symmetry."""

    def __call__(
        self, config: DesignConfig, audience: Audience, *, taken: Taken, pool: "Handover"
    ) -> DesignResult:
        """Search.

        Args:
            config: What is wanted of parents.
            audience: Who is told.
            taken: Compositions that nobody is to get again.
            pool: How an exhaustive search is to hand over more than n.
        """


class MinimumSearch:
    """A search for designs at a minimum, over parents that another search gives."""

    def __init__(
        self,
        config: DesignConfig,
        search: ParentSearch,
        predictor: Predictor,
        settings: SettlingSettings,
        *,
        templates: Sequence[tuple[Template, Template | None]],
        progress: ProgressCallback | None,
        keeper: Keeper | None,
    ) -> None:
        """Take what is wanted.

        Args:
            config: With `rest` = "minimum".
            search: For parents.
            predictor: Of the targets.
            settings: Of settling.
            templates: All that parents may be on, each with its like before any constraint.
            progress: Called after every step.
            keeper: Keeps the state.
        """
        self._config = config
        self._search = search
        self._settings = settings
        self._templates = templates
        self._progress = progress
        self._keeper = keeper
        properties = PropertiesOf(predictor, config.wanted.to_predict(predictor.properties))
        self._rounds = Rounds(
            config.wanted,
            properties,
            load_settling_predictor(predictor),
            settings,
            n=config.n,
            seed=config.seed,
        )
        last = None if keeper is None else keeper.last()
        self._before: State = {} if last is None else last.get(SETTLING, {})
        self._handover = Handover(
            max(settings.least_pool, settings.pool * config.n), config, properties
        )
        self._results: list[DesignResult] = []
        self._packed: list[State] = list(self._before.get("waves", ()))
        self._taken = Taken()
        self._seconds = float(self._before.get("seconds", 0.0))

    def run(self) -> DesignResult:
        """Search, let go, and again."""
        interrupted, end = False, ""
        while True:
            asked = self._asked()
            if asked is None:
                break
            result, within = self._wave(asked)
            self._results.append(result)
            parents = parents_of(result, len(self._results) - 1)
            self._rounds.pool.add(parents, self._rounds.properties)
            self._taken.add_all(result.structures)
            if result.interrupted:
                interrupted = True
                break
            if within is None and len(self._results) <= len(self._packed):
                continue  # its rounds are done
            if self._before:  # by now all parents are there
                self._rounds.put_back(self._before)
                self._before = {}
            end, interrupted = self._settle(asked, within)
            if interrupted:
                break
            if self._keeper is not None:
                self._packed.append(packed_result(result, self._templates))
        if end:
            log.info("%s", end)
        return settled_result(
            self._config,
            self._results,
            self._rounds,
            seconds=self._seconds,
            end=end,
            interrupted=interrupted,
        )

    @property
    def _candidates(self) -> int:
        """Candidates of the first search for parents."""
        template, _ = self._templates[0]
        return max(self._config.n, self._settings.searched // template.n_sites)

    def _asked(self) -> dict[str, Any] | None:
        """What the next wave is asked for; None if there is none."""
        wave, config = len(self._results), self._config
        if self._before.get("wave") == wave:
            asked: dict[str, Any] = self._before["asked"]
            return asked
        if wave < len(self._packed) or not wave:
            return {"n": self._candidates, "steps": config.steps, "shifts": {}}
        by_gradients = all(result.search.get("method") == "gradient" for result in self._results)
        if not by_gradients or wave >= self._settings.waves or self._rounds.is_done:
            return None
        calls = self._settings.wave_calls * self._candidates * config.steps - sum(
            result.predictor_calls for result in self._results
        )
        rate = max(self._rounds.n_met / max(len(self._rounds.outcomes), 1), self._settings.poorest)
        wanted = math.ceil(max(config.n - self._rounds.n_met, config.n // 4, 1) / rate)
        n = min(wanted, self._candidates, self._rounds.budget - len(self._rounds.outcomes))
        n = min(n, calls // self._settings.wave_steps)
        if n < 1:
            return None
        steps = min(config.steps, calls // n)
        return {"n": n, "steps": steps, "shifts": self._rounds.mean_shifts()}

    def _wave(self, asked: dict[str, Any]) -> tuple[DesignResult, WithinSettling | None]:
        """The parents of a wave, and the keeper of their search."""
        wave = len(self._results)
        config = self._config.model_copy(
            update={
                "rest": "symmetry",
                "n": asked["n"],
                "steps": asked["steps"],
                "seed": (self._config.seed + wave * _STRIDE) % 2**63,
                "targets": moved_against(self._config.wanted, asked["shifts"]).each,
            }
        )
        if wave < len(self._packed):
            return unpacked_result(self._packed[wave], config, self._templates), None
        within = None
        if self._keeper is not None:
            within = WithinSettling(self._keeper, wave, self._state(asked))
        audience = Audience(self._progress, within)
        return self._search(config, audience, taken=self._taken, pool=self._handover), within

    def _settle(self, asked: dict[str, Any], within: WithinSettling | None) -> tuple[str, bool]:
        """Let parents go, round by round: why that ended, and whether it was by the user."""
        begin, spent = time.perf_counter(), self._seconds
        while True:
            end = self._rounds.end()
            if end:
                return end, False
            self._rounds.let_go(self._rounds.next(), self._told())
            self._seconds = spent + time.perf_counter() - begin
            if within is not None and (within.stop_asked or within.due):
                within.keep_settled(self._state(asked))
                if within.stop_asked and not self._rounds.end():
                    return "", True

    def _told(self) -> Any:  # noqa: ANN401 - a callback, or none
        progress, rounds = self._progress, self._rounds
        if progress is None:
            return None

        def tell(done: int) -> None:
            rate = rounds.n_met / max(len(rounds.outcomes), 1)
            progress(ProgressEvent("settling", done, rounds.budget, rate))

        return tell

    def _state(self, asked: dict[str, Any]) -> State:
        return {
            "wave": len(self._packed),
            "waves": list(self._packed),
            "asked": asked,
            "seconds": self._seconds,
            **self._rounds.state(),
        }


def with_note(result: DesignResult, note: str) -> DesignResult:
    """A result whose search has one more thing to say, first of all."""
    said = "; ".join(filter(None, [note, str(result.search.get("note", ""))]))
    return replace(result, search={**result.search, "note": said})
