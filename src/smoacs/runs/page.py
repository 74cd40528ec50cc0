"""report.html of a run directory: written with the run, and again whenever its table changes."""

import logging
from pathlib import Path

from smoacs.files import write_file
from smoacs.report import report_html

_LOG = logging.getLogger(__name__)


def write_report(folder: str | Path) -> Path:
    """Write the report of a run directory anew, from the files that are there.

    Returns:
        The absolute path of report.html.

    Raises:
        InputError: The folder is no run directory, a file in it is damaged, or it may not be
            written.
        ResourceError: The disk is full.
    """
    path = Path(folder).resolve() / "report.html"
    write_file(path, report_html(folder))
    return path


def write_first_report(folder: Path) -> None:
    """Write the report of a run that is about to be saved, whose results are worth more.

    A report that cannot be made costs a warning instead of the run.
    """
    try:
        text = report_html(folder)
    except Exception:  # noqa: BLE001 - whatever it is, the run must not be lost for it
        _LOG.warning("no report.html could be made; `smoacs report DIR` tries again", exc_info=True)
        return
    (folder / "report.html").write_text(text, encoding="utf-8")
