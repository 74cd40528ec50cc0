"""One run from settings to judged crystals, and on to a run directory."""

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from smoacs.errors import InputError, ResourceError, is_out_of_memory
from smoacs.files import is_disk_full
from smoacs.interrupt import soft_interrupt
from smoacs.judging import AT_ONCE, RuleCheck, Rules, domain_note, judge, known_formulas
from smoacs.predictors import (
    Predictor,
    load_predictor,
    load_settling_predictor,
    property_scales,
)
from smoacs.request import DesignConfig
from smoacs.runs.checkpoint import Checkpoints, Unfinished, begin_run, reopen_run
from smoacs.runs.database import add_to_database, check_database
from smoacs.runs.directory import resume_command
from smoacs.runs.distinct import without_repeats
from smoacs.runs.save import save_run
from smoacs.runs.short_forms import html, line
from smoacs.runs.skipped import skipped_notes
from smoacs.search import DesignResult, ProgressCallback, ProgressEvent, run_search
from smoacs.search.state import Keeper
from smoacs.targets import Target, with_functions
from smoacs.templates import build_template
from smoacs.torch_modes import own_modes

log = logging.getLogger(__name__)

_IN_MEMORY = "structures in memory"
"""The setting `template` of a design whose seeds are no file."""


@dataclasses.dataclass(frozen=True, repr=False)
class DesignRun:
    """Designed crystals and the judge's verdicts on them.

    Attributes:
        result: What the optimiser found, candidate by candidate.
        table: A row of verdicts for each candidate, in the same order; the columns of results.csv.
        units: Of the predictor's properties.
        scales: What their values are, such as the functional of a band gap, where it tells.
    """

    result: DesignResult
    table: pd.DataFrame
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    scales: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """One line instead of all crystals."""
        return line("DesignRun", self.table)

    def _repr_html_(self) -> str:
        """What a notebook shows: successes first."""
        ordered = self.table.sort_values("success", ascending=False, kind="stable")
        names = [target.property for target in self.result.config.wanted]
        return html(repr(self), ordered, names)

    @property
    def structures(self) -> list[Structure]:
        """All candidates, with oxidation states, in the order of the table."""
        return self.result.structures

    @property
    def successes(self) -> list[Structure]:
        """One crystal for each distinct reduced formula that meets everything asked for."""
        return [s for s, keep in zip(self.structures, self.table["unique"], strict=True) if keep]

    def save(self, out: str | Path, *, force: bool = False) -> Path:
        """Write a run directory; see `save_run`."""
        return save_run(
            self.result, self.table, out, force=force, units=self.units, scales=self.scales
        )


