"""Bayesian optimisation by Optuna's tree-structured Parzen estimator (TPE).

As in arXiv:2410.08562: lattice lengths, coordinates in their boxes and one element per site, each
candidate a study of its own. All studies advance together, so that the predictor sees batches.

J. Bergstra et al., Advances in Neural Information Processing Systems 24 (2011); T. Akiba et al.,
KDD 2019, 10.1145/3292500.3330701.
"""

from collections.abc import Sequence

import numpy as np
import optuna
from numpy.typing import NDArray

from benchmarks.rivals.space import DROPPED, NO_COMBINATION, Proposals, Space

TRIES = 10
"""Trials of a study in one round that may be dropped because their radii do not fit."""


class Tpe:
    """Independent TPE studies, one per candidate.

    With filters, a combination of oxidation numbers comes first and each site chooses among the
    elements that it allows, so every crystal is neutral; and what cannot meet a target by its radii
    is not evaluated. Without, each site chooses among all elements, and the loss has to teach the
    rest.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        studies: int,
        filters: bool = True,
        relaxes: bool = False,
    ) -> None:
        """Take where to search.

        Args:
            space: Templates and targets; study s takes template s modulo their number.
            seed: Of study 0; the others count up from it.
            studies: How many run side by side.
            filters: Whether neutrality and radii are seen to before a call.
            relaxes: Whether crystals are relaxed before they are judged; then only charges and
                elements are left to choose.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.filters = filters
        self.relaxes = relaxes
        self._studies = [
            optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed * studies + s))
            for s in range(studies)
        ]
        self._asked: list[tuple[optuna.Study, optuna.Trial]] = []

    def propose(self, most: int) -> Proposals:
        """Ask each study for one crystal."""
        self._asked = []
        found = []
        for number, study in enumerate(self._studies[:most]):
            trial, proposal = self._ask(study, number % len(self.space.templates))
            self._asked.append((study, trial))
            found.append(proposal)
        return Proposals.join(found)

    def observe(self, proposals: Proposals, losses: NDArray[np.float64]) -> None:
        """Tell each study its loss."""
        del proposals
        for (study, trial), loss in zip(self._asked, losses, strict=True):
            study.tell(trial, float(loss))

    def _ask(self, study: optuna.Study, template: int) -> tuple[optuna.Trial, Proposals]:
        tries = TRIES if self.filters else 0
        for left in range(tries, -1, -1):
            trial = study.ask()
            proposal = self._suggested(trial, template)
            misfit = float(self.space.misfit(proposal)[0])
            if left == 0 or misfit == 0:
                break
            study.tell(trial, DROPPED + misfit)
        return trial, proposal

    def _suggested(self, trial: optuna.Trial, template: int) -> Proposals:
        combination = NO_COMBINATION
        if self.filters:
            names = range(self.space.templates[template].n_combinations)
            combination = int(trial.suggest_categorical("combination", list(names)))
        options = self.space.options(template, combination)
        elements = np.array(
            [_choice(trial, f"element {combination} {k}", own) for k, own in enumerate(options)]
        )
        low, high = self.space.ranges(template)
        if self.relaxes:
            return self.space.proposal(template, combination, elements, 0.5 * (low + high))
        variables = np.array(
            [
                trial.suggest_float(f"x{k}", a, b) if b > a else a
                for k, (a, b) in enumerate(zip(low.tolist(), high.tolist(), strict=True))
            ]
        )
        return self.space.proposal(template, combination, elements, variables)


def _choice(trial: optuna.Trial, name: str, options: NDArray[np.int64]) -> int:
    choices: Sequence[int] = options.tolist()
    return choices[0] if len(choices) == 1 else int(trial.suggest_categorical(name, choices))
