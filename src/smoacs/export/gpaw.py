"""Input of GPAW: a script for each design, with the settings of `smoacs.dft`."""

from collections.abc import Sequence
from pathlib import Path
from pprint import pformat

from smoacs.dft import Calculation, DftSettings, plan_calculation
from smoacs.export.design import Design
from smoacs.export.safe import title

SCRIPT_FILE = "gpaw_input.py"

_EXTRA_BANDS = 4
_EIGENSTATES = 1e-6
"""As in `smoacs.dft.gpaw_engine`, which the tests compare with."""


def write_gpaw(designs: Sequence[Design], folder: Path, settings: DftSettings) -> None:
    """Write a folder for each design, with a script to run: `python gpaw_input.py`."""
    for design in designs:
        (folder / design.name).mkdir()
        text = gpaw_script(design, settings)
        (folder / design.name / SCRIPT_FILE).write_text(text, encoding="utf-8")


def gpaw_script(design: Design, settings: DftSettings) -> str:
    """Write a script for the energy, forces, stress and band gap at the geometry of the design.

    Args:
        design: The design.
        settings: Accuracy, spin and U.
    """
    plan = plan_calculation(design.structure, settings)
    return _SCRIPT.format(
        title=title(f"{design.title}: {plan.functional} with plane waves."),
        symbols=_literal(list(plan.symbols)),
        positions=_literal(design.structure.frac_coords.tolist()),
        cell=_literal(design.structure.lattice.matrix.tolist()),
        moments=_literal(list(plan.moments)) if plan.spin_polarized else "None",
        settings=_calculator(plan),
    )


def _calculator(plan: Calculation) -> str:
    # ",0": no scaling by the part of the shell inside the augmentation sphere, as in VASP
    setups = {element: f":d,{u},0" for element, u in plan.hubbard_u.items()}
    arguments = {
        "mode": f"PW({plan.cutoff!r})",
        "xc": repr(plan.functional),
        "kpts": repr({"size": tuple(plan.kpoints), "gamma": True}),
        "occupations": repr({"name": "fermi-dirac", "width": plan.smearing}),
        "spinpol": repr(plan.spin_polarized),
        "setups": repr(setups),
        "nbands": repr(-_EXTRA_BANDS),
        "convergence": repr({"eigenstates": _EIGENSTATES}),
        "maxiter": repr(plan.max_iterations),
        "txt": repr("gpaw.txt"),
    }
    return "\n".join(f"    {name}={value}," for name, value in arguments.items())


def _literal(value: object) -> str:
    return pformat(value, width=96, compact=True)


_SCRIPT = '''"""{title}

Run with `python gpaw_input.py`, or in parallel with `gpaw -P 4 python gpaw_input.py`.
"""

from ase import Atoms
from ase.dft.bandgap import bandgap
from ase.parallel import parprint
from ase.units import GPa
from gpaw import GPAW, PW

symbols = {symbols}
positions = {positions}
cell = {cell}
moments = {moments}

atoms = Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True, magmoms=moments)
atoms.calc = GPAW(
{settings}
)

parprint("energy (eV):", atoms.get_potential_energy())
parprint("forces (eV/A):")
parprint(atoms.get_forces())
try:
    parprint("pressure (GPa):", -atoms.get_stress()[:3].mean() / GPa)
except NotImplementedError:
    parprint("pressure: GPAW has no stress for this calculation")
parprint("gap on this grid of k-points (eV):", bandgap(atoms.calc)[0])
atoms.calc.write("gpaw.gpw")
'''
