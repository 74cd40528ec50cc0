"""Oxidation numbers of the atoms of known crystals, those bonded to their own kind included."""

from collections import Counter

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.chemistry import bonded_states, neutral_site_charges, oxidation_table
from smoacs.templates.prototypes import reference_structure


def charges(structure, name="icsd"):
    symbols = [site.specie.symbol for site in structure]
    coords, cell = structure.frac_coords, structure.lattice.matrix
    found = neutral_site_charges(symbols, coords, cell, oxidation_table(name))
    if not found:
        return None
    assert sum(found[0]) == 0
    return Counter(zip(symbols, found[0], strict=True))


def pyrite(metal="Fe", chalcogen="S", a=5.42, u=0.385):
    return Structure.from_spacegroup(
        "Pa-3", Lattice.cubic(a), [metal, chalcogen], [[0, 0, 0], [u, u, u]]
    )


def molecule_salt(cation, group, a):
    """Rock salt with a linear group of atoms along c in place of the anion."""
    (symbols, heights) = group
    coords = [[0, 0, 0], *([0.5, 0.5, 0.5 + z / a] for z in heights)]
    return Structure(Lattice.cubic(a), [cation, *symbols], coords)


def test_pyrite():
    assert charges(pyrite()) == {("Fe", 2): 4, ("S", -1): 8}


@pytest.mark.parametrize(
    ("cation", "group", "expected"),
    [
        ("Ba", (["O", "O"], (-0.745, 0.745)), {("Ba", 2): 1, ("O", -1): 2}),
        ("K", (["O", "O"], (-0.64, 0.64)), {("K", 1): 1, ("O", -1): 1, ("O", 0): 1}),
        ("Na", (["N", "N", "N"], (-1.18, 0, 1.18)), {("Na", 1): 1, ("N", -1): 2, ("N", 1): 1}),
        ("Ca", (["C", "C"], (-0.6, 0.6)), {("Ca", 2): 1, ("C", -1): 2}),
        ("Sr", (["N", "N"], (-0.61, 0.61)), {("Sr", 2): 1, ("N", -1): 2}),
        ("Cs", (["I", "I", "I"], (-2.92, 0, 2.92)), {("Cs", 1): 1, ("I", -1): 2, ("I", 1): 1}),
        ("Na", (["C", "N"], (-0.58, 0.58)), {("Na", 1): 1, ("C", 2): 1, ("N", -3): 1}),
    ],
)
def test_groups(cation, group, expected):
    assert charges(molecule_salt(cation, group, 12.0)) == expected


def test_oxide_ions_side_by_side_are_no_peroxide():
    oxide = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.21), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    assert charges(oxide) == {("Mg", 2): 4, ("O", -2): 4}


def test_bonded_atom_that_gives_charge_away():
    """Thiosulphate: the S at the end is S-, the one that holds the oxygen S5+."""
    around = 1.47 * np.array(
        [[0.943, 0, -0.333], [-0.471, 0.816, -0.333], [-0.471, -0.816, -0.333]]
    )
    cartesian = np.array([[0, 0, 0], [0, 0, 2.01], *around, [0, 0, 5.5], [4, 4, 1]]) + 4.0
    cell = Lattice.cubic(12.0)
    crystal = Structure(
        cell, ["S", "S", "O", "O", "O", "Na", "Na"], cartesian, coords_are_cartesian=True
    )
    assert charges(crystal) == {("S", 5): 1, ("S", -1): 1, ("O", -2): 3, ("Na", 1): 2}


@pytest.mark.parametrize(
    ("pnictogen", "chalcogen", "length"), [("As", "S", 2.30), ("P", "S", 2.10), ("As", "Se", 2.45)]
)
def test_pair_of_a_pnictogen_and_a_chalcogen(pnictogen, chalcogen, length):
    """Cobaltite: Co3+ (AsS)3-, As- and S2-."""
    group = ([pnictogen, chalcogen], (-length / 2, length / 2))
    expected = {("Co", 3): 1, (pnictogen, -1): 1, (chalcogen, -2): 1}
    assert charges(molecule_salt("Co", group, 12.0)) == expected


def test_magnetite_differs_by_orbit_and_not_within():
    spinel = reference_structure("spinel")
    own = [site.specie.symbol for site in spinel]
    orbits = [sorted(set(own)).index(symbol) for symbol in own]
    symbols = ["O" if symbol == "O" else "Fe" for symbol in own]
    found = neutral_site_charges(
        symbols,
        spinel.frac_coords,
        spinel.lattice.matrix,
        oxidation_table("icsd"),
        orbits=lambda: orbits,
        limit=5,
    )
    assert found
    for choice in found:
        assert sorted(choice) == [-2] * 8 + [2] * 2 + [3] * 4
        for orbit in set(orbits):
            assert len({q for q, o in zip(choice, orbits, strict=True) if o == orbit}) == 1


def test_sulphide_is_no_sulphate_and_an_element_is_neutral():
    crystal = Structure(
        Lattice.cubic(6.0), ["Ca", "S", "S"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]
    )
    assert charges(crystal) is None
    assert charges(Structure(Lattice.cubic(3.0), ["Fe"], [[0, 0, 0]])) == {("Fe", 0): 1}


def test_lone_atoms_are_not_bonded():
    assert bonded_states(["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], np.eye(3) * 4.0) == {}
