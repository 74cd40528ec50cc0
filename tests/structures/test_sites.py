"""Elements and charges of sites, and the same crystal without charges and for ASE."""

from pymatgen.core import Lattice, Structure

from smoacs.structures import OXIDATION_STATES, bare, charges, symbols, to_atoms

SALT = Structure(Lattice.cubic(5.6), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]])
HEAVY = Structure(Lattice.cubic(5.6), ["Li", "D"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_elements_and_charges():
    assert symbols(SALT) == ["Na", "Cl"]
    assert symbols(HEAVY) == ["Li", "H"]
    assert charges(SALT) == [1.0, -1.0]
    assert charges(HEAVY) is None


def test_without_charges():
    plain = bare(SALT)
    assert charges(plain) is None
    assert plain.lattice == SALT.lattice
    assert (plain.frac_coords == SALT.frac_coords).all()


def test_for_ase():
    atoms = to_atoms(SALT, {"id": "0001"})
    assert atoms.get_chemical_symbols() == ["Na", "Cl"]
    assert atoms.arrays[OXIDATION_STATES].tolist() == [1.0, -1.0]
    assert atoms.info == {"id": "0001"}
    assert atoms.pbc.all()
    assert OXIDATION_STATES not in to_atoms(HEAVY).arrays
