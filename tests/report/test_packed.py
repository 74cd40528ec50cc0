"""The crystals of a report: as designed, and in their conventional cells."""

import ase
import numpy as np
from ase.build import bulk
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from smoacs.report.packed import pack


def packed(atoms):
    atoms.set_array("oxidation_states", np.array([2.0, -2.0] * (len(atoms) // 2)))
    content = pack([atoms], None)
    return content, content["crystals"][0]


def test_a_primitive_cell_comes_with_its_conventional_one():
    atoms = bulk("MgO", "rocksalt", a=4.212)
    content, crystal = packed(atoms)
    shown = crystal["conventional"]
    assert shown["cell"] == [4.212, 0, 0, 0, 4.212, 0, 0, 0, 4.212]
    assert len(shown["from"]) == 8
    symbols = [content["species"][crystal["kinds"][k]] for k in shown["from"]]
    cell, frac = (np.reshape(shown[name], (-1, 3)) for name in ("cell", "frac"))
    given = Structure(atoms.cell.array, atoms.symbols, atoms.get_scaled_positions())
    assert StructureMatcher(scale=False).fit(Structure(cell, symbols, frac), given)


def test_a_cell_that_is_no_smaller_stays_alone():
    assert packed(bulk("MgO", "rocksalt", a=4.212, cubic=True))[1]["conventional"] is None
    rng = np.random.default_rng(0)
    lone = ase.Atoms("MgO", scaled_positions=rng.random((2, 3)), cell=[4, 5, 6], pbc=True)
    assert packed(lone)[1]["conventional"] is None
