"""Input of VASP: the relaxation of the Materials Project, without the licensed POTCAR files."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from pymatgen.io.vasp.sets import MPRelaxSet

from smoacs.export.design import Design


def write_vasp(designs: Sequence[Design], folder: Path) -> None:
    """Write a folder for each design: INCAR, KPOINTS, POSCAR, and the names of the POTCARs.

    pymatgen's `MPRelaxSet`; starting moments follow the oxidation states where it has such.
    POTCAR.spec names the pseudopotential of each element, one a line, in the order of POSCAR.
    """
    for design in designs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on POTCARs, which are not written
            inputs = MPRelaxSet(design.structure)
            inputs.write_input(str(folder / design.name), potcar_spec=True)
