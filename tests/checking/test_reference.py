"""References of every kind, and an OPTIMADE server on this machine."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import ase.db
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from pymatgen.core import Lattice, Structure

from smoacs.checking import novelty_table, optimade, read_reference
from smoacs.errors import InputError, ResourceError
from toys import PEROVSKITE_SITES
from toys import perovskite_crystal as perovskite

LAYERED = Structure(
    Lattice.tetragonal(3, 9), ["K", "Mg", "F", "F", "F"], [[0, 0, z / 5] for z in range(5)]
)
"""KMgF3 in another structure."""


def designs():
    return [perovskite(length=4.1), perovskite(("Na+", "Mg2+", "F-", "F-", "F-"))]


def compare(source, structures=None):
    structures = designs() if structures is None else structures
    reference = read_reference(str(source), [s.reduced_formula for s in structures])
    return novelty_table(structures, reference)


def bare(structure):
    return structure.copy().remove_oxidation_states()


def layout(structure):
    return {
        "material_id": "mp-1",
        "numbers": [site.specie.Z for site in structure],
        "frac_coords": structure.frac_coords.ravel().tolist(),
        "lattice": list(structure.lattice.parameters),
    }


def write_json_structures(path):
    path.write_text(json.dumps({"mp-1": perovskite().as_dict(), "mp-2": LAYERED.as_dict()}))


def write_json_entries(path):
    path.write_text(json.dumps([{"material_id": "mp-1", "structure": perovskite().as_dict()}]))


def write_json_rows(path):
    path.write_text(json.dumps([layout(perovskite())]))


def write_csv(path):
    row = {k: json.dumps(v) if isinstance(v, list) else v for k, v in layout(perovskite()).items()}
    pd.DataFrame([row]).to_csv(path, index=False)


def write_parquet(path):
    pd.DataFrame([layout(perovskite())]).to_parquet(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.json", write_json_structures),
        ("b.json", write_json_entries),
        ("c.json", write_json_rows),
        ("d.csv", write_csv),
        ("e.parquet", write_parquet),
    ],
)
def test_structures_of_a_file(tmp_path, name, write):
    write(tmp_path / name)
    table = compare(tmp_path / name)
    assert table["known_formula_in_reference"].tolist() == [True, False]
    assert table["known_structure"].tolist() == [True, False]
    assert table["reference_id"].tolist() == ["mp-1", ""]


def test_another_structure_of_the_same_formula(tmp_path):
    path = tmp_path / "known.json"
    path.write_text(json.dumps({"layered": LAYERED.as_dict()}))
    table = compare(path)
    assert table["known_formula_in_reference"].tolist() == [True, False]
    assert table["known_structure"].tolist() == [False, False]
    assert table["reference_id"][0] == "layered"


def test_structure_files_and_folders_of_them(tmp_path):
    """A CIF in its conventional cell, and beside it a file that is none."""
    known = designs()[0].copy()
    known.remove_oxidation_states()
    known.make_supercell([1, 1, 2])
    known.to(str(tmp_path / "known.cif"))
    first = compare(str(tmp_path / "known.cif")).iloc[0]
    assert first["known_structure"]
    assert first["reference_id"] == "known.cif[0]"
    (tmp_path / "bad.cif").write_text("data_x")
    assert compare(str(tmp_path)).iloc[0]["known_structure"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("f.json", '["MgKF3", "SrTiO3"]'), ("g.csv", "formula,id\nF6K2Mg2,7\nNaN,8\n")],
)
def test_formulas_alone_leave_the_structure_open(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    table = compare(path)
    assert table["known_formula_in_reference"].tolist() == [True, False]
    assert table["known_structure"].tolist() == [None, False]
    assert read_reference(str(path), ["KMgF3"]).size == 2


def test_an_ase_database(tmp_path):
    path = tmp_path / "known.db"
    with ase.db.connect(path) as database:
        database.write(Atoms("KMgF3", scaled_positions=PEROVSKITE_SITES, cell=[4, 4, 4], pbc=True))
    table = compare(path)
    assert table["known_structure"].tolist() == [True, False]
    assert table["reference_id"][0] == "1"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.json", None, "no such file"),
        ("gone.db", None, "no such file"),
        ("known.xlsx", "", r"known\.xlsx: the file is empty.*or a structure file"),
        ("empty.json", "[]", "holds no structure and no formula"),
        ("broken.json", "{", "cannot be read as a reference"),
        ("empty.csv", "", "cannot be read as a reference"),
        ("empty.parquet", "", "cannot be read as a reference"),
        ("number.json", "3", "cannot be read as a reference"),
        ("table.csv", "a,b\n1,2\n", "neither a column 'formula' nor the columns numbers"),
        ("words.json", '["not a compound!"]', "no chemical formula"),
    ],
)
def test_what_is_no_reference(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=message):
        compare(path)


@pytest.mark.parametrize(
    ("formula", "reduced"),
    [("KMgF3", "F3KMg"), ("Hg2Cl2", "ClHg"), ("O2", "O"), ("SrTiO3", "O3SrTi")],
)
def test_formulas_as_optimade_has_them(formula, reduced):
    assert optimade._alphabetical(formula) == reduced


def entry(number, structure, *, disordered=False):
    names = [site.specie.symbol for site in structure]
    return {
        "id": f"entry-{number}",
        "type": "structures",
        "attributes": {
            "chemical_formula_reduced": "F3KMg",
            "lattice_vectors": structure.lattice.matrix.tolist(),
            "cartesian_site_positions": structure.cart_coords.tolist(),
            "species_at_sites": names,
            "species": [
                {
                    "name": name,
                    "chemical_symbols": [name, "Rb"] if disordered else [name],
                    "concentration": [0.5, 0.5] if disordered else [1.0],
                }
                for name in sorted(set(names))
            ],
        },
    }


class Server(BaseHTTPRequestHandler):
    """Two pages of compounds, for whoever asks for KMgF3."""

    queries = []  # noqa: RUF012 - of all requests

    def do_GET(self):
        url = urlparse(self.path)
        query = parse_qs(url.query)
        if url.path.startswith(("/broken", "/busy", "/page")):
            self.send_response({"r": 500, "u": 429, "a": 200}[url.path[2]])
            self.end_headers()
            self.wfile.write(b"<html>" + b"come again " * 1000 + b"</html>")
            return
        self.queries.append(query["filter"][0])
        second = "page_offset" in query
        pages = [
            [entry(0, LAYERED), entry(1, bare(perovskite()), disordered=True)],
            [entry(2, bare(perovskite(length=4.05)))],
        ]
        host, port = self.server.server_address
        following = f"http://{host}:{port}{self.path}&page_offset=2"
        answer = {
            "data": pages[second] if "F3KMg" in query["filter"][0] else [],
            "meta": {"data_returned": 3, "data_available": 3, "more_data_available": not second},
            "links": {"next": None if second else following},
        }
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    pytest.importorskip("optimade.client")
    Server.queries.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("version", ["", "/v1", "/v1/", "/v1.2"])
def test_an_optimade_server(server, version):
    table = compare(server + version)
    assert table["known_formula_in_reference"].tolist() == [True, False]
    assert table["known_structure"].tolist() == [True, False]
    assert table["reference_id"].tolist() == ["entry-2", ""]
    assert 'chemical_formula_reduced="F3KMg"' in Server.queries[0]
    assert 'chemical_formula_reduced="F3MgNa"' in Server.queries[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("broken", "it answers with the status 500"),
        ("busy", "it is asked too often; try again later"),
        ("page", "its answer is not that of an OPTIMADE server"),
    ],
)
def test_an_optimade_server_that_fails_is_one_short_sentence(
    server, folder, why, monkeypatch, capfd
):
    monkeypatch.setattr(optimade, "_WAIT", 0.01)
    with pytest.raises(ResourceError) as error:
        compare(f"{server}/{folder}/v1")
    assert str(error.value) == f"{server}/{folder}/v1: the OPTIMADE server failed: {why}"
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore")
def test_an_optimade_server_that_is_not_there():
    pytest.importorskip("optimade.client")
    with pytest.raises(ResourceError, match=r"failed: it cannot be reached$"):
        compare("http://127.0.0.1:9")


def test_a_broken_design_is_never_a_known_structure(tmp_path):
    path = tmp_path / "known.json"
    write_json_structures(path)
    broken = perovskite()
    broken.translate_sites([0], np.array([0.5, 0.5, 0.499]))
    assert compare(path, [broken])["known_structure"].tolist() == [False]
