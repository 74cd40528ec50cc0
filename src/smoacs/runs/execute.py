"""One run from settings to judged crystals, and on to a run directory."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from pymatgen.core import Structure

from smoacs.judging import judge, known_formulas
from smoacs.predictors import Predictor, load_predictor
from smoacs.runs.directory import check_run_directory
from smoacs.runs.save import save_run
from smoacs.search import DesignConfig, DesignResult, ProgressCallback, run_search
from smoacs.targets import Target


@dataclasses.dataclass(frozen=True)
class DesignRun:
    """Designed crystals and the judge's verdicts on them.

    Attributes:
        result: What the optimiser found, candidate by candidate.
        table: A row of verdicts for each candidate, in the same order; the columns of results.csv.
    """

    result: DesignResult
    table: pd.DataFrame

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
        return save_run(self.result, self.table, out, force=force)


def design(  # noqa: PLR0913  (one argument per setting, as on the command line)
    template: str = "perovskite",
    *,
    targets: Sequence[str | Target],
    repeat: int = 1,
    n: int = 256,
    steps: int = 200,
    seed: int = 0,
    preset: str = "default",
    at_rest: bool = False,
    predictor: str | Predictor | None = None,
    elements: str | Sequence[str] | None = None,
    forbidden: str | Sequence[str] = (),
    sites: Mapping[str, str | Sequence[str]] | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> DesignRun:
    """Design crystals that meet several targets at once, and judge them.

    Args:
        template: A name such as "perovskite" or "rutile", or a structure file.
        targets: Such as "band_gap = 2.5 ± 0.2", "formation_energy < -0.5" or
            "0.8 <= tolerance_factor <= 1.0".
        repeat: Cells of the template along each axis.
        n: Candidates.
        steps: Optimisation steps.
        seed: Of all random numbers; the same seed gives the same crystals on the same device.
        preset: "default", or "paper" for the published settings.
        at_rest: Whether lattice and coordinates must be at a minimum of the predicted energy.
        predictor: A name, a weights file, or an object in memory; the built-in one if None.
        elements: The only elements to use, such as "K Mg F"; "!Pb" and presets such as
            "no-toxic" take away.
        forbidden: Elements or presets never to use.
        sites: The only elements to use at a kind of site, such as {"A": "K Rb", "X[0]": "O"}.
        device: "auto" or a torch device.
        batch_size: Candidates evaluated together at most.
        progress: Called after every step.

    Raises:
        InputError: Something asked for is wrong or impossible.
    """
    named = predictor if isinstance(predictor, str) else None
    config = DesignConfig.from_mapping(
        {
            "template": template,
            "targets": tuple(str(target) for target in targets),
            "repeat": repeat,
            "n": n,
            "steps": steps,
            "seed": seed,
            "preset": preset,
            "at_rest": at_rest,
            "predictor": named,
            "elements": elements,
            "forbidden": forbidden,
            "sites": sites or {},
            "device": device,
            "batch_size": batch_size,
        }
    )
    in_memory = None if predictor is None or isinstance(predictor, str) else predictor
    return run_design(config, predictor=in_memory, progress=progress)


def run_design(
    config: DesignConfig,
    *,
    predictor: Predictor | None = None,
    progress: ProgressCallback | None = None,
) -> DesignRun:
    """Design and judge.

    Args:
        config: What to design.
        predictor: A predictor in memory, instead of the one that `config` names.
        progress: Called after every step.

    Raises:
        InputError: A setting or file is wrong.
    """
    started = time.perf_counter()
    if predictor is None:
        predictor = load_predictor(config.predictor, device=config.device)
    result = run_search(config, predictor=predictor, progress=progress)
    before = time.perf_counter()
    table = judge(
        result.structures,
        config.parsed_targets(),
        predictor=predictor,
        template=result.template,
        known_formulas=known_formulas(predictor),
        must_rest=config.at_rest,
    )
    after = time.perf_counter()
    timings = result.timings | {"judge": after - before, "total": after - started}
    return DesignRun(dataclasses.replace(result, timings=timings), table)


def execute(
    config: DesignConfig,
    out: str | Path,
    *,
    force: bool = False,
    progress: ProgressCallback | None = None,
) -> Path:
    """Design, judge and save; everything that can be wrong is found before the work begins.

    Args:
        config: What to design.
        out: The run directory; it appears complete or not at all.
        force: Whether an existing run is replaced.
        progress: Called after every step.

    Returns:
        The absolute path of the run directory.

    Raises:
        InputError: A setting, file or folder is wrong.
        ResourceError: Out of memory or disk.
    """
    check_run_directory(out, force=force)
    return run_design(config, progress=progress).save(out, force=force)
