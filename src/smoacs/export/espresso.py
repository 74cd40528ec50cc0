"""Input of Quantum ESPRESSO: relaxation of cell and positions with pw.x."""

import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ase.io
from ase.units import Rydberg

from smoacs.dft import Calculation, DftSettings, plan_calculation
from smoacs.errors import InputError, short
from smoacs.export.design import Design
from smoacs.export.safe import file_name

INPUT_FILE = "pw.in"

PLACEHOLDER_FOLDER = "../pseudo"
"""Where the inputs look for pseudopotentials if no folder is given: beside them."""

DEFAULT_CUTOFFS = (90.0, 720.0)
"""Cutoffs (Ry) of wave functions and density where no library recommends others."""

_MAGNETIC_FRACTION = 0.1
"""Start of the magnetisation per unpaired electron. pw.x takes a fraction of the valence electrons,
which are about ten in an ion with an open shell."""

_HUBBARD_SHELL = {"Mo": "4d", "W": "5d"}
"""Where it is not 3d, of the elements that get a U."""


_PLAIN = re.compile(r"[^'\"\x00-\x1f]+")
_PLAIN_NAME = re.compile(r"[^'\"\s/\x00-\x1f]+")


@dataclass(frozen=True)
class Pseudopotentials:
    """Names of pseudopotential files.

    Attributes:
        folder: As the inputs name it.
        files: File of each element; None for the convention `Ti.upf`.
        cutoffs: Recommended cutoffs (Ry) of wave functions and density of each element, if known.
    """

    folder: str
    files: Mapping[str, str] | None
    cutoffs: Mapping[str, tuple[float, float]]

    def of(self, elements: Iterable[str]) -> dict[str, str]:
        """File names of some elements.

        Raises:
            InputError: The folder has none for one of them.
        """
        if self.files is None:
            return {element: f"{element}.upf" for element in elements}
        for element in elements:
            if element not in self.files:
                raise InputError(f"{self.folder} holds no pseudopotential (.upf) of {element}")
        return {element: self.files[element] for element in elements}

    def cutoffs_of(self, elements: Iterable[str]) -> tuple[float, float]:
        """Cutoffs (Ry) that are enough for all of some elements."""
        pairs = [self.cutoffs.get(element, DEFAULT_CUTOFFS) for element in elements]
        return max(p[0] for p in pairs), max(p[1] for p in pairs)


def read_pseudopotentials(folder: str | Path | None) -> Pseudopotentials:
    """Find out which pseudopotentials a folder has.

    The table of an SSSP library (`SSSP_*.json`, with file names and cutoffs) is used where there is
    one. Otherwise a file belongs to the element that its name begins with: `Ti.upf`,
    `ti_pbe_v1.4.uspp.F.UPF`.

    Args:
        folder: The folder; None for the placeholder and names such as `Ti.upf`.

    Raises:
        InputError: The folder is missing or has none, two files are of one element, or the table
            is damaged.
    """
    if folder is None:
        return Pseudopotentials(PLACEHOLDER_FOLDER, None, {})
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder of pseudopotentials")
    if not _PLAIN.fullmatch(str(folder)):
        raise InputError(f"{folder}: pw.x reads no folder with quotes or line breaks in its name")
    tables = sorted(folder.glob("SSSP*.json"))
    if len(tables) > 1:
        raise InputError(f"{folder} holds several SSSP tables; keep the one to use")
    if tables:
        return _from_table(tables[0])
    files: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        match = re.match(r"([A-Za-z]{1,2})(?![A-Za-z]).*\.upf$", path.name, re.IGNORECASE)
        if match:
            element = match[1].capitalize()
            _check_plain(folder, path.name)
            if element in files:
                raise InputError(
                    f"{folder} holds several pseudopotentials of {element}, such as "
                    f"{files[element]} and {path.name}; keep the one to use"
                )
            files[element] = path.name
    if not files:
        raise InputError(f"{folder} holds no pseudopotentials (.upf)")
    return Pseudopotentials(str(folder), files, {})


def _from_table(path: Path) -> Pseudopotentials:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        files = {str(element): str(entry["filename"]) for element, entry in table.items()}
        cutoffs = {
            str(element): (float(entry["cutoff_wfc"]), float(entry["cutoff_rho"]))
            for element, entry in table.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} is no table of SSSP: each element needs filename, cutoff_wfc and cutoff_rho"
        ) from error
    for file in files.values():
        _check_plain(path, file)
    return Pseudopotentials(str(path.parent), files, cutoffs)


def _check_plain(where: Path, file: str) -> None:
    """Check that the name of a pseudopotential is a name, and no more lines of the input.

    Raises:
        InputError: It is none.
    """
    if not _PLAIN_NAME.fullmatch(file):
        raise InputError(f"{where}: {short(file)!r} is no name of a file that pw.x can read")


def write_espresso(
    designs: Sequence[Design],
    folder: Path,
    settings: DftSettings,
    pseudopotentials: Pseudopotentials,
) -> None:
    """Write a folder with pw.in for each design: a variable-cell relaxation.

    k-points, spin and U are those of `smoacs.dft`; cutoffs are the pseudopotentials'.

    Raises:
        InputError: An element has no pseudopotential.
    """
    for design in designs:
        (folder / design.name).mkdir()
        text = espresso_input(design, settings, pseudopotentials)
        (folder / design.name / INPUT_FILE).write_text(text, encoding="utf-8")


def espresso_input(
    design: Design, settings: DftSettings, pseudopotentials: Pseudopotentials
) -> str:
    """Write the input of pw.x, 7.1 or later, for one design.

    Raises:
        InputError: An element has no pseudopotential.
    """
    plan = plan_calculation(design.structure, settings)
    elements = sorted(set(plan.symbols))
    files = pseudopotentials.of(elements)
    wave, density = pseudopotentials.cutoffs_of(elements)
    atoms = design.atoms()
    if plan.spin_polarized:
        atoms.set_initial_magnetic_moments([_MAGNETIC_FRACTION * m for m in plan.moments])
    text = io.StringIO()
    ase.io.write(
        text,
        atoms,
        format="espresso-in",
        input_data={
            "control": {
                "calculation": "vc-relax",
                "title": design.title,
                "prefix": file_name(design.formula),
                "pseudo_dir": pseudopotentials.folder,
                "outdir": "./out",
            },
            "system": {
                "ecutwfc": wave,
                "ecutrho": density,
                "occupations": "smearing",
                "smearing": "fermi-dirac",
                "degauss": round(plan.smearing / Rydberg, 6),
                "input_dft": plan.functional,
                **({"nspin": 2} if plan.spin_polarized else {}),
            },
            "electrons": {"conv_thr": 1e-8, "electron_maxstep": plan.max_iterations},
        },
        pseudopotentials=files,
        kpts=plan.kpoints,
        crystal_coordinates=True,
    )
    return text.getvalue() + _hubbard_card(plan, text.getvalue())


def _hubbard_card(plan: Calculation, text: str) -> str:
    """U of each kind of atom; kinds of one element with different moments have own labels."""
    if not plan.hubbard_u:
        return ""
    species = text.partition("ATOMIC_SPECIES\n")[2].partition("\n\n")[0].splitlines()
    lines = ["HUBBARD (ortho-atomic)"]
    for label in (line.split()[0] for line in species):
        element = label.rstrip("0123456789")
        if element in plan.hubbard_u:
            shell = _HUBBARD_SHELL.get(element, "3d")
            lines.append(f"U {label}-{shell} {plan.hubbard_u[element]}")
    return "\n".join(lines) + "\n"
