"""Checks of a finished run: what they find joins its table, its summary and its report.

What takes long is kept finding by finding in the folder `checks` of the run, and the files of the
run are replaced one by one when a check is complete. So a killed check goes on where it was, and a
run is never half-written.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Structure

from smoacs.checking import (
    MAX_ANGLE_CHANGE,
    MAX_LENGTH_CHANGE,
    MAX_VOLUME_CHANGE,
    WIDER,
    CheckPotential,
    CheckSettings,
    Reference,
    RelaxedDesign,
    chemistry_table,
    confirmable,
    dft_table,
    load_potential,
    novelty_table,
    phonon_table,
    rattled,
    rattled_table,
    read_reference,
    relax_designs,
    survival_table,
)
from smoacs.dft import LabelProgress, engine_command, label
from smoacs.errors import InputError
from smoacs.predictors import Predictor, load_predictor
from smoacs.runs.checked import CheckedTable
from smoacs.runs.marker import CHECKS_FOLDER
from smoacs.runs.saved import SavedRun, read_run
from smoacs.templates import Template, is_seed_source
from smoacs.torch_modes import own_modes

CheckProgress = Callable[[str, int, int], None]
"""Told the name of the check, the designs that are done and those in all."""


@dataclass(frozen=True)
class CheckedRun:
    """A run after its checks.

    Attributes:
        run: Read back, with all columns.
        checks: What the summary says of the checks, by the name of the check.
        ids: The designs that were checked this time.
    """

    run: SavedRun
    checks: Mapping[str, Any]
    ids: tuple[str, ...]


@dataclass
class _Tools:
    """All that the checks need, loaded before the first begins, so that mistakes show at once."""

    predictor: Predictor
    potential: CheckPotential | None
    reference: Reference | None
    engine: tuple[str, ...] | None


@own_modes()
def run_checks(
    directory: str | Path,
    settings: CheckSettings,
    *,
    predictor: Predictor | None = None,
    force: bool = False,
    progress: CheckProgress | None = None,
) -> CheckedRun:
    """Check a run as settings say; see `smoacs.check`.

    Raises:
        InputError: The folder is no run, or a setting is wrong.
        MissingExtraError: A check needs a package that is not installed.
        ResourceError: The disk is full, or a server does not answer.
    """
    run = read_run(directory)
    chosen = choose(run, settings)
    tools = _prepare(run, settings, chosen, predictor)
    table = CheckedTable(run)
    folder = run.path / CHECKS_FOLDER
    folder.mkdir(exist_ok=True)
    if force:
        _forget(folder, settings)
    _Checks(run, settings, tools, folder, table, progress or _ignore).run(chosen)
    return CheckedRun(read_run(directory), table.checks, tuple(chosen["id"]))


def choose(run: SavedRun, settings: CheckSettings) -> pd.DataFrame:
    """The rows to check: all successes, or some of those that are distinct."""
    if settings.limit is not None:
        return run.select(limit=settings.limit)
    if settings.sample is not None:
        distinct = run.select()
        drawn = np.random.default_rng(settings.seed).permutation(len(distinct))
        return distinct.iloc[np.sort(drawn[: settings.sample])]
    return run.table[run.table["success"]]


def _prepare(
    run: SavedRun, settings: CheckSettings, chosen: pd.DataFrame, predictor: Predictor | None
) -> _Tools:
    engine = None if settings.dft is None else engine_command(settings.dft)
    reference = None
    if settings.reference is not None:
        reference = read_reference(settings.reference, chosen["formula"].tolist())
    config = run.config
    return _Tools(
        predictor=predictor or load_predictor(config.predictor, device=config.device),
        potential=load_potential(settings.potential) if settings.relaxes else None,
        reference=reference,
        engine=engine,
    )


def _templates(
    run: SavedRun, ids: Sequence[str], predictor: Predictor
) -> list[Template | None] | None:
    """The template that each design has to keep.

    None where seeds were structures in memory, and of designs that were let go from theirs.
    """
    config = run.config
    if "parent_space_group" in run.table:
        return None
    if "template" not in run.table:
        return [config.resolved_template(predictor.elements)] * len(ids)
    if not is_seed_source(config.template):
        return None
    found = {t.name: t for t in config.resolved_seeds(predictor.elements).templates}
    names = run.table.set_index("id")["template"].astype(str)
    return [found.get(names[name]) for name in ids]


def _forget(folder: Path, settings: CheckSettings) -> None:
    """Remove what an earlier check of the kinds asked for has found."""
    names = []
    if settings.relaxes:
        names.append("relaxation.jsonl")
    if settings.rattles:
        names.append("rattled.jsonl")
    if settings.looks_at_phonons:
        names.append("phonons.jsonl")
    if settings.dft is not None:
        names.append(_labels_name(settings.dft))
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _labels_name(engine: str) -> str:
    """File of an engine's labels; those of two engines never mix."""
    return f"dft_{''.join(c if c.isalnum() else '_' for c in engine)}.jsonl"


