import math
from collections import Counter

import pytest
from pymatgen.core.lattice import Lattice
from pymatgen.core.structure import Structure

from smoacs.errors import InputError
from smoacs.templates import TEMPLATE_NAMES, build_template, from_structure, template_rows

SALT = "salt\n1.0\n4 0 0\n0 4 0\n0 0 4\n{}1 1\nDirect\n0 0 0\n.5 .5 .5\n"


def test_perovskite_by_name():
    assert build_template("perovskite").n_sites == 5
    assert build_template("perovskite", repeat=2).n_sites == 40


def test_prototype_by_name():
    template = build_template("rutile", repeat=2, table={"Mg": (2,), "F": (-1,)})
    assert template.name == "rutile 2x2x2"
    assert template.n_sites == 48
    assert template.combination_names == ("A+2 X-1",)


@pytest.mark.parametrize("name", TEMPLATE_NAMES)
def test_the_list_of_templates_says_how_many_sites_each_has(name):
    row = next(row for row in template_rows() if row[0] == name)
    template = build_template(name)
    assert int(row[2]) == template.n_sites
    counts = Counter(template.site_labels)
    units = math.gcd(*counts.values())
    formula = "".join(f"{kind}{n // units if n > units else ''}" for kind, n in counts.items())
    assert row[1] == formula


@pytest.mark.parametrize("name", ["salt.cif", "POSCAR", "salt.json"])
def test_structure_files(tmp_path, name):
    path = tmp_path / name
    structure = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    structure.to(filename=str(path))
    template = build_template(str(path), repeat=2)
    assert template.name == f"{name} 2x2x2"
    assert template.combination_names == ("Na+1 Cl-1",)
    assert template.n_sites == 16


def test_unknown_name():
    with pytest.raises(InputError, match=r"'Perovskte' is neither .* did you mean 'perovskite'\?"):
        build_template("Perovskte")
    with pytest.raises(
        InputError, match=r"'zeolite.cif' is neither .* \(perovskite, .*chalcopyrite\)$"
    ):
        build_template("zeolite.cif")


def test_table_is_passed_on(tmp_path):
    (tmp_path / "POSCAR").write_text(SALT.format("Na Cl\n"))
    with pytest.raises(InputError, match="charges tried: Na none"):
        build_template(tmp_path / "POSCAR", table={"Cl": (-1,)})
    assert (
        build_template("perovskite", table={"Sr": (2,), "Ti": (4,), "O": (-2,)}).n_combinations == 1
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.cif", b"", "is empty"),
        ("junk.cif", b"hello\n", "junk.cif: is not a valid CIF"),
        ("binary.cif", bytes(range(128, 256)), "is not a valid CIF"),
        ("table.csv", b"1,2\n", "cannot be read as a crystal structure"),
        ("POSCAR", SALT.format("").encode(), "no line of elements .the format of VASP 4"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        build_template(str(tmp_path / name))


def test_missing_files_and_directories(tmp_path):
    with pytest.raises(InputError, match=r"missing.cif: no such file"):
        from_structure(tmp_path / "missing.cif")
    with pytest.raises(InputError, match="is a folder"):
        build_template(tmp_path)


@pytest.mark.parametrize(("name", "repeat", "most"), [("perovskite", 13, 12), ("rutile", 1000, 11)])
def test_a_cell_that_no_memory_holds_is_refused(name, repeat, most):
    with pytest.raises(InputError, match=f"repeat is at most {most} here"):
        build_template(name, repeat=repeat)
