"""Runs on disk: reading structures, and writing everything that a run leaves behind."""

from smoacs.runs.directory import check_file, check_run_directory, run_directory, write_file
from smoacs.runs.execute import DesignRun, design, execute, run_design
from smoacs.runs.listing import predictor_rows
from smoacs.runs.reading import NamedStructure, read_structures
from smoacs.runs.save import save_run
from smoacs.runs.tables import csv_text, summary_text

__all__ = [
    "DesignRun",
    "NamedStructure",
    "check_file",
    "check_run_directory",
    "csv_text",
    "design",
    "execute",
    "predictor_rows",
    "read_structures",
    "run_design",
    "run_directory",
    "save_run",
    "summary_text",
    "write_file",
]
