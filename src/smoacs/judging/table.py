"""One row of verdicts for each structure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pymatgen.core import Structure

from smoacs.chemistry import OxidationTable
from smoacs.errors import InputError
from smoacs.judging.cells import in_cell_of, why_not
from smoacs.judging.criteria import (
    MIN_DISTANCE,
    min_distance,
    reduced_formula,
)
from smoacs.judging.distinct import distinct_designs
from smoacs.judging.known import is_known_structure
from smoacs.judging.matching import Match, angles_kept, match_template
from smoacs.judging.oxidation import Oxidation
from smoacs.judging.prediction import evaluate_domain, evaluate_structures, usable_structures
from smoacs.judging.residuals import at_rest, evaluate_rest
from smoacs.judging.rules import RuleCheck
from smoacs.judging.settled import OTHER_BONDS, Origins
from smoacs.judging.space_groups import space_group
from smoacs.predictors import ENERGY, Predictor
from smoacs.relaxation import Settled
from smoacs.results import LATTICE
from smoacs.targets import Target, Targets
from smoacs.targets.front import front_ranks
from smoacs.templates import Template
from smoacs.torch_modes import own_modes

AT_ONCE = 256
"""Structures judged together; between two such parts those who watch are told."""


@own_modes()
def judge(  # noqa: PLR0913  (a part of the question each)
    structures: Sequence[Structure],
    targets: Sequence[Target],
    *,
    predictor: Predictor,
    template: Template | Sequence[Template] | None = None,
    known_formulas: Callable[[str], bool] | None = None,
    must_rest: bool = False,
    settled: Sequence[Settled] | None = None,
    parents: Sequence[Structure] | None = None,
    resting: Predictor | None = None,
    conservative: float = 0.0,
    table_of_states: OxidationTable | None = None,
    charges_as_stated: bool = True,
    rules: RuleCheck | Sequence[RuleCheck] | None = None,
    progress: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Judge real crystals, from any source, criterion by criterion.

    A crystal succeeds if it is one (finite, no two atoms closer than 0.5 Å), meets every target,
    is charge neutral and, with a template, has kept it (arXiv:2410.08562, the criteria A to E of
    "SC rate"). A structure that is no crystal gets a failed row, never an exception.

    Args:
        structures: Ordered structures; oxidation states that they carry are judged, too.
        targets: What is wanted of them.
        predictor: Gives the values of the targets' properties.
        template: The kind of crystal to be kept, or one for each structure. A crystal in another
            cell, such as the conventional one, is judged in the template's. Adds the columns
            `template_kept` and `template_reason`, why it is not.
        known_formulas: Whether a reduced formula is already known; adds the columns `novel` and
            `new_structure`, whether no known crystal has the same formula and structure.
        must_rest: Whether a crystal only succeeds at rest: no more than 3 GPa of pressure and
            0.1 eV/Å of force on the predictor's own energy, on atoms that the rules let move. Adds
            the column `at_rest`.
        settled: Where each structure ended that was let go from a higher symmetry. A success must
            then be at a minimum (column `minimum`): at rest, with no vibration below -0.1 THz.
            Template and rules are asked of its parent, and that it is bonded alike.
        parents: Of each of these, at rest in that symmetry.
        resting: On whose energy designs rest; the predictor if None.
        conservative: Every target must hold for the value plus and minus this many standard
            deviations, for properties that come with a spread.
        table_of_states: Oxidation numbers by element; None is the common table.
        charges_as_stated: Whether oxidation states that a structure carries count as they are, as
            those of a user's file do, or must be numbers of the table and a known mixture.
        rules: Hard constraints that a success obeys, or one check for each structure. Adds the
            columns `rules` and `rule_broken`, the first rule that a structure breaks, and how.
        progress: Told how many structures are done, now and then.

    Returns:
        A row for each structure, in their order, with the columns of `results.csv` that do not
        depend on a run. `design` numbers the successes that differ
        (`smoacs.judging.distinct`), and `unique` is True for the first of each. With two or
        more targets to maximise or minimise, `pareto` is the front that a success lies on: 0 if no
        other dominates it, -1 for what failed. Where the predictor knows what its training
        covered, `in_domain` and `domain_warning` say whether the structure is within, which counts
        for no verdict.

    Raises:
        InputError: A target's property is not among the predictor's, or `must_rest` is asked of
            one without a formation energy, or `conservative` of one without a spread, or
            that is no number of at least 0.
    """
    wanted = Targets.of(targets, conservative)
    _check_properties(wanted, predictor)
    if must_rest and ENERGY not in predictor.properties:
        raise InputError(f"rest needs a predictor of {ENERGY}; this one has none")
    judged = _Judge(
        targets=wanted,
        predictor=predictor,
        resting=resting or predictor,
        must_rest=must_rest,
        table_of_states=table_of_states,
        charges_as_stated=charges_as_stated,
    )
    parts = []
    for begin in range(0, max(len(structures), 1), AT_ONCE):
        part = slice(begin, begin + AT_ONCE)
        kinds = template if template is None or isinstance(template, Template) else template[part]
        checks = rules if rules is None or isinstance(rules, RuleCheck) else rules[part]
        origins = None
        if settled is not None and parents is not None:
            origins = Origins(parents[part], settled[part])
        parts.append(judged(structures[part], kinds, checks, origins))
        if progress is not None:
            progress(min(begin + AT_ONCE, len(structures)))
    tables, domains = zip(*parts, strict=True)
    table: pd.DataFrame = pd.concat(tables, ignore_index=True)
    formulas, successes = table["formula"].tolist(), table["success"].tolist()
    table["design"] = distinct_designs(structures, formulas, successes)
    table["unique"] = first_successes(table)
    if len(wanted.extremes) > 1:
        values = {name: table[name].to_numpy(copy=True) for name in predictor.properties}
        table["pareto"] = _fronts(wanted, values, table["success"].to_numpy())
    table = table.assign(**pd.concat(domains, ignore_index=True))
    if known_formulas is not None:
        table["novel"] = np.array([not known_formulas(f) for f in table["formula"]], dtype=bool)
        known = [bool(is_known_structure(structure)) for structure in structures]
        table["new_structure"] = ~np.array(known, dtype=bool)
    return table


