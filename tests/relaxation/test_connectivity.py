"""Known structures keep the bonds of their parents, or do not."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from smoacs.relaxation import same_connectivity
from toys import perovskite_crystal

MADE = Structure.from_spacegroup


def cubic(species, length=4.0):
    return perovskite_crystal((*species[:2], *[species[2]] * 3), length)


PNMA_CATIO3 = MADE(
    "Pnma",
    Lattice.orthorhombic(5.442, 7.640, 5.380),
    ["Ca", "Ti", "O", "O"],
    [[0.0355, 0.25, -0.0071], [0, 0, 0.5], [0.484, 0.25, 0.0713], [0.2897, 0.0373, -0.2893]],
)
R3C_LAALO3 = MADE(
    "R-3c",
    Lattice.hexagonal(5.3647, 13.1114),
    ["La", "Al", "O"],
    [[0, 0, 0.25], [0, 0, 0], [0.5254, 0, 0.25]],
)
JAHN_TELLER_LAMNO3 = MADE(
    "Pnma",
    Lattice.orthorhombic(5.70, 7.70, 5.53),
    ["La", "Mn", "O", "O"],
    [[0.0513, 0.25, -0.0095], [0, 0, 0.5], [0.4849, 0.25, 0.0777], [0.3085, 0.0408, -0.2735]],
)
P4MM_PBTIO3 = MADE(
    "P4mm",
    Lattice.tetragonal(3.90, 4.156),
    ["Pb", "Ti", "O", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5377], [0.5, 0.5, 0.1118], [0.5, 0, 0.6174]],
)
HEXAGONAL_BANIO3 = MADE(
    "P6_3/mmc",
    Lattice.hexagonal(5.629, 4.811),
    ["Ba", "Ni", "O"],
    [[1 / 3, 2 / 3, 0.75], [0, 0, 0], [0.1462, 0.2924, 0.25]],
)
HEXAGONAL_CSNICL3 = MADE(
    "P6_3/mmc",
    Lattice.hexagonal(7.169, 5.944),
    ["Cs", "Ni", "Cl"],
    [[1 / 3, 2 / 3, 0.75], [0, 0, 0], [0.156, 0.312, 0.25]],
)
PYRAMIDAL_BICOO3 = MADE(
    "P4mm",
    Lattice.tetragonal(3.731, 4.7247),
    ["Bi", "Co", "O", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5664], [0.5, 0.5, 0.2024], [0.5, 0, 0.7311]],
)


@pytest.mark.parametrize(
    "end", [PNMA_CATIO3, R3C_LAALO3, JAHN_TELLER_LAMNO3, P4MM_PBTIO3], ids=lambda s: s.formula
)
def test_tilted_stretched_and_polar_octahedra_share_their_corners_still(end):
    kinds = list(dict.fromkeys(site.specie.symbol for site in end))
    assert same_connectivity(cubic(kinds), end)


@pytest.mark.parametrize(
    "end", [HEXAGONAL_BANIO3, HEXAGONAL_CSNICL3, PYRAMIDAL_BICOO3], ids=lambda s: s.formula
)
def test_shared_faces_and_pyramids_are_another_type(end):
    kinds = list(dict.fromkeys(site.specie.symbol for site in end))
    assert not same_connectivity(cubic(kinds), end)


def test_cells_origins_scale_and_order_do_not_count():
    rng = np.random.default_rng(0)
    end = PNMA_CATIO3.copy()
    end.make_supercell([[1, 1, 0], [0, 1, 0], [1, 0, 2]])
    end.scale_lattice(end.volume * 1.3)
    end.translate_sites(range(len(end)), rng.random(3))
    end = Structure.from_sites([end[int(k)] for k in rng.permutation(len(end))])
    assert same_connectivity(cubic(("Ca", "Ti", "O")), end)


def test_other_types():
    rutile = MADE(
        "P4_2/mnm", Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.3053] * 2 + [0]]
    )
    anatase = MADE(
        "I4_1/amd", Lattice.tetragonal(3.785, 9.514), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]]
    )
    assert not same_connectivity(rutile, anatase)
    wide = MADE("P4_2/mnm", Lattice.tetragonal(6.3, 4.2), ["Ca", "Cl"], [[0, 0, 0], [0.3, 0.3, 0]])
    turned = MADE(
        "Pnnm", Lattice.orthorhombic(6.24, 6.43, 4.2), ["Ca", "Cl"], [[0, 0, 0], [0.275, 0.325, 0]]
    )
    assert same_connectivity(wide, turned)
    baddeleyite = MADE(
        "P2_1/c",
        Lattice.monoclinic(5.169, 5.232, 5.341, 99.25),
        ["Zr", "O", "O"],
        [[0.2758, 0.0411, 0.2082], [0.0703, 0.3359, 0.3406], [0.4423, -0.2549, 0.4789]],
    )
    fluorite = MADE("Fm-3m", Lattice.cubic(5.07), ["Zr", "O"], [[0, 0, 0], [0.25] * 3])
    assert not same_connectivity(fluorite, baddeleyite)


def test_anions_in_the_middle_count_as_well():
    anti = Structure(
        Lattice.cubic(3.91),
        ["Cl-", "O2-", "Li+", "Li+", "Li+"],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )
    moved = anti.copy()
    moved.perturb(0.15, seed=1)
    assert same_connectivity(anti, moved)
    gone = anti.copy()
    gone.translate_sites([2], [0, 0, 0.2])
    assert not same_connectivity(anti, gone)


def test_an_atom_that_left_its_octahedron_tells():
    parent = cubic(("Ca", "Ti", "O"))
    cell = parent * (2, 2, 2)
    assert same_connectivity(parent, cell)
    oxygen = next(k for k, site in enumerate(cell) if site.specie.symbol == "O")
    cell.translate_sites([oxygen], [0.2, 0.16, 0.12])
    assert not same_connectivity(parent, cell)


def test_another_composition_is_another_crystal():
    assert not same_connectivity(cubic(("Ca", "Ti", "O")), cubic(("Sr", "Ti", "O")))
