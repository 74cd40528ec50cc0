"""A run directory from somebody who means harm: nothing runs, leaves the folder or calculates."""

import ast
import csv
import json

import pandas as pd
import pytest

from smoacs.errors import InputError
from smoacs.export import FORMATS, export_designs
from smoacs.export.safe import file_name, title, without_formulas

CODE = '"""\nimport os; os.system("touch ran")\n"""'
IDS = (
    CODE,
    "'''\nimport os\n'''",
    "../../x",
    "/etc/x",
    "..",
    ".",
    "=cmd|' /C calc'!A0",
    "\\",
    "\0",
    "a\n/",
)


@pytest.fixture
def hostile(folder):
    """Writes another id of the first candidate into a run, and a formula into an added column."""
    file = folder / "results.csv"

    def write(identity):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        table.loc[0, "id"] = identity
        table["note"] = "=HYPERLINK(1)"
        table.to_csv(file, index=False)
        return folder

    return write


@pytest.mark.parametrize(
    ("identity", "to"),
    [*((i, "gpaw") for i in IDS), *((i, to) for i in (CODE, "../../x") for to in FORMATS[:2])],
)
def test_an_id_is_no_code_and_no_path(identity, to, hostile, tmp_path):
    run = hostile(identity)
    before = sorted(path.name for path in tmp_path.iterdir())
    try:
        written = export_designs(run, to, everything=True, limit=1)
    except InputError:
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        return
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, written.name])
    for script in written.rglob("*.py"):
        code = ast.parse(script.read_text())
        modules = {n.module for n in ast.walk(code) if isinstance(n, ast.ImportFrom)}
        assert not any(isinstance(node, ast.Import) for node in ast.walk(code))
        assert {module.split(".")[0] for module in modules} == {"ase", "gpaw"}


def test_cells_are_no_formulas(hostile):
    written = export_designs(hostile("0001"), "cif")
    with (written / "designs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["note"] for row in rows} == {"'=HYPERLINK(1)"}
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "@"))]


def test_numbers_stay_numbers():
    table = pd.DataFrame({"a": ["-1.5", "+2", "-x", "@x", "x=1"], "b": [-1.0, 2.0, -3.0, 4.0, 5.0]})
    safe = without_formulas(table)
    assert safe["a"].tolist() == ["-1.5", "+2", "'-x", "'@x", "x=1"]
    assert safe["b"].tolist() == table["b"].tolist()


@pytest.mark.parametrize("text", [*IDS, "", "-rf", "x" * 5_000])
def test_names_and_titles_hold_nothing_that_means_something(text):
    name = file_name(text)
    assert 0 < len(name) <= 120
    assert not set(name) & set("/\\'\"\n\0|= ")
    assert not name.startswith((".", "-"))
    assert not set(title(text)) & set("\\'\"\n\0|=")


@pytest.mark.parametrize("name", ["Sr.upf\n/\n&control", "../Sr.upf", "S'r.upf", "S r.upf"])
def test_the_table_of_a_library_adds_no_lines_to_an_input(name, folder, tmp_path):
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    row = {"filename": name, "cutoff_wfc": 30, "cutoff_rho": 240}
    (pseudo / "SSSP_1.json").write_text(json.dumps({"Sr": row}))
    with pytest.raises(InputError, match="is no name of a file that pw"):
        export_designs(folder, "qe", pseudo_dir=pseudo)
