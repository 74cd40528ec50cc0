"""Runs on disk: reading structures, and writing everything that a run leaves behind."""

from smoacs.runs.check_run import check
from smoacs.runs.checked import checks_text
from smoacs.runs.checks import CheckedRun, CheckProgress, run_checks
from smoacs.runs.database import add_to_database, check_database
from smoacs.runs.directory import (
    check_run_directory,
    resume_command,
    run_directory,
)
from smoacs.runs.execute import DesignRun, design, execute, resume, run_design
from smoacs.runs.listing import predictor_rows
from smoacs.runs.page import write_report
from smoacs.runs.save import save_run
from smoacs.runs.saved import SavedRun, read_run, read_summary
from smoacs.runs.tables import summary_text

__all__ = [
    "CheckProgress",
    "CheckedRun",
    "DesignRun",
    "SavedRun",
    "add_to_database",
    "check",
    "check_database",
    "check_run_directory",
    "checks_text",
    "design",
    "execute",
    "predictor_rows",
    "read_run",
    "read_summary",
    "resume",
    "resume_command",
    "run_checks",
    "run_design",
    "run_directory",
    "save_run",
    "summary_text",
    "write_report",
]
