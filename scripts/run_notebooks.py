"""Run the notebooks of the documentation and keep what they show: `make notebooks`.

    python scripts/run_notebooks.py [NAME ...]

Outputs are committed, so that the site shows them without running anything. Messages on standard
error are left out, and so is when a cell ran.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"
TIMEOUT = 600  # seconds for a cell


def run_notebook(file: Path) -> None:
    """Execute one notebook in an empty folder, and write it with its outputs."""
    notebook = nbformat.read(file, as_version=4)
    with TemporaryDirectory() as scratch:
        os.environ["TMPDIR"] = scratch  # where the notebooks keep their runs
        resources = {"metadata": {"path": scratch}}
        NotebookClient(
            notebook, timeout=TIMEOUT, resources=resources, record_timing=False
        ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}
    file.write_text(nbformat.writes(notebook, indent=1) + "\n", encoding="utf-8")


def main(names: list[str]) -> None:
    """Run the notebooks that are named, or all."""
    for file in sorted(FOLDER.glob("*.ipynb")):
        if not names or file.stem in names:
            started = time.perf_counter()
            run_notebook(file)
            print(f"{file.name}: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
