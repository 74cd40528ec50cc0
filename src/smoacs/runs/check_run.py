"""`smoacs.check`: the checks of a run, a setting for each argument."""

from pathlib import Path

from smoacs.checking import CheckSettings, PhononSettings, RattleSettings
from smoacs.dft import DftSettings
from smoacs.predictors import Predictor
from smoacs.runs.checks import CheckedRun, CheckProgress, run_checks


def check(  # noqa: PLR0913  (one argument per setting, as on the command line)
    directory: str | Path,
    *,
    potential: str = "auto",
    rattled: bool = True,
    gap_tolerance: float = 0.4,
    phonons: bool | None = None,
    phonon_length: float = 7.5,
    phonon_mesh: int = 0,
    reference: str | None = None,
    dft: str | None = None,
    dft_settings: DftSettings | None = None,
    dft_tolerance: float = 0.5,
    dft_relaxed: bool = False,
    workers: int = 1,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    predictor: Predictor | None = None,
    force: bool = False,
    progress: CheckProgress | None = None,
) -> CheckedRun:
    """Check the successes of a run by what took no part in designing them (docs/checks.md).

    Args:
        directory: A run directory; its results.csv, summary.json, designs.db and report.html gain
            what is found; relaxed.extxyz and rattled.extxyz hold where the crystals end.
        potential: Relaxes the designs: "sevennet:l3i5", "sevennet:0", "chgnet", "diep",
            "nequix:FILE", "module:factory" of an ASE calculator, or "none"; "auto" is the first of
            SevenNet-l3i5 and CHGNet that is installed.
        rattled: Whether to let the designs go from a rattled supercell, free of symmetry.
        gap_tolerance: eV that the band gap predicted where they end may be off its target.
        phonons: Whether to look for unstable phonons of the relaxed crystals; None to do so where
            there is a potential.
        phonon_length: Å that each vector of the supercell for phonons reaches.
        phonon_mesh: Wave vectors along each axis of a mesh of the whole zone; 0 for none.
        reference: File or OPTIMADE address of known compounds.
        dft: First-principles engine: "gpaw", "vasp", "espresso" or "module:function".
        dft_settings: Its settings; None for the default.
        dft_tolerance: eV that a calculated band gap may be off its target.
        dft_relaxed: Whether first principles see the relaxed crystal instead of the designed one.
        workers: First-principles calculations at a time.
        limit: Check only so many distinct successes, the best.
        sample: Check only so many distinct successes, drawn at random.
        seed: Of that draw.
        predictor: The predictor in memory that the run was made with, if it was.
        force: Whether what was found before is forgotten and found again.
        progress: Told how far each check is.

    Raises:
        InputError: The folder is no run, or a setting is wrong.
        MissingExtraError: A check needs a package that is not installed.
        ResourceError: The disk is full, or a server does not answer.
    """
    settings = CheckSettings(
        potential=potential,
        rattled=rattled,
        rattle=RattleSettings(gap_tolerance=gap_tolerance),
        phonons=phonons,
        phonon=PhononSettings(length=phonon_length, mesh=phonon_mesh),
        reference=reference,
        dft=dft,
        dft_settings=dft_settings or DftSettings(),
        dft_tolerance=dft_tolerance,
        dft_relaxed=dft_relaxed,
        workers=workers,
        limit=limit,
        sample=sample,
        seed=seed,
    )
    return run_checks(directory, settings, predictor=predictor, force=force, progress=progress)
