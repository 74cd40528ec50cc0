"""Columns of the table survive the extxyz file, those without text among them."""

import ase.io
import pandas as pd
from pymatgen.core import Lattice, Structure

from smoacs.runs.crystal_files import write_structures


def test_an_empty_text_does_not_swallow_the_next_entry(tmp_path):
    salt = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    table = pd.DataFrame(
        {
            "id": ["0001", "0002"],
            "in_domain": [True, False],
            "domain_warning": ["", "density 9 g/cm³ is above 5, the most in training"],
            "novel": [True, True],
            "structure_file": ["structures/a.cif", "structures/b.cif"],
        }
    )
    write_structures(tmp_path, table, [salt, salt])
    inside, outside = ase.io.read(tmp_path / "structures.extxyz", ":")
    assert "domain_warning" not in inside.info
    assert inside.info["novel"]
    assert outside.info["domain_warning"].startswith("density 9")
    assert not outside.info["in_domain"]