@dataclass(frozen=True)
class _Judge:
    """What crystals are held against, one by one; see `judge`."""

    targets: Targets
    predictor: Predictor
    resting: Predictor
    must_rest: bool
    table_of_states: OxidationTable | None
    charges_as_stated: bool

    def __call__(
        self,
        structures: Sequence[Structure],
        template: Template | Sequence[Template] | None,
        rules: RuleCheck | Sequence[RuleCheck] | None,
        origins: Origins | None = None,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The columns that a structure has by itself, and those on the predictor's domain."""
        distances = np.array([min_distance(structure) for structure in structures], dtype=float)
        solid = distances >= MIN_DISTANCE
        kinds: Sequence[Template | None] = [None] * len(structures)
        if template is not None:
            kinds = [template] * len(structures) if isinstance(template, Template) else template
        placed = structures if origins is None else origins.parents
        sites = _on_sites(placed, kinds, rules, solid)
        values, usable = self._values(structures, sites, origins, solid)
        verdicts = {f"{name}_met": met for name, met in _met(self.targets, values).items()}
        oxidation = [Oxidation.of(s, self.table_of_states) for s in structures]
        neutral = [
            own.neutral(self.table_of_states, as_stated=self.charges_as_stated) for own in oxidation
        ]
        verdicts["neutral"] = np.array(neutral, dtype=bool)
        reasons: dict[str, pd.Series[Any]] = {}
        if template is not None:
            verdicts["template_kept"], reasons = _kept(sites, kinds, solid, origins)
        verdicts |= self._rest(structures, sites, values, usable=usable, origins=origins)
        if sites.broken is not None:
            broken = sites.broken
            if origins is not None:
                broken = origins.broken(broken, rules, structures)
            verdicts["rules"] = np.array([not text for text in broken], dtype=bool)
            reasons["rule_broken"] = pd.Series(broken, dtype=object)
        success = solid.copy()
        for met in verdicts.values():
            success &= met
        groups = [space_group(s) if ok else "" for s, ok in zip(structures, solid, strict=True)]
        table = pd.DataFrame(
            {
                "success": success,
                "formula": pd.Series([reduced_formula(s) for s in structures], dtype=object),
                "n_atoms": np.array([len(structure) for structure in structures], dtype=np.int64),
                **values,
                **verdicts,
                **reasons,
                **({} if origins is None else origins.columns()),
                "min_distance": distances,
                "space_group": pd.Series(groups, dtype=object),
                **_lattices(structures),
                **_oxidation(oxidation),
            }
        )
        domain = pd.DataFrame(_domain_columns(structures, self.predictor, usable))
        return table, domain

    def _values(
        self,
        structures: Sequence[Structure],
        sites: "_Sites",
        origins: Origins | None,
        solid: NDArray[np.bool_],
    ) -> tuple[dict[str, NDArray[np.float64]], list[int]]:
        """Values of all properties, each [B], and which structures can be evaluated."""
        if origins is None:
            usable = usable_structures(sites.cells, self.predictor, solid)
            found = evaluate_structures(
                sites.cells, self.predictor, matches=sites.matches, usable=usable
            )
            return found, usable
        usable = usable_structures(structures, self.predictor, solid)
        values = evaluate_structures(structures, self.predictor, usable=usable)
        values = origins.with_values_of_parents(
            values, self.predictor, cells=sites.cells, matches=sites.matches, usable=usable
        )
        return values, usable

    def _rest(
        self,
        structures: Sequence[Structure],
        sites: "_Sites",
        values: dict[str, NDArray[np.float64]],
        *,
        usable: list[int],
        origins: Origins | None,
    ) -> dict[str, NDArray[np.bool_]]:
        """Verdicts on rest; pressure and force join the values."""
        if ENERGY not in self.predictor.properties:
            return {}
        cells, fixed = (sites.cells, sites.fixed) if origins is None else (structures, None)
        residuals = evaluate_rest(cells, self.resting, fixed, usable=usable)
        values |= residuals
        verdicts = {"at_rest": at_rest(residuals)} if self.must_rest else {}
        return verdicts if origins is None else verdicts | {"minimum": origins.at_minimum()}


@dataclass(frozen=True)
class _Sites:
    """How crystals sit on their templates.

    Attributes:
        cells: The crystals in the cells of their templates.
        matches: Their atoms on the sites; None where they are not.
        broken: The first rule that each breaks, empty if none; None if there are no rules.
        fixed: Atoms of each that the rules hold; likewise.
    """

    cells: Sequence[Structure]
    matches: Sequence[Match | None]
    broken: list[str] | None
    fixed: list[NDArray[np.bool_]] | None


def _on_sites(
    structures: Sequence[Structure],
    kinds: Sequence[Template | None],
    rules: RuleCheck | Sequence[RuleCheck] | None,
    solid: NDArray[np.bool_],
) -> _Sites:
    """Find the atoms of crystals on the sites of their templates."""
    cells = [
        in_cell_of(structure, kind) if kind is not None and ok else structure
        for structure, kind, ok in zip(structures, kinds, solid, strict=True)
    ]
    matches: list[Match | None] = [
        match_template(cell, kind) if kind is not None and ok else None
        for cell, kind, ok in zip(cells, kinds, solid, strict=True)
    ]
    return _Sites(cells, matches, *_ruled(cells, rules, matches, solid))


def _kept(
    sites: _Sites,
    kinds: Sequence[Template | None],
    solid: NDArray[np.bool_],
    origins: Origins | None,
) -> "tuple[NDArray[np.bool_], dict[str, pd.Series[Any]]]":
    """Whether each crystal keeps its template, and the column of reasons why not."""
    kept = np.array(
        [
            match is not None and kind is not None and angles_kept(cell, kind)
            for cell, match, kind in zip(sites.cells, sites.matches, kinds, strict=True)
        ],
        dtype=bool,
    )
    reasons = _reasons(sites.cells, kinds, solid, kept)
    if origins is not None:
        bonded = origins.bonded()
        reasons = reasons.where(pd.Series(bonded) | ~pd.Series(kept), OTHER_BONDS)
        kept &= bonded
    return kept, {"template_reason": reasons}


def _reasons(
    cells: Sequence[Structure],
    kinds: Sequence[Template | None],
    solid: NDArray[np.bool_],
    kept: NDArray[np.bool_],
) -> "pd.Series[Any]":
    """Why each structure does not keep its template; empty for those that do."""
    reasons = [
        "" if is_kept or kind is None else why_not(cell, kind) if ok else "it is no crystal"
        for cell, kind, ok, is_kept in zip(cells, kinds, solid, kept, strict=True)
    ]
    return pd.Series(reasons, dtype=object)


def _oxidation(found: Sequence[Oxidation]) -> "dict[str, pd.Series[Any]]":
    """Oxidation states in words, and how usual they are."""
    return {
        "oxidation_states": pd.Series([own.text() for own in found], dtype=object),
        "oxidation_likelihood": pd.Series([own.likelihood() for own in found], dtype=float),
    }


def _ruled(
    structures: Sequence[Structure],
    rules: RuleCheck | Sequence[RuleCheck] | None,
    matches: Sequence[Match | None],
    solid: NDArray[np.bool_],
) -> tuple[list[str] | None, list[NDArray[np.bool_]] | None]:
    """What each structure breaks, empty if nothing, and its atoms that must not move.

    Both are None if there are no rules. Atoms are taken to be in the order of the template's sites
    or, if that breaks a rule, as they match them.
    """
    if rules is None:
        return None, None
    checks = [rules] * len(structures) if isinstance(rules, RuleCheck) else rules
    texts, fixed = [], []
    for structure, check, match, ok in zip(structures, checks, matches, solid, strict=True):
        text, order = check.broken(structure, solid=bool(ok)), None
        if text and match is not None:
            matched = match.order.tolist()
            if not check.broken(structure, matched, solid=bool(ok)):
                text, order = "", matched
        texts.append(text)
        fixed.append(check.fixed(len(structure), order))
    return texts, fixed


def first_successes(table: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the first success of each design, from the top of the table."""
    success = table["success"]
    return success & ~table["design"].where(success).duplicated()


def _fronts(
    targets: Targets,
    values: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]],
    success: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rank of each success, 0 for those that no other dominates; -1 for what failed."""
    tensors = {name: torch.as_tensor(array) for name, array in values.items()}
    extremes = Targets(targets.extremes, targets.conservative)
    losses = extremes.losses(tensors, lambda target, values: target.loss(values))
    costs = torch.stack(losses, dim=1).numpy()
    ranks = np.full(len(success), -1, dtype=np.int64)
    ranks[success] = front_ranks(costs[success])
    return ranks


def _domain_columns(
    structures: Sequence[Structure], predictor: Predictor, usable: Sequence[int]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]] | list[str]]:
    """Whether the training data speak for each structure; empty if the predictor cannot tell."""
    domain = evaluate_domain(structures, predictor, usable=usable)
    return {} if domain is None else {"in_domain": domain[0], "domain_warning": domain[1]}


