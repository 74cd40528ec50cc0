"""Ordered crystals of partially occupied ones."""

import numpy as np
import pandas as pd
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from smoacs.cli import run
from smoacs.errors import InputError
from smoacs.structures import read_structures
from smoacs.structures.ordering import order

pytestmark = pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")


def mixed(x=0.5):
    """Rock salt with two kinds of cations, in its conventional cell."""
    species = [{"Mg": x, "Zn": 1 - x}, {"O": 1.0}]
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.2), species, [[0] * 3, [0.5] * 3])


def test_half_and_half_on_four_sites_is_one_crystal():
    """Of the six ways to put two of four atoms on the fcc cell all are the tetragonal layers."""
    found = order(mixed())
    assert len(found) == 1
    (best,) = found
    assert best.structure.is_ordered
    assert best.structure.composition.reduced_formula == "MgZnO2"
    assert (best.cells, best.composition_error) == (1, 0)
    layers = Structure(
        Lattice.tetragonal(4.2 / np.sqrt(2), 4.2),
        ["Mg", "Zn", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 0.5]],
    )
    bare = best.structure.copy()
    bare.remove_oxidation_states()
    assert StructureMatcher().fit(bare, layers)


def test_whole_atoms_take_a_supercell_and_candidates_differ():
    lithium = Structure.from_spacegroup(
        "R-3m", Lattice.hexagonal(2.816, 14.05), [{"Li": 0.5}, {"Co": 1.0}, {"O": 1.0}],
        [[0, 0, 0.5], [0, 0, 0], [0, 0, 0.2395]],
    )  # fmt: skip
    found = order(lithium, n=4)
    assert {item.cells for item in found} == {2}
    assert {item.structure.composition.reduced_formula for item in found} == {"Li(CoO2)2"}
    assert 1 < len(found) <= 4
    energies = [item.ewald_energy for item in found]
    assert energies == sorted(energies)
    matcher = StructureMatcher()
    assert not matcher.fit(found[0].structure, found[1].structure)


def test_what_no_cell_holds_is_rounded_and_says_by_how_much():
    (first, *_) = order(mixed(0.3), n=2, max_atoms=8)
    assert first.structure.composition.reduced_formula == "MgZn3O4"
    assert first.composition_error == pytest.approx(0.5 * 0.05)


def test_an_ordered_crystal_stays_and_too_large_a_cell_is_refused():
    (same,) = order(mixed(1.0))
    assert same.structure.composition.reduced_formula == "MgO"
    with pytest.raises(InputError, match="8 atoms, more than 4"):
        order(mixed(), max_atoms=4)


def test_command(tmp_path, capsys):
    mixed().to(str(tmp_path / "mixed.cif"))
    command = ["order", str(tmp_path / "mixed.cif"), "--out", str(tmp_path / "out")]
    assert run(command) == 0
    assert "1 ordered crystals" in capsys.readouterr().out
    (row,) = pd.read_csv(tmp_path / "out" / "ordered.csv").to_dict("records")
    assert (row["formula"], row["space_group"]) == ("MgZnO2", "P4/mmm")
    (item,) = read_structures([tmp_path / "out" / row["structure_file"]])
    assert item.structure.composition.reduced_formula == "MgZnO2"
    assert run(["predict", str(tmp_path / "mixed.cif")]) == 2
    assert "smoacs order " in capsys.readouterr().err
