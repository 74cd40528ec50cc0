import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from smoacs.chemistry import ELEMENTS, element_index, ionic_radius, oxidation_table
from smoacs.errors import InputError
from smoacs.templates import perovskite

COORDINATION = {"A": 12, "B": 6, "X": 6}


def strontium_titanate(repeat=1):
    template = perovskite(repeat)
    return template.to_structure(
        [{"A": "Sr", "B": "Ti", "X": "O"}[s] for s in template.site_labels]
    )


def test_bond_lengths_are_those_of_strontium_titanate():
    structure = strontium_titanate()
    a = 3.905
    strontium = [n.nn_distance for n in structure.get_neighbors(structure[0], 2.9)]
    titanium = [n.nn_distance for n in structure.get_neighbors(structure[1], 2.9)]
    assert titanium == pytest.approx([a / 2] * 6)  # 1.9525 Å
    assert strontium == pytest.approx([a / np.sqrt(2)] * 12)  # 2.761 Å
    assert {
        n.specie.symbol for site in structure[:2] for n in structure.get_neighbors(site, 2.9)
    } == {"O"}


@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_supercell_is_that_of_pymatgen(repeat):
    ours = strontium_titanate(repeat)
    theirs = strontium_titanate().make_supercell([repeat] * 3)
    assert len(ours) == 5 * repeat**3
    assert ours.lattice.abc == pytest.approx(theirs.lattice.abc)
    distances = ours.lattice.get_all_distances(ours.frac_coords, theirs.frac_coords)
    partner = distances.argmin(axis=1)
    assert distances.min(axis=1).max() < 1e-8
    assert sorted(partner) == list(range(len(ours)))
    assert [site.specie for site in ours] == [theirs[i].specie for i in partner]
    assert StructureMatcher(scale=False).fit(ours, strontium_titanate())


@pytest.mark.parametrize("repeat", [1, 3])
def test_sites_go_kind_by_kind(repeat):
    template = perovskite(repeat)
    cells = repeat**3
    assert template.site_labels == ("A",) * cells + ("B",) * cells + ("X",) * 3 * cells
    assert template.roles.tolist() == [0] * cells + [1] * cells + [2] * 3 * cells


def test_bounds_and_box():
    unit, triple = perovskite(), perovskite(3)
    assert unit.length_bounds.tolist() == [[2.0] * 3, [10.0] * 3]
    assert triple.length_bounds.tolist() == [[6.0] * 3, [30.0] * 3]
    assert (unit.angle_bounds == 90.0).all()
    assert (unit.coord_box == 0.15).all()
    assert (triple.coord_box == 0.05).all()
    assert unit.random_lengths


def test_allowed_elements_take_the_charge_and_have_the_radius():
    template, table = perovskite(), oxidation_table()
    for k in range(template.n_combinations):
        for site, label in enumerate(template.site_labels):
            charge = int(template.combinations[k, site])
            for e, symbol in enumerate(ELEMENTS):
                radius = ionic_radius(symbol, charge, COORDINATION[label])
                allowed = charge in table.get(symbol, ()) and radius is not None
                assert template.allowed[k, site, e] == allowed
                assert template.radii[k, site, e] == pytest.approx(radius if allowed else 0.0)


def test_numbers_of_elements():
    template = perovskite().with_elements()
    assert template.combination_names == (
        "A+1 B+2 X-1",
        "A+2 B+4 X-2",
        "A+3 B+3 X-2",
        "A+1 B+5 X-2",
    )
    assert template.allowed[:, [0, 1, 2]].sum(axis=2).tolist() == [
        [8, 18, 4],
        [17, 19, 4],
        [32, 32, 4],
        [8, 9, 4],
    ]
    assert not template.allowed[:, :, element_index("H")].any()


def test_a_thousand_atoms():
    template = perovskite(6)
    assert template.n_sites == 1080
    assert template.allowed.shape == (4, 1080, 98)
    assert (template.combinations.sum(axis=1, dtype=int) == 0).all()


def test_paper_combinations():
    template = perovskite(charges=((1, 2, -1), (2, 4, -2)))
    assert template.combination_names == ("A+1 B+2 X-1", "A+2 B+4 X-2")


def test_combinations_without_elements_are_dropped():
    template = perovskite(table={"Sr": (2,), "Ti": (4,), "O": (-2,)})
    assert template.combination_names == ("A+2 B+4 X-2",)


def test_errors():
    with pytest.raises(InputError, match=r"no neutral combination: A\+1 B\+4 X-2 in ABX3"):
        perovskite(charges=((2, 4, -2), (1, 4, -2)))
    with pytest.raises(InputError, match=r"under any of: A\+1 B\+2 X-1, "):
        perovskite(table={"Sr": (2,)})
    with pytest.raises(InputError, match="under any of"):
        perovskite(charges=((9, -3, -2),))
    with pytest.raises(InputError, match="at least one"):
        perovskite(charges=())
    with pytest.raises(InputError, match="repeat is 0"):
        perovskite(0)
