"""Seeds from folders, frames and tables; a damaged one costs itself only."""

import ase.io
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.io.ase import AseAtomsAdaptor
from pymatgen.io.cif import CifWriter

from smoacs.errors import InputError
from smoacs.templates import is_seed_source, reference_structure, seed_templates
from smoacs.training.layout import layout_row

GOOD = str(CifWriter(reference_structure("rutile")))
ATOMS = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"


def cif(cell="4 4 4 90 90 90", sites="Na 0 0 0\nCl 0.5 0.5 0.5\n", loop=ATOMS):
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    values = "".join(f"_cell_{n} {v}\n" for n, v in zip(names, cell.split(), strict=True))
    return f"data_x\n{values}{loop}{sites}"


DAMAGED = {
    "truncated": GOOD[: GOOD.index("_atom_site_type_symbol")].encode(),
    "cut in a row": GOOD[:-12].encode(),
    "binary": bytes(range(256)) * 8,
    "empty": b"",
    "only spaces": b" \n\n ",
    "zero cell": cif("0 4 4 90 90 90").encode(),
    "flat cell": cif("4 4 4 30 30 150").encode(),
    "tiny cell": cif("0.1 0.1 0.1 90 90 90").encode(),
    "nan length": cif("nan 4 4 90 90 90").encode(),
    "infinite length": cif("inf 4 4 90 90 90").encode(),
    "negative length": cif("-4 4 4 90 90 90").encode(),
    "angle that is none": cif("4 4 4 90 90 200").encode(),
    "nan coordinates": cif(sites="Na nan 0 0\nCl 0.5 0.5 0.5\n").encode(),
    "text for a coordinate": cif(sites="Na here 0 0\nCl 0.5 0.5 0.5\n").encode(),
    "unknown element": cif(sites="Xx 0 0 0\nCl 0.5 0.5 0.5\n").encode(),
    "missing loop": cif(sites="", loop="").encode(),
    "missing column": cif(loop=ATOMS.replace("_atom_site_fract_z\n", "")).encode(),
    "overlapping atoms": cif(sites="Na 0 0 0\nCl 0.02 0 0\n").encode(),
    "no neutral charges": cif(sites="Na 0 0 0\nK 0.5 0.5 0.5\n").encode(),
    "no cell": GOOD.replace("_cell_length_a", "_cell_width").encode(),
    "html page": b"<html><body>404: not found</body></html>",
}


def found(source, **changes):
    asked = {"repeat": 1, "limit": 100, "seed": 0, "restrict": lambda template: template}
    return seed_templates(source, **(asked | changes))


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_costs_that_file_only(damage, tmp_path):
    (tmp_path / "good.cif").write_text(GOOD, encoding="utf-8")
    (tmp_path / "bad.cif").write_bytes(DAMAGED[damage])
    seeds = found(tmp_path)
    assert [template.name for template in seeds.templates] == ["good.cif"]
    (reason,) = seeds.skipped
    assert "bad.cif" in reason
    assert "\n" not in reason


def test_many_damaged_files_among_good_ones(tmp_path):
    for number, content in enumerate(DAMAGED.values()):
        (tmp_path / f"{number:02d}.cif").write_bytes(content)
    (tmp_path / "folder.cif").mkdir()
    (tmp_path / "notes.txt").write_text("not a structure", encoding="utf-8")
    (tmp_path / "z.cif").write_text(GOOD, encoding="utf-8")
    reference_structure("spinel").to(filename=str(tmp_path / "POSCAR"), fmt="poscar")
    seeds = found(tmp_path)
    assert sorted(template.name for template in seeds.templates) == ["POSCAR", "z.cif"]
    assert len(seeds.skipped) == len(DAMAGED) + 1


def test_if_none_is_usable_the_error_says_why(tmp_path):
    (tmp_path / "a.cif").write_bytes(b"")
    (tmp_path / "b.cif").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"none of the seeds .*a\.cif: the file is empty.*1 more"):
        found(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match="no structure file"):
        found(tmp_path / "sub")


def test_frames_are_seeds(tmp_path):
    frames = [
        AseAtomsAdaptor.get_atoms(reference_structure(name)) for name in ("rutile", "rock-salt")
    ]
    ase.io.write(tmp_path / "frames.extxyz", frames)
    assert is_seed_source(tmp_path / "frames.extxyz")
    names = [template.name for template in found(tmp_path / "frames.extxyz").templates]
    assert names == ["frames.extxyz[0]", "frames.extxyz[1]"]


def test_rows_of_the_training_layout_are_seeds_and_bad_rows_are_left_out(tmp_path):
    names = ("rutile", "rock-salt", "spinel")
    rows = [layout_row(reference_structure(name)) | {"material_id": name} for name in names]
    rows[1]["numbers"] = rows[1]["numbers"] * 0
    pd.DataFrame(rows).to_parquet(tmp_path / "data.parquet")
    seeds = found(tmp_path / "data.parquet")
    assert [t.name for t in seeds.templates] == ["data.parquet[rutile]", "data.parquet[spinel]"]
    assert "rock-salt" in seeds.skipped[0]
    assert "no atomic number" in seeds.skipped[0]


def test_a_csv_with_cif_texts_holds_seeds(tmp_path):
    pd.DataFrame({"name": ["good", "bad"], "cif": [GOOD, "data_"]}).to_csv(tmp_path / "s.csv")
    seeds = found(tmp_path / "s.csv")
    assert [template.name for template in seeds.templates] == ["s.csv[good]"]
    assert len(seeds.skipped) == 1
    pd.DataFrame({"formula": ["TiO2"]}).to_csv(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"neither the columns numbers, .* nor a column cif"):
        found(tmp_path / "t.csv")


def test_of_more_seeds_than_candidates_some_are_drawn_by_the_seed():
    rutile = reference_structure("rutile")
    many = [rutile.copy().scale_lattice(rutile.volume * (1 + 0.01 * i)) for i in range(9)]
    first = [template.name for template in found(many, limit=3).templates]
    assert first == [template.name for template in found(many, limit=3).templates]
    assert first != [template.name for template in found(many, limit=3, seed=1).templates]
    assert len(found(many).templates) == 9


def test_a_seed_that_a_constraint_rules_out_is_left_out():
    salt = Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    seeds = found(
        [salt, reference_structure("rutile")],
        restrict=lambda template: template.with_elements(allowed={"Na", "Cl"}),
    )
    assert len(seeds.templates) == 1
    assert "seed 1" in seeds.skipped[0]
