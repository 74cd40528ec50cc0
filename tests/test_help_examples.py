"""The example at the end of each command's --help works when it is pasted."""

import os
import re
import subprocess
import sysconfig
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
import typer.testing
from pymatgen.core import Lattice, Structure

from smoacs.cli import app

COMMANDS = typer.main.get_command(app).commands
HOURS = {"learn"}  # calculates for hours; its own tests run it with a fake engine
TRAINING = """
name = "mine"
out = "mine.safetensors"
data = ["crystals.parquet"]
properties = ["formation_energy"]
epochs = 1
members = 1
device = "cpu"
network = { channels = 8, moment_channels = 2, hidden = 8, layers = 1 }
"""


def _examples(command):
    """Lines after "For example:" of a command's help, in order."""
    text = typer.testing.CliRunner().invoke(app, [command, "--help"], prog_name="smoacs").output
    _, _, end = text.partition("For example:")
    return re.findall(r"^\s+(smoacs .*)$", end, re.MULTILINE)


def _missing_extra(command, example):
    if "--dft gpaw" in example:
        return None if find_spec("gpaw") else "gpaw"
    if command == "check":
        return None if find_spec("chgnet") else "chgnet"
    return None


def _paste(example, folder):
    environment = os.environ | {
        "PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(  # noqa: S603 - our own examples, as a user's shell takes them
        ["/bin/bash", "-c", example],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )


DISORDERED = """data_mixed
_cell_length_a 3.95
_cell_length_b 3.95
_cell_length_c 3.95
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Sr1 Sr 0 0 0 0.5
Ba1 Ba 0 0 0 0.5
Ti1 Ti 0.5 0.5 0.5 1
O1 O 0.5 0.5 0 1
"""


def _write_inputs(folder):
    """Files that the examples name."""
    titanate = Structure.from_spacegroup(
        "Pm-3m",
        Lattice.cubic(3.95),
        ["Sr", "Ti", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]],
    )
    titanate.to(filename=str(folder / "SrTiO3.cif"))
    titanate.to(filename=str(folder / "POSCAR"), fmt="poscar")
    (folder / "disordered.cif").write_text(DISORDERED)
    titanate.to_ase_atoms().write(folder / "frames.extxyz")
    rng = np.random.default_rng(0)
    rows = [
        {
            "numbers": [int(cation), 17],
            "frac_coords": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5],
            "lattice": [*[float(rng.uniform(3.5, 4.5))] * 3, 90.0, 90.0, 90.0],
            "formation_energy": float(-cation / 20),
            "split": "train" if k < 20 else "val" if k < 25 else "test",
        }
        for k, cation in enumerate(rng.choice([3, 11, 19, 37, 55], 30))
    ]
    pd.DataFrame(rows).to_parquet(folder / "crystals.parquet")
    (folder / "training.toml").write_text(TRAINING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with those files and the run that the examples of `smoacs design` make."""
    folder = tmp_path_factory.mktemp("pasted")
    _write_inputs(folder)
    for example in _examples("design"):
        finished = _paste(example, folder)
        assert finished.returncode == 0, f"{example}\n{finished.stderr}"
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_there_is_an_example(command):
    examples = _examples(command)
    assert examples
    assert all(example.split()[1] == command for example in examples)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "example"),
    [
        pytest.param(command, example, id=example[:60])
        for command in COMMANDS
        if command != "design" and command not in HOURS
        for example in _examples(command)
    ],
)
def test_example_works_when_pasted(command, example, folder):
    missing = _missing_extra(command, example)
    if missing:
        pytest.skip(f"the extra {missing} is not installed")
    finished = _paste(example, folder)
    # no design may survive a check, which the exit code tells and no example can promise
    allowed = {0, 1} if command == "check" else {0}
    assert finished.returncode in allowed, finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.slow
def test_the_second_example_of_design_repeats_the_first(folder):
    first, second = (pd.read_csv(folder / run / "results.csv") for run in ("run1", "run2"))
    pd.testing.assert_frame_equal(first[second.columns], second)  # the check has added columns
