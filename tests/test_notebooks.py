"""The notebooks of the documentation run, and what is committed of them is light and clean."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted(
    (Path(__file__).resolve().parents[1] / "docs" / "notebooks").glob("*.ipynb"),
)
nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")


def test_there_are_three():
    assert [file.stem for file in NOTEBOOKS] == [
        "checking_and_passing_on",
        "first_design",
        "own_seed_and_predictor",
    ]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_outputs_are_there_and_light(file):
    assert file.stat().st_size < 150_000
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs, "run `make notebooks`"
    assert {output.output_type for output in outputs} <= {
        "stream",
        "execute_result",
        "display_data",
    }
    assert "/tmp/" not in file.read_text(encoding="utf-8")  # noqa: S108 - no path of a machine


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of Jupyter's own libraries; the cells run elsewhere
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_notebook_runs(file, tmp_path, monkeypatch):
    from nbclient import NotebookClient  # noqa: PLC0415 - of the extra docs

    notebook = nbformat.read(file, as_version=4)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the notebooks keep their runs
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
