"""POSCAR files: elements that are said, positions that are counted, scales of both signs."""

import pytest

from smoacs.errors import InputError
from smoacs.structures import SELECTIVE_DYNAMICS
from smoacs.structures.poscar import read_poscar

CELL = "0 2.106 2.106\n2.106 0 2.106\n2.106 2.106 0\n"
ATOMS = "1 1\nDirect\n0 0 0\n.5 .5 .5\n"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (f"x\n1.0\n{CELL}Mg O\n{ATOMS}", 0),
        (f"x\n1.0\n{CELL}Mg_pv/f474ac0d O_s\n{ATOMS}", 0),
        (f"x\n1 1 1\n{CELL}Mg O\n{ATOMS}", 0),
        (f"x\n-18.681\n{CELL}Mg O\n{ATOMS}", 0),
        (f"x\n-18.681\n{CELL}Mg O\n1 1\nCartesian\n0 0 0\n2.106 2.106 2.106\n", 0),
        (f"Mg O\n1.0\n{CELL}{ATOMS}", 1),
        (f"x\n1.0\n{CELL}1 1\nDirect\n0 0 0 Mg\n.5 .5 .5 O\n", 1),
        (f"x\n1.0\n{CELL}Mg O\n{ATOMS}\n0 0 0\n0 0 0\n", 0),
    ],
)
def test_magnesia_in_many_ways(text, notes):
    structure, said = read_poscar(text)
    assert structure.composition.formula == "Mg1 O1"
    assert structure.volume == pytest.approx(2 * 2.106**3, rel=1e-4)
    assert structure.get_distance(0, 1) == pytest.approx(2.106, rel=1e-4)
    assert len(said) == notes


def test_elements_on_several_lines():
    text = f"x\n1.0\n{CELL}Mg\nO\n1\n1\nDirect\n0 0 0\n.5 .5 .5\n"
    assert read_poscar(text)[0].composition.formula == "Mg1 O1"


def test_selective_dynamics_and_fluorine():
    text = f"x\n1.0\n{CELL}Mg F\n1 1\nSelective\nDirect\n0 0 0 T T F\n.5 .5 .5 F F F\n"
    structure, _ = read_poscar(text)
    assert structure.composition.formula == "Mg1 F1"
    held = structure.site_properties[SELECTIVE_DYNAMICS]
    assert held == [[True, True, False], [False, False, False]]
    with pytest.raises(InputError, match="no line of elements"):
        read_poscar(text.replace("Mg F\n", ""))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"MgO\n1.0\n{CELL}{ATOMS}", "no line of elements"),
        (f"x\n1.0\n{CELL}Mg O Ti\n{ATOMS}", "3 element symbols .* and 2 numbers"),
        (f"x\n1.0\n{CELL}Mg Q\n{ATOMS}", "'Q' in its line of elements"),
        (f"x\n1.0\n{CELL}Mg O\n1 1\nDirect\n0 0 0\n", "1 positions for 2 atoms"),
        (f"x\n1.0\n{CELL}Mg O\n{ATOMS}.25 .25 .25\n", "3 positions for 2 atoms"),
        (f"x\n1.0\n{CELL}Mg O\n1 1\n0 0 0\n.5 .5 .5\n", "must say Direct or Cartesian"),
        (f"x\n1 1 2\n{CELL}Mg O\n{ATOMS}", "must be one scale"),
        ("x\n1.0\n1 0 0\n2 0 0\n0 0 1\nMg O\n" + ATOMS, "enclose no volume"),
    ],
)
def test_one_sentence(text, words):
    with pytest.raises(InputError, match=words):
        read_poscar(text)
