"""All formats behind one function that writes a folder as a whole or not at all."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from smoacs.dft import DftSettings
from smoacs.errors import InputError
from smoacs.export.design import Design, choose_designs
from smoacs.export.espresso import read_pseudopotentials, write_espresso
from smoacs.export.gpaw import write_gpaw
from smoacs.export.plain import write_cif, write_extxyz, write_poscar, write_vasp
from smoacs.export.safe import without_formulas
from smoacs.results import csv_text
from smoacs.runs import SavedRun, read_run, run_directory

Writer = Callable[[Sequence[Design], Path], None]

FORMATS = ("vasp", "qe", "gpaw", "cif", "poscar", "extxyz")

TABLE_FILE = "designs.csv"
"""In every export: the rows of results.csv of the designs that it holds."""


def export_designs(  # noqa: PLR0913  (one argument per option, as on the command line)
    run: str | Path | SavedRun,
    to: str,
    *,
    out: str | Path | None = None,
    ids: Sequence[int | str] | None = None,
    everything: bool = False,
    limit: int | None = None,
    pseudo_dir: str | Path | None = None,
    settings: DftSettings | None = None,
) -> Path:
    """Write designs of a run for another program.

    Args:
        run: A run directory, or one that was read.
        to: One of `FORMATS`.
        out: A new folder; it appears complete or not at all. If None, see `default_folder`.
        ids: These candidates and no others; if None, one success for each distinct design.
        everything: All candidates that are crystals.
        limit: At most so many, the best first.
        pseudo_dir: Folder of the pseudopotentials; for "qe" only.
        settings: Accuracy, spin and U; for "qe" and "gpaw" only.

    Returns:
        The absolute path of the folder.

    Raises:
        InputError: The format is unknown, an argument does not belong to it, nothing is left to
            write, or the folder is there already or cannot be written.
        ResourceError: The disk is full.
    """
    writer = _writer(to, pseudo_dir=pseudo_dir, settings=settings)
    run = run if isinstance(run, SavedRun) else read_run(run)
    designs = choose_designs(run, ids=ids, everything=everything, limit=limit)
    folder = default_folder(run.path, to) if out is None else Path(out).resolve()
    _check_new(folder)
    rows = run.table.set_index("id", drop=False).loc[[design.id for design in designs]]
    with run_directory(folder, force=False) as temporary:
        writer(designs, temporary)
        (temporary / TABLE_FILE).write_text(csv_text(without_formulas(rows)), encoding="utf-8")
    return folder


def default_folder(run: str | Path, to: str) -> Path:
    """Folder of an export that names none: beside the run, such as run1-vasp."""
    run = Path(run).resolve()
    return run.with_name(f"{run.name}-{to}")


def _writer(to: str, *, pseudo_dir: str | Path | None, settings: DftSettings | None) -> Writer:
    if to not in FORMATS:
        raise InputError(f"there is no export to {to!r}; the formats are {', '.join(FORMATS)}")
    if pseudo_dir is not None and to != "qe":
        raise InputError(f"pseudopotentials belong to qe; leave them out for {to}")
    if settings is not None and to not in {"qe", "gpaw"}:
        raise InputError(f"DFT settings belong to qe and gpaw; leave them out for {to}")
    dft = settings or DftSettings()
    if to == "qe":
        pseudopotentials = read_pseudopotentials(pseudo_dir)
        return lambda designs, folder: write_espresso(designs, folder, dft, pseudopotentials)
    writers: Mapping[str, Writer] = {
        "vasp": write_vasp,
        "gpaw": lambda designs, folder: write_gpaw(designs, folder, dft),
        "cif": write_cif,
        "poscar": write_poscar,
        "extxyz": write_extxyz,
    }
    return writers[to]


def _check_new(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder} is there already, and an export replaces nothing; name a new folder (--out)"
        )
