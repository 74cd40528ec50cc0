"""Structure files, and the input of VASP, which is little more."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import ase.io
from pymatgen.io.vasp.inputs import Poscar
from pymatgen.io.vasp.sets import MPRelaxSet

from smoacs.export.design import Design
from smoacs.structures import cif_text


def write_cif(designs: Sequence[Design], folder: Path) -> None:
    """Write a CIF file for each design, with oxidation states."""
    for design in designs:
        text = cif_text(design.structure)
        (folder / f"{design.name}.cif").write_text(text, encoding="utf-8")


def write_poscar(designs: Sequence[Design], folder: Path) -> None:
    """Write a POSCAR file for each design, with atoms of one element together."""
    for design in designs:
        poscar = Poscar(design.structure, comment=design.name, sort_structure=True)
        path = folder / f"{design.name}.vasp"
        path.write_text(poscar.get_str(significant_figures=10), encoding="utf-8")


def write_extxyz(designs: Sequence[Design], folder: Path) -> None:
    """Write one extxyz file with all designs, with oxidation states and ids."""
    frames = []
    for design in designs:
        atoms = design.atoms()
        atoms.info = {"id": design.id, "formula": design.formula}
        frames.append(atoms)
    ase.io.write(folder / "designs.extxyz", frames, format="extxyz")


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