def design(  # noqa: PLR0913  (one argument per setting, as on the command line)
    template: str | Structure | Sequence[Structure] = "perovskite",
    *,
    targets: Sequence[str | Target],
    repeat: int = 1,
    n: int = 256,
    steps: int = 200,
    seed: int = 0,
    preset: str = "default",
    search: str = "auto",
    pareto: bool | None = None,
    rest: str | None = None,
    conservative: float = 0.0,
    predictor: str | Predictor | None = None,
    elements: str | Sequence[str] | None = None,
    forbidden: str | Sequence[str] = (),
    sites: Mapping[str, str | Sequence[str]] | None = None,
    required: str | Sequence[str] = (),
    counts: Mapping[str, int] | None = None,
    same: str | Sequence[str] = (),
    mixed: bool | None = None,
    max_elements: Mapping[str, int] | None = None,
    ratios: Mapping[str, Mapping[str, float]] | None = None,
    oxidation_table: str | None = None,
    oxidation_states: Mapping[str, int | Sequence[int]] | None = None,
    site_charges: Mapping[str, int | Sequence[int]] | None = None,
    lattice: Mapping[str, float | tuple[float, float]] | None = None,
    symmetry: str = "free",
    frozen: str | Sequence[str] = (),
    max_displacement: Mapping[str, float] | None = None,
    min_distance: float | None = None,
    distance_radii: str = "covalent",
    device: str = "auto",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> DesignRun:
    """Design crystals that meet several targets at once, and judge them.

    Args:
        template: A name such as "perovskite" or "rutile", a structure file, or seeds: a folder of
            structure files, an extxyz file, a Parquet or CSV table, or structures in memory.
        targets: Such as "band_gap = 2.5 ± 0.2", "formation_energy < -0.5" or
            "0.8 <= tolerance_factor <= 1.0"; a `FunctionTarget` is about what your own function
            gives.
        repeat: Cells of the template along each axis.
        n: Candidates.
        steps: Optimisation steps.
        seed: Of all random numbers; the same seed gives the same crystals on the same device.
        preset: "default", or "paper" for the published settings.
        search: "gradient", "exhaustive" for every composition, or "auto": exhaustive for designs
            at rest where that fits into `n` times `steps` predictor calls.
        pareto: Whether candidates spread along the front of targets to maximise or minimise; None
            if there are two or more.
        rest: "minimum": designs are let go, end where all atoms and the lattice are at a minimum
            of the predicted energy, and are judged there; "symmetry": at rest within the template's
            symmetry; "none": lattice and coordinates go where the targets are met. None takes the
            first of these that predictor and constraints allow.
        conservative: Standard deviations of the prediction by which every target must hold on
            the worse side; 0 takes the predictions as they are.
        predictor: A name, a weights file, or an object in memory; the built-in one if None.
        elements: The only elements to use, such as "K Mg F"; "!Pb" and presets such as
            "no-toxic" take away.
        forbidden: Elements or presets never to use.
        sites: The only elements to use at a kind of site, such as {"A": "K Rb", "X[0]": "O"}.
        required: Elements that must occur, anywhere ("Li") or at a kind of site ("B=Fe").
        counts: Number of atoms of elements in the cell, such as {"Li": 2}.
        same: Groups of sites that hold the same element, such as "X" or "X[0] X[1]".
        mixed: Whether sites that symmetry makes equal may hold different elements; None if what is
            asked for needs it, and in perovskites.
        max_elements: Most different elements at a kind of site, or in "all" of the cell; an ordered
            compound has at most four where nothing is said.
        ratios: Ratios of elements at a kind of site, such as {"A": {"K": 0.75, "Na": 0.25}}.
        oxidation_table: Which numbers elements may have: "icsd", "common" or "smact"; None is
            "icsd", and "common" in the paper's preset.
        oxidation_states: Oxidation numbers of some elements, instead of the table's.
        site_charges: Oxidation numbers that a kind of site may take, such as {"B": [2, 3]}.
        lattice: Values or ranges of a, b, c (Å) and alpha, beta, gamma (degrees) of the whole cell.
        symmetry: What stays of the template's symmetry: "free", "lattice" or "space-group".
        frozen: Kinds of sites whose fractional coordinates do not move.
        max_displacement: How far the fractional coordinates of a kind of site may go.
        min_distance: Shortest distance of two atoms, as a share of the sum of their radii.
        distance_radii: Which radii, "covalent" or "ionic".
        device: "auto" or a torch device.
        batch_size: Candidates evaluated together at most.
        progress: Called after every step.

    Raises:
        InputError: Something asked for is wrong or impossible.
    """
    named = predictor if isinstance(predictor, str) else None
    config = DesignConfig.from_mapping(
        {
            "template": template if isinstance(template, str) else _IN_MEMORY,
            "targets": tuple(targets),
            "repeat": repeat,
            "n": n,
            "steps": steps,
            "seed": seed,
            "preset": preset,
            "search": search,
            "pareto": pareto,
            "rest": rest,
            "conservative": conservative,
            "predictor": named,
            "elements": elements,
            "forbidden": forbidden,
            "sites": sites or {},
            "required": required,
            "counts": counts or {},
            "same": same,
            "mixed": mixed,
            "max_elements": max_elements or {},
            "ratios": ratios or {},
            **({} if oxidation_table is None else {"oxidation_table": oxidation_table}),
            "oxidation_states": oxidation_states or {},
            "site_charges": site_charges or {},
            "lattice": lattice or {},
            "symmetry": symmetry,
            "frozen": frozen,
            "max_displacement": max_displacement or {},
            "min_distance": min_distance,
            "distance_radii": distance_radii,
            "device": device,
            "batch_size": batch_size,
        }
    )
    seeds = [template] if isinstance(template, Structure) else template
    return run_design(
        config,
        predictor=None if isinstance(predictor, str) else predictor,
        progress=progress,
        seeds=None if isinstance(seeds, str) else seeds,
    )


@own_modes()
def run_design(
    config: DesignConfig,
    *,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
    keeper: Keeper | None = None,
    seeds: Sequence[Structure] | None = None,
) -> DesignRun:
    """Design and judge.

    Args:
        config: What to design.
        predictor: A predictor in memory, instead of the one that `config` names.
        progress: Called after every step.
        keeper: Keeps the state of the search; see `run_search`.
        seeds: Crystals in memory to start from, instead of what `config.template` names.

    Raises:
        InputError: A setting or file is wrong.
    """
    started = time.perf_counter()
    if predictor is None:
        predictor = load_predictor(config.predictor, device=config.device)
    predictor = with_functions(predictor, config.targets)
    loading = time.perf_counter() - started
    result = run_search(config, predictor=predictor, progress=progress, keeper=keeper, seeds=seeds)
    for sentence in skipped_notes(result.skipped_seeds):
        log.warning("%s", sentence)
    before = time.perf_counter()
    table = judge(
        result.structures,
        config.targets,
        predictor=predictor,
        template=result.templates or result.template,
        known_formulas=known_formulas(predictor),
        must_rest=result.config.rests,
        settled=result.settled or None,
        parents=result.parents or None,
        resting=load_settling_predictor(predictor) if result.settled else None,
        conservative=config.conservative,
        table_of_states=config.table_of_states(),
        charges_as_stated=False,
        rules=_rule_checks(config, result),
        progress=_judging(progress, result),
    )
    result, table = without_repeats(result, table)
    if result.templates:
        table.insert(0, "template", [template.name for template in result.templates])
    successes = table[table["success"]]
    note = domain_note(list(successes.get("domain_warning", [])))
    if note is not None:
        log.warning("%s", note)
    judging = time.perf_counter() - before
    total = loading + result.timings["total"] + judging
    timings = result.timings | {"judge": judging, "total": total}
    return DesignRun(
        dataclasses.replace(result, timings=timings),
        table,
        units=dict(predictor.properties),
        scales=property_scales(predictor),
    )


def _judging(
    progress: ProgressCallback | None, result: DesignResult
) -> Callable[[int], None] | None:
    """Who is told how far the judge has come; nobody where that is a matter of a second."""
    n, rate = len(result.structures), sum(result.met) / max(len(result.met), 1)
    if progress is None or n <= AT_ONCE:
        return None
    return lambda done: progress(ProgressEvent("judging", done, n, rate))


def _rule_checks(config: DesignConfig, result: DesignResult) -> RuleCheck | list[RuleCheck]:
    """The judge's check of what was asked for, on templates that no rule has changed."""
    rules = Rules.from_settings(config.model_dump())
    if not result.templates:
        table = config.table_of_states()
        return RuleCheck(rules, build_template(config.template, repeat=config.repeat, table=table))
    checks = {id(template): RuleCheck(rules, template) for template in result.originals}
    return [checks[id(template)] for template in result.originals]


def execute(
    config: DesignConfig,
    out: str | Path,
    *,
    force: bool = False,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Design, judge and save; everything that can be wrong is found before the work begins.

    Checkpoints are kept in a hidden folder beside `out`, so `resume` goes on after a kill. Ctrl-C
    stops after the step and writes what there is, marked as interrupted; `resume` goes on from
    there, too.

    Args:
        config: What to design.
        out: The run directory; it appears complete or not at all.
        force: Whether an existing run is replaced.
        predictor: A predictor in memory, instead of the one that `config` names.
        progress: Called after every step.

    Returns:
        The absolute path of the run directory.

    Raises:
        InputError: A setting, file or folder is wrong.
        ResourceError: Out of memory or disk.
    """
    if config.database is not None:
        check_database(config.database)
    with begin_run(config, out, force=force) as unfinished:
        try:
            with _resumable(out):
                return _finish(unfinished, config, predictor=predictor, progress=progress)
        except Exception as error:
            if not unfinished.state_file.exists() and not isinstance(error, ResourceError):
                unfinished.remove()  # nothing is lost
            raise


def resume(
    out: str | Path,
    *,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
) -> Path:
    """Go on with a run that was killed or interrupted, to the results it would have had.

    A run that is complete stays as it is.

    Args:
        out: The run directory that was asked for, whether it exists by now or not.
        predictor: The predictor in memory that the run was begun with, if it was.
        progress: Called after every step.

    Returns:
        The absolute path of the run directory.

    Raises:
        InputError: There is no such run, or it was begun with another version of smoacs or of its
            files.
        ResourceError: Out of memory or disk.
    """
    with reopen_run(out) as unfinished, _resumable(out):
        if unfinished is not None and not unfinished.result_is_final:
            config = unfinished.config()
            return _finish(unfinished, config, predictor=predictor, progress=progress)
        if unfinished is not None:
            unfinished.deliver()
        out = Path(out).resolve()
        _add_to_database(out, DesignConfig.from_toml(out / "config.toml"))
        return out


def _finish(
    unfinished: Unfinished,
    config: DesignConfig,
    *,
    predictor: Predictor | None,
    progress: ProgressCallback | None,
) -> Path:
    """Take an unfinished run to its end, or to Ctrl-C."""
    with soft_interrupt() as interrupt:
        keeper = Checkpoints(unfinished.state_file, interrupt)
        run = run_design(config, predictor=predictor, progress=progress, keeper=keeper)
        if progress is not None and len(run.table) > AT_ONCE:
            done = len(run.table)
            progress(ProgressEvent("writing", done, done, float(run.table["success"].mean())))
        run.save(unfinished.result)
        unfinished.deliver()
    if not run.result.interrupted:
        _add_to_database(unfinished.out, config)
    return unfinished.out


def _add_to_database(out: str | Path, config: DesignConfig) -> None:
    """Add a finished run to the database that the settings name, if they name one."""
    if config.database is None:
        return
    try:
        add_to_database(out, config.database)
    except InputError as error:  # the run is there, and resuming it tries again
        raise ResourceError(f"{out} is finished, but not in the database: {error}") from error


@contextmanager
def _resumable(out: str | Path) -> Iterator[None]:
    """Say how to go on when Ctrl-C, memory or disk end the work."""
    advice = f"go on with: {resume_command(out)}"
    try:
        yield
    except KeyboardInterrupt:
        log.warning("stopped at once; %s", advice)
        raise
    except ResourceError as error:
        raise ResourceError(f"{error}; {advice}") from error
    except Exception as error:
        if is_out_of_memory(error):
            text = f"out of memory; {advice}, or begin with fewer candidates at a time (batch_size)"
            raise ResourceError(text) from error
        if is_disk_full(error):
            raise ResourceError(f"{out}: the disk is full; {advice}") from error
        raise