def _ignore(_stage: str, _done: int, _total: int) -> None:
    pass


@dataclass
class _Checks:
    """The checks of one call, in order: quick ones on all designs, slow ones on distinct ones."""

    run_read: SavedRun
    settings: CheckSettings
    tools: _Tools
    folder: Path
    table: CheckedTable
    progress: CheckProgress

    def run(self, chosen: pd.DataFrame) -> None:
        """Do all; files are written after each."""
        ids = chosen["id"].tolist()
        structures = self.run_read.crystals(ids)
        designs = [structures[name] for name in ids]
        relaxed = self._relax(ids, designs)
        self._chemistry(ids, designs)
        if self.tools.reference is not None:
            self._novelty(ids, designs, self.tools.reference)
        self.table.save()
        distinct = chosen["unique"].to_numpy(dtype=bool)
        self._slow(
            [name for name, first in zip(ids, distinct, strict=True) if first],
            [design for design, first in zip(designs, distinct, strict=True) if first],
            [end for end, first in zip(relaxed, distinct, strict=True) if first],
        )
        self.table.save()

    def _slow(
        self,
        ids: Sequence[str],
        designs: Sequence[Structure],
        relaxed: Sequence[RelaxedDesign | None],
    ) -> None:
        ends = [None if item is None else item.structure for item in relaxed]
        if self.settings.looks_at_phonons:
            self._phonons(ids, ends)
            self.table.save()
        if self.settings.rattles:
            self._rattled(ids, designs, relaxed)
            self.table.save()
        if self.tools.engine is not None:
            if self.settings.dft_relaxed:
                there = [
                    (name, end) for name, end in zip(ids, ends, strict=True) if end is not None
                ]
                ids, designs = [name for name, _ in there], [end for _, end in there]
            self._dft(ids, designs, self.tools.engine)

    def _relax(
        self, ids: Sequence[str], designs: Sequence[Structure]
    ) -> Sequence[RelaxedDesign | None]:
        potential = self.tools.potential
        if potential is None:
            return [None] * len(designs)
        started = time.perf_counter()
        relaxed = relax_designs(
            designs,
            potential,
            self.settings.relaxation,
            cache=self.folder / "relaxation.jsonl",
            progress=lambda done, total: self.progress("relaxation", done, total),
        )
        columns = survival_table(
            designs,
            relaxed,
            targets=self.run_read.targets,
            predictor=self.tools.predictor,
            templates=_templates(self.run_read, ids, self.tools.predictor),
            by_bonds="parent_space_group" in self.run_read.table,
        )
        named = {
            "potential": potential.name,
            **dataclasses.asdict(self.settings.relaxation),
            "max_length_change": MAX_LENGTH_CHANGE,
            "window_factor": WIDER,
        }
        self.table.join("relaxation", ids, columns, named, seconds=time.perf_counter() - started)
        self._keep("relaxation", ids, relaxed)
        return relaxed

    def _rattled(
        self,
        ids: Sequence[str],
        designs: Sequence[Structure],
        relaxed: Sequence[RelaxedDesign | None],
    ) -> None:
        potential = self.tools.potential
        if potential is None:
            raise InputError("a rattled crystal needs a potential that relaxes it")
        started = time.perf_counter()
        settings = self.settings.rattle
        ends = relax_designs(
            [rattled(design, settings) for design in designs],
            potential,
            settings.relaxation,
            cache=self.folder / "rattled.jsonl",
            progress=lambda done, total: self.progress("rattled", done, total),
        )
        columns = rattled_table(
            designs,
            [math.nan if item is None else item.energy for item in relaxed],
            ends,
            targets=self.run_read.targets,
            predictor=self.tools.predictor,
            settings=settings,
            templates=_templates(self.run_read, ids, self.tools.predictor),
        )
        named = {
            "potential": potential.name,
            **dataclasses.asdict(settings),
            "max_length_change": MAX_LENGTH_CHANGE,
            "max_volume_change": MAX_VOLUME_CHANGE,
            "max_angle_change": MAX_ANGLE_CHANGE,
            "window_factor": WIDER,
        }
        self.table.join("rattled", ids, columns, named, seconds=time.perf_counter() - started)
        self._keep("rattled", ids, ends)

    def _keep(self, check: str, ids: Sequence[str], ends: Sequence[RelaxedDesign]) -> None:
        found = zip(ids, ends, strict=True)
        crystals = {name: end.structure for name, end in found if end.structure is not None}
        self.table.keep_crystals(check, crystals)

    def _chemistry(self, ids: Sequence[str], designs: Sequence[Structure]) -> None:
        started = time.perf_counter()
        parts = []
        for number, design in enumerate(designs, start=1):
            parts.append(chemistry_table([design]))
            self.progress("chemistry", number, len(designs))
        columns = pd.concat(parts, ignore_index=True) if parts else chemistry_table([])
        self.table.join("chemistry", ids, columns, {}, seconds=time.perf_counter() - started)

    def _novelty(
        self, ids: Sequence[str], designs: Sequence[Structure], reference: Reference
    ) -> None:
        columns = novelty_table(designs, reference)
        self.table.join("novelty", ids, columns, {"reference": reference.source})

    def _phonons(self, ids: Sequence[str], ends: Sequence[Structure | None]) -> None:
        potential = self.tools.potential
        if potential is None:
            raise InputError("phonons need a potential that relaxes; give another than 'none'")
        started = time.perf_counter()
        columns = phonon_table(
            ends,
            potential,
            cache=self.folder / "phonons.jsonl",
            settings=self.settings.phonon,
            progress=lambda done, total: self.progress("phonons", done, total),
        )
        named = {"potential": potential.name, **dataclasses.asdict(self.settings.phonon)}
        self.table.join("phonons", ids, columns, named, seconds=time.perf_counter() - started)

    def _dft(
        self, ids: Sequence[str], designs: Sequence[Structure], engine: tuple[str, ...]
    ) -> None:
        settings = self.settings

        def tell(state: LabelProgress) -> None:
            self.progress("DFT", state.done, state.total)

        started = time.perf_counter()
        labels = label(
            designs,
            settings.dft_settings,
            cache=self.folder / _labels_name(str(settings.dft)),
            workers=settings.workers,
            engine=engine,
            progress=tell,
        )
        targets = self.run_read.targets
        columns = dft_table(labels, targets, tolerance=settings.dft_tolerance)
        named: dict[str, object] = {
            "engine": settings.dft,
            "geometry": "relaxed" if settings.dft_relaxed else "designed",
            "settings": dataclasses.asdict(settings.dft_settings),
            "tolerance": settings.dft_tolerance,
            "confirms": [str(target) for target in confirmable(targets)],
        }
        self.table.join("dft", ids, columns, named, seconds=time.perf_counter() - started)