def _check_properties(targets: Targets, predictor: Predictor) -> None:
    for target in targets:
        if target.property not in predictor.properties:
            raise InputError(
                f'target "{target}": the predictor has no property {target.property!r}; '
                f"it has {', '.join(predictor.properties)}"
            )
    if not 0 <= targets.conservative < math.inf:
        raise InputError(
            f"conservative = {targets.conservative:g} is not right: it must be a number of at "
            "least 0 (standard deviations)"
        )
    targets.check(predictor.properties)


def _met(
    targets: Targets, values: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """For each property with a target, which structures meet all targets on it."""
    tensors = {name: torch.as_tensor(array) for name, array in values.items()}
    met: dict[str, np.ndarray[tuple[int], np.dtype[np.bool_]]] = {}
    for target in targets.cautious(tensors):
        verdict = target.met(tensors[target.property]).numpy()
        met[target.property] = verdict & met.get(target.property, True)
    return met


def _lattices(
    structures: Sequence[Structure],
) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Lattice lengths (Å) and angles (degrees); NaN where the lattice is not finite or flat."""
    rows = np.full((len(structures), 6), np.nan)
    with np.errstate(all="ignore"):
        for row, structure in zip(rows, structures, strict=True):
            row[:] = structure.lattice.parameters
    return {name: rows[:, i] for i, name in enumerate(LATTICE)}
