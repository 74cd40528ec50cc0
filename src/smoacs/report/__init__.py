"""The report of a run: one HTML file that opens without a network."""

from smoacs.report.page import page, report_html
from smoacs.report.payload import build_payload

__all__ = ["build_payload", "page", "report_html"]
