"""VASP and Quantum ESPRESSO through ASE: a `Calculation` as their input.

Neither program nor its potentials come with us. ASE finds VASP by ASE_VASP_COMMAND and
VASP_PP_PATH, and pw.x by the section [espresso] of its configuration file, with `command` and
`pseudo_dir` (docs/checks.md).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ase.calculators.calculator import BadConfiguration, CalculatorSetupError
from ase.units import Rydberg

from smoacs.dft.calculation import Calculation, DftError

_ENERGY_PER_ATOM: Final = 1e-7
"""eV per atom to which the self-consistency cycle converges; pressures are sharp to 0.1 GPa."""

_DENSITY_CUTOFF: Final = 8
"""Cutoff of the density over that of the waves; enough for ultrasoft and PAW data."""

_D_SHELL: Final = 2

_PSEUDO_SUFFIXES: Final = (".upf", ".UPF")

_VASP_FUNCTIONALS: Final = {"PBE": "pbe", "PBEsol": "pbesol"}
_ESPRESSO_FUNCTIONALS: Final = {"PBE": "pbe", "PBEsol": "pbesol"}


def vasp(calculation: Calculation) -> Any:  # noqa: ANN401 - ASE's calculators have no types
    """A VASP calculator; POTCAR, POSCAR, INCAR and KPOINTS are ASE's work.

    Raises:
        CalculatorSetupError: VASP is not set up.
    """
    from ase.calculators.vasp import Vasp  # noqa: PLC0415 - slow to import

    hubbard = {
        symbol: {"L": _D_SHELL if symbol in calculation.hubbard_u else -1, "U": u, "J": 0.0}
        for symbol in set(calculation.symbols)
        for u in [calculation.hubbard_u.get(symbol, 0.0)]
    }
    with_u: dict[str, Any] = (
        {"ldau": True, "ldautype": 2, "ldau_luj": hubbard, "lmaxmix": 4}
        if calculation.hubbard_u
        else {}
    )
    calculator = Vasp(
        xc=_VASP_FUNCTIONALS[calculation.functional],
        encut=calculation.cutoff,
        kpts=calculation.kpoints,
        gamma=True,
        ismear=-1,
        sigma=calculation.smearing,
        ispin=2 if calculation.spin_polarized else 1,
        ediff=_ENERGY_PER_ATOM * len(calculation.symbols),
        nelm=calculation.max_iterations,
        prec="Accurate",
        lreal=False,
        isif=2,
        nsw=0,
        lwave=False,
        lcharg=False,
        **with_u,
    )
    calculator.make_command(calculator.command)  # raises where there is none
    return calculator


def espresso(calculation: Calculation) -> Any:  # noqa: ANN401
    """A calculator for pw.x; it raises what `run` reports where pw.x is not set up.

    Raises:
        CalculatorSetupError: pw.x is not set up.
        DftError: There is no pseudopotential for an element, or a Hubbard U is asked for.
    """
    from ase.calculators.espresso import Espresso  # noqa: PLC0415 - slow to import

    if calculation.hubbard_u:
        raise DftError("Quantum ESPRESSO runs without Hubbard U here: set hubbard_u = 'none'")
    try:
        profile = Espresso().profile
    except BadConfiguration as error:
        raise CalculatorSetupError(
            f"{error}; write command and pseudo_dir under [espresso] into its configuration file"
        ) from error
    cutoff = calculation.cutoff / Rydberg
    spin: Mapping[str, object] = {"nspin": 2} if calculation.spin_polarized else {}
    return Espresso(
        profile=profile,
        pseudopotentials=_pseudopotentials(Path(profile.pseudo_dir), set(calculation.symbols)),
        kpts=calculation.kpoints,
        koffset=(0, 0, 0),
        input_data={
            "control": {
                "calculation": "scf",
                "tprnfor": True,
                "tstress": True,
                "verbosity": "high",  # prints the bands, however many k-points there are
            },
            "system": {
                "ecutwfc": cutoff,
                "ecutrho": _DENSITY_CUTOFF * cutoff,
                "occupations": "smearing",
                "smearing": "fermi-dirac",
                "degauss": calculation.smearing / Rydberg,
                "input_dft": _ESPRESSO_FUNCTIONALS[calculation.functional],
                **spin,
            },
            "electrons": {
                "conv_thr": _ENERGY_PER_ATOM * len(calculation.symbols) / Rydberg,
                "electron_maxstep": calculation.max_iterations,
            },
        },
    )


def _pseudopotentials(folder: Path, symbols: set[str]) -> dict[str, str]:
    """The file of each element: the first that starts with its symbol, then a dot or a line."""
    names = sorted(path.name for path in folder.glob("*") if path.suffix in _PSEUDO_SUFFIXES)
    found = {}
    for symbol in sorted(symbols):
        starts = tuple(f"{symbol.lower()}{sign}" for sign in "._-")
        fitting = [name for name in names if name.lower().startswith(starts)]
        if not fitting:
            raise DftError(f"there is no pseudopotential for {symbol} in {folder}")
        found[symbol] = fitting[0]
    return found


PROGRAMS: Final[Mapping[str, Callable[[Calculation], Any]]] = {"vasp": vasp, "espresso": espresso}
"""Programs that go by a name of their own."""
