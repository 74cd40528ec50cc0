"""The command line: outputs of the contract, exit codes, and one line for each mistake."""

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import ase
import ase.io
import pytest
import torch
from pymatgen.core import Lattice, Structure

import smoacs.runs
import smoacs.training
from smoacs.chemistry import ELEMENTS
from smoacs.cli import run
from smoacs.predictors.network import Network
from smoacs.predictors.network.settings import NetworkSettings
from smoacs.predictors.weights.header import WeightsHeader
from smoacs.predictors.weights.storage import save_weights
from smoacs.relaxation import Settled
from smoacs.search.gradient.search import GradientSearch
from smoacs.search.settling import rounds
from smoacs.templates import TEMPLATE_NAMES

SITES = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
EASY = ["-t", "density > 0.001"]
HOPELESS = ["-t", "density > 1000"]
SMALL = ["-n", "4", "--steps", "3", "--device", "cpu", "--rest", "symmetry"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny network that has learnt nothing."""
    torch.manual_seed(0)
    settings = NetworkSettings(
        channels=8, moment_channels=2, hidden=8, layers=1, radial=4, moment_radial=2
    )
    header = WeightsHeader(
        name="tiny",
        settings=settings,
        properties={"formation_energy": "eV/atom", "band_gap": "eV"},
        elements=ELEMENTS[:94],
        metrics={"band_gap": {"mae": 0.25, "n": 10}},
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    network = Network(settings, tuple(header.properties))
    save_weights(path, network, header, torch.zeros(1, dtype=torch.int64))
    return str(path)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory with a perovskite in it."""
    monkeypatch.chdir(tmp_path)
    srtio3().to(tmp_path / "SrTiO3.cif")
    return tmp_path


def srtio3() -> Structure:
    return Structure(Lattice.cubic(3.905), ["Sr", "Ti", "O", "O", "O"], SITES)


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


# design


def test_design_writes_a_run_and_says_what_came_out(here, weights, capsys):
    code = run(["design", "perovskite", *EASY, *SMALL, "--predictor", weights, "--out", "run"])
    captured = capsys.readouterr()
    assert code == 0
    assert captured.err.startswith("search by gradients: ")
    assert captured.err.count("\n") == 1
    summary = json.loads((here / "run" / "summary.json").read_text())
    assert summary["n"] == 4
    assert summary["config"]["rest"] == "symmetry"
    assert summary["config"]["search"] == "auto"
    assert summary["neutral_rate"] == 1
    assert summary["success_rate"] > 0
    results = rows((here / "run" / "results.csv").read_text())
    assert len(results) == 4
    assert results[0]["structure_file"] == f"structures/0001_{results[0]['formula']}.cif"
    assert (here / "run" / results[0]["structure_file"]).is_file()
    for words in ("of 4 candidates succeed", "density", "neutral", "predictor", "run"):
        assert words in captured.out


def test_a_design_at_a_minimum_leads_back_to_its_parent(here, weights, capsys, monkeypatch):
    def settle(structures, predictor=None, **_):
        del predictor
        ends = [None, *(s.make_supercell(2, in_place=False) for s in structures[1:])]
        return [
            Settled(
                structure=end,
                energy=-1.25,
                parent_energy=-1.0,
                lowest_frequency=0.5,
                parent_frequency=-1.0,
                parent_space_group=221,
                space_group=221,
                converged=True,
                failure="" if end else "falls to pieces",
            )
            for end in ends
        ]

    monkeypatch.setattr(rounds, "settle", settle)
    easy = [*EASY, "-n", "4", "--steps", "30", "--device", "cpu", "--rest", "minimum"]
    command = ["design", "perovskite", *easy, "--search", "gradient", "--predictor", weights]
    assert run([*command, "--site", "A=K,Rb,Cs", "--site", "X=F,Cl", "--out", "run"]) in {0, 1}
    assert "candidates were let go" in capsys.readouterr().out
    results = rows((here / "run" / "results.csv").read_text())
    assert {"lowest_frequency", "minimum", "space_group"} <= set(results[0])
    for row in results:
        assert (here / "run" / row["settled_from"]).is_file()
        assert (here / "run" / row["structure_file"]).is_file()
    (failed,) = [row for row in results if row["settling_failure"]]
    assert failed["settling_failure"] == "falls to pieces"
    assert (failed["minimum"], failed["success"], failed["n_atoms"]) == ("False", "False", "5")
    ended = next(row for row in results if not row["settling_failure"])
    assert float(ended["energy_gain"]) == 0.25
    assert (ended["minimum"], ended["n_atoms"]) == ("True", "40")
    assert run(["show", "run"]) == 0
    assert run(["show", "run", results[0]["id"]]) == 0


def test_a_terminal_shows_progress(here, weights, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    run(["design", "perovskite", *EASY, *SMALL, "--predictor", weights, "--out", "run"])
    captured = capsys.readouterr()
    assert "success" in captured.err
    assert "success 100%" not in captured.out


def test_a_run_repeats_from_its_config(here, weights):
    base = ["design", "perovskite", *EASY, *SMALL, "--predictor", weights, "--seed", "5"]
    assert run([*base, "--out", "run"]) == 0
    assert run(["design", "run/config.toml", "--out", "again"]) == 0
    assert run(["design", "run/config.toml", "--out", "other", "--seed", "6"]) == 0
    texts = [(here / name / "results.csv").read_text() for name in ("run", "again", "other")]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_judging_the_cif_files_of_a_run_gives_its_results(here, weights, capsys):
    options = ["--predictor", weights, "--device", "cpu"]
    run(["design", "perovskite", *EASY, *SMALL, "--predictor", weights, "--out", "run"])
    capsys.readouterr()
    results = rows((here / "run" / "results.csv").read_text())
    files = [f"run/{row['structure_file']}" for row in results]
    assert run(["judge", *files, *EASY, "--template", "perovskite", *options]) == 0
    judged = rows(capsys.readouterr().out)
    same = ("success", "formula", "neutral", "template_kept", "space_group", "oxidation_states")
    assert [[row[k] for k in same] for row in judged] == [[row[k] for k in same] for row in results]
    for key in ("band_gap", "density", "tolerance_factor", "min_distance"):
        expected = [float(row[key]) for row in results]
        assert [float(row[key]) for row in judged] == pytest.approx(expected, abs=1e-4)


def test_sites_keep_their_elements(here, weights):
    options = ["--site", "A=K,Rb", "--site", "X[0]=F", "--site", "X[1:3]=Cl,Br,O",
               "--forbid", "no-toxic"]  # fmt: skip
    base = ["design", "perovskite", *EASY, *SMALL, "--predictor", weights]
    assert run([*base, *options, "--out", "run"]) == 0
    assert run(["design", "run/config.toml", "--out", "again"]) == 0
    for name in ("run", "again"):
        files = sorted((here / name / "structures").glob("*.cif"))
        assert len(files) == 4
        for file in files:
            elements = [site.specie.symbol for site in Structure.from_file(file)]
            assert set(elements) & {"K", "Rb"}
            assert "F" in elements
            assert len(set(elements) & {"Cl", "Br", "O"}) in {1, 2}
            assert not set(elements) & {"Be", "As", "Cd", "Hg", "Tl", "Pb"}


def test_a_prototype_by_name(here, weights):
    command = ["design", "rutile", *EASY, *SMALL, "--predictor", weights, "--out", "run"]
    assert run([*command, "--site", "A=Ti,Zr", "--site", "X=O"]) == 0
    results = rows((here / "run" / "results.csv").read_text())
    assert {row["n_atoms"] for row in results} == {"6"}
    for row in results:
        assert re.fullmatch(r"TiO2|ZrO2|TiZrO4|ZrTiO4", row["formula"])


def test_no_success_gives_exit_code_1_and_results(here, weights):
    code = run(["design", "perovskite", *HOPELESS, *SMALL, "--predictor", weights, "--out", "run"])
    assert code == 1
    assert json.loads((here / "run" / "summary.json").read_text())["success_rate"] == 0


def test_force_replaces_a_run(here, weights):
    command = ["design", "perovskite", *EASY, *SMALL, "--predictor", weights, "--out", "run"]
    assert run(command) == 0
    assert run(command) == 2
    assert run([*command, "--seed", "1", "--force"]) == 0
    assert json.loads((here / "run" / "summary.json").read_text())["seed"] == 1


MISTAKES = {
    "unknown property": (
        ["design", "perovskite", "-t", "colour > 3"],
        r"colour.*band_gap",
    ),
    "unparsable target": (
        ["design", "perovskite", "-t", "a nice blue one"],
        r"a nice blue one.*band_gap = 2\.5 ± 0\.2",
    ),
    "low above high": (
        ["design", "perovskite", "-t", "2.7 <= band_gap <= 2.3"],
        r"2\.7.*2\.3",
    ),
    "no target": (["design", "perovskite"], r"at least one --target"),
    "n zero": (["design", "perovskite", *EASY, "-n", "0"], r"n = 0 is not right.*from 1 to"),
    "n text": (["design", "perovskite", *EASY, "-n", "ten"], r"'-n'.*int"),
    "preset": (["design", "perovskite", *EASY, "--preset", "best"], r"'default' or 'paper'"),
    "unknown template": (["design", "perovskit", *EASY], r"did you mean 'perovskite'"),
    "empty structure file": (["design", "empty.cif", *EASY], r"empty\.cif"),
    "damaged structure file": (["design", "damaged.cif", *EASY], r"damaged\.cif"),
    "no neutral combination": (["design", "metal.cif", *EASY], r"[Nn]o neutral.*Na.*Mg"),
    "no element left": (
        ["design", "perovskite", *EASY, "--forbid", "O,S,Se,Te,F,Cl,Br,I,N,P,As,Sb,H"],
        r"no element is left.*X",
    ),
    "unknown site": (["design", "perovskite", *EASY, "--site", "C=K"], r"site kind 'C'.*X \(3\)"),
    "site without elements": (
        ["design", "perovskite", *EASY, "--site", "A"],
        r"'A' is not.*A=K,Rb",
    ),
    "site twice": (
        ["design", "perovskite", *EASY, "--site", "A=K", "--site", "A=Rb"],
        r"sites\.A is given twice",
    ),
    "site against forbidden": (
        ["design", "perovskite", *EASY, "--site", "B=Pb", "--forbid", "no-toxic"],
        r"sites\.B = Pb and forbidden = no-toxic exclude each other",
    ),
    "site against elements": (
        ["design", "rutile", *EASY, "--site", "X=F", "--elements", "Ti,O,S"],
        r"'rutile': sites\.X = F and elements = O S Ti exclude each other",
    ),
    "unknown preset": (["design", "perovskite", *EASY, "--forbid", "toxic"], r"'no-toxic'"),
    "unknown element": (["design", "perovskite", *EASY, "--elements", "K,Mgg"], r"'Mgg'"),
    "unknown device": (["design", "perovskite", *EASY, "--device", "toaster"], r"toaster"),
    "unknown predictor": (["design", "perovskite", *EASY, "--predictor", "oracle"], r"oracle"),
    "missing toml": (["design", "none.toml"], r"none\.toml: no such file"),
    "unknown setting": (["design", "misspelt.toml"], r"did you mean 'targets'"),
    "out is a file": (["design", "perovskite", *EASY, "--out", "SrTiO3.cif"], r"is a file"),
    "out holds a run": (["design", "perovskite", *EASY, "--out", "old"], r"--force"),
    "out holds other files": (
        ["design", "perovskite", *EASY, "--out", "thesis", "--force"],
        r"not of a run",
    ),
    "out without parent": (["design", "perovskite", *EASY, "--out", "a/b"], r"mkdir -p"),
    "out not writable": (["design", "perovskite", *EASY, "--out", "/proc/run"], r"cannot be writ"),
    "misspelt option": (["design", "perovskite", *EASY, "--repeats", "2"], r"--repeat"),
    "misspelt command": (["desing", "perovskite"], r"'design'"),
    "judge without files": (["judge"], r"FILE"),
    "judge missing file": (["judge", "none.cif", *EASY], r"none\.cif: no such file"),
    "judge unknown property": (["judge", "SrTiO3.cif", "-t", "colour > 3"], r"colour.*band_gap"),
    "judge unknown template": (["judge", "SrTiO3.cif", "--template", "cube"], r"'cube'"),
    "predict empty file": (["predict", "empty.cif"], r"empty\.cif: the file is emp"),
    "predict damaged file": (["predict", "damaged.cif"], r"damaged\.cif: none of its blocks"),
    "predict strictly": (
        ["predict", "SrTiO3.cif", "damaged.cif", "--strict"],
        r"damaged\.cif: none",
    ),
    "predict to a folder": (["predict", "SrTiO3.cif", "--out", "old"], r"is a folder"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_one_line_and_leaves_nothing(name, here, weights, capsys):
    arguments, message = MISTAKES[name]
    (here / "empty.cif").write_text("")
    (here / "damaged.cif").write_text("data_x\n_cell_length_a 4\n")
    Structure(Lattice.cubic(4), ["Na", "Mg"], SITES[:2]).to(here / "metal.cif")
    (here / "misspelt.toml").write_text('target = ["density > 0"]\n')
    for folder, file in (("old", ".smoacs-run"), ("thesis", "chapter.tex")):
        (here / folder).mkdir()
        (here / folder / file).write_text("")
    command = arguments[0]
    if command == "design" and "--out" not in arguments:
        arguments = [*arguments, "--out", "run"]
    if command != "desing" and "--predictor" not in arguments:
        arguments = [*arguments, "--predictor", weights]
    before = listing(here)
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"smoacs: error: [^\n]+\n", captured.err)
    assert re.search(message, captured.err)
    assert listing(here) == before


# judge, predict, predictors, train


def test_judge_prints_a_verdict_for_each_structure(here, weights, capsys):
    frames = [
        ase.Atoms("SrTiO3", scaled_positions=SITES, cell=[a, a, a], pbc=True) for a in (3.9, 30.0)
    ]
    ase.io.write(here / "two.extxyz", frames, format="extxyz")
    targets = ["-t", "density > 1", "-t", "0.8 <= tolerance_factor <= 1.1"]
    code = run(["judge", "SrTiO3.cif", "two.extxyz", *targets, "--template", "perovskite",
                "--predictor", weights, "--device", "cpu"])  # fmt: skip
    judged = rows(capsys.readouterr().out)
    assert code == 0
    assert [(row["file"], row["index"]) for row in judged] == [
        ("SrTiO3.cif", "0"),
        ("two.extxyz", "0"),
        ("two.extxyz", "1"),
    ]
    assert [row["success"] for row in judged] == ["True", "True", "False"]
    assert [row["template_kept"] for row in judged] == ["True"] * 3
    assert [row["unique"] for row in judged] == ["True", "False", "False"]


def test_judge_names_the_rule_that_is_broken(here, weights, capsys):
    (here / "rules.toml").write_text(
        'targets = ["density > 1"]\nsites = { A = "K Sr" }\nlattice = { a = [3.8, 4.0] }\n'
    )
    base = ["judge", "SrTiO3.cif", "--predictor", weights, "--device", "cpu"]
    assert run([*base, "--rules", "rules.toml"]) == 0
    row = rows(capsys.readouterr().out)[0]
    assert (row["rules"], row["rule_broken"], row["success"]) == ("True", "", "True")
    assert run([*base, "--rules", "rules.toml", "--site", "A=K"]) == 0
    row = rows(capsys.readouterr().out)[0]
    assert (row["rules"], row["success"]) == ("False", "False")
    assert row["rule_broken"] == "sites.A = K: there is Sr"
    assert run([*base, "--forbid", "no-toxic", "--count", "O=4"]) == 0
    assert rows(capsys.readouterr().out)[0]["rule_broken"] == "counts.O = 4: there are 3"


def test_predict_writes_csv(here, weights, capsys):
    assert run(["predict", "SrTiO3.cif", "--predictor", weights, "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("file,index,formula,formation_energy,band_gap,")
    row = rows(text)[0]
    assert (row["file"], row["index"], row["formula"]) == ("SrTiO3.cif", "0", "SrTiO3")
    assert float(row["density"]) == pytest.approx(5.12, abs=0.01)  # 183.49 Da in 59.55 Å³
    assert run(["predict", "SrTiO3.cif", "--predictor", weights, "--out", "table.csv"]) == 0
    assert capsys.readouterr().out == ""
    assert (here / "table.csv").read_text() == text


def test_predictors_lists_properties_and_errors(weights, capsys, monkeypatch):
    monkeypatch.setattr("smoacs.predictors.installed_predictors", lambda: [weights])
    assert run(["predictors"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    sizes = ["cutoff (Å)", "elements", "scale"]
    assert lines[0] == ["predictor", "property", "unit", "error (MAE)", *sizes]
    assert [weights, "band_gap", "eV", "0.25", "5", "94", ""] in lines
    assert any(line[1] == "tolerance_factor" for line in lines)


def test_templates_lists_formula_sites_and_reference(capsys):
    assert run(["templates"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:5] == ["template", "formula", "sites", "space group", "reference"]
    assert [line[0] for line in lines[1:]] == list(TEMPLATE_NAMES)
    assert ["spinel", "AB2X4", "14", "Fd-3m", "MgAl2O4"] in [line[:5] for line in lines]
    assert all(len(line) == 6 for line in lines)


def test_train_hands_over_the_file(monkeypatch):
    seen = []
    monkeypatch.setattr(smoacs.training, "train_from_config", seen.append, raising=False)
    assert run(["train", "training.toml"]) == 0
    assert seen == [Path("training.toml")]


# failures that are nobody's mistake, and help


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 3, "smoacs: error: out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), 3, "smoacs: error: out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 3, "out of memory"),
        (OSError(28, "No space left on device"), 3, "smoacs: error: the disk is full"),
        (PermissionError(13, "Permission denied", "x.csv"), 2, "x.csv: Permission denied"),
        (KeyboardInterrupt(), 130, "smoacs: interrupted"),
    ],
)
def test_failures_have_their_exit_codes(error, code, message, here, capsys, monkeypatch):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(smoacs.runs, "execute", fail)
    assert run(["design", "perovskite", *EASY, "--out", "run"]) == code
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert listing(here) == ["SrTiO3.cif"]


def test_a_bug_keeps_its_traceback(here, monkeypatch):
    def fail(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(smoacs.runs, "execute", fail)
    with pytest.raises(ZeroDivisionError):
        run(["design", "perovskite", *EASY, "--out", "run"])


@pytest.mark.parametrize(
    "command", ["design", "judge", "predict", "train", "predictors", "templates", "resume"]
)
def test_help_holds_an_example_that_parses(command, capsys):
    assert run([command, "--help"]) == 0
    text = capsys.readouterr().out
    examples = [line.strip() for line in text.splitlines() if line.startswith("    smoacs ")]
    examples += [line.strip() for line in text.splitlines() if line.startswith("  smoacs ")]
    assert examples
    assert all(shlex.split(example)[1] == command for example in set(examples))


def modules_loaded_by(command: str) -> set[str]:
    """Modules that are there after a command, in a process of its own."""
    code = f"import sys; from smoacs.cli import run; run({command}); print(*sys.modules)"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    finished = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert finished.returncode == 0, finished.stderr
    return set(finished.stdout.splitlines()[-1].split())


def test_which_search_it_is_is_said_before_it_begins_and_once(tmp_path, monkeypatch, capfd):
    said = []

    def begun(*_args, **_kwargs):
        said.append(capfd.readouterr().err)
        return anneal_begins(*_args, **_kwargs)

    anneal_begins = GradientSearch.run
    monkeypatch.setattr(GradientSearch, "run", begun)
    arguments = [
        "-n",
        "2",
        "--steps",
        "2",
        "-t",
        "band_gap = 2.5 +- 0.2",
        "--rest",
        "symmetry",
        "--out",
        str(tmp_path / "r"),
    ]
    assert run(["design", "perovskite", *arguments]) in {0, 1}
    assert "does not fit into the budget of 2 × 2 predictor calls" in said[0]
    assert "does not fit" not in capfd.readouterr().err


def test_help_is_quick_and_imports_nothing_heavy():
    assert not {"torch", "pymatgen", "pandas"} & modules_loaded_by("[]")


def test_predict_and_show_import_no_library_that_they_do_not_use(tmp_path):
    file = tmp_path / "NaCl.cif"
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    salt.to(filename=str(file))
    unused = {
        "matplotlib",
        "torch._dynamo",
        "pymatgen.io.vasp",
        "pymatgen.analysis.bond_valence",
        "pymatgen.analysis.prototypes",
        "smact.screening",
    }
    for command in (["predict", str(file)], ["show", str(tmp_path)]):
        loaded = modules_loaded_by(repr(command))
        assert "torch" in loaded
        assert not unused & loaded
