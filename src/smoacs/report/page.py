"""Put the page together: HTML, style, scripts and data in one file."""

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from smoacs.report.payload import build_payload

_SCRIPTS = (
    "dom.js",
    "charts.js",
    "overview.js",
    "scatter.js",
    "history.js",
    "periodic.js",
    "filters.js",
    "table.js",
    "geometry.js",
    "viewer.js",
    "files.js",
    "details.js",
    "main.js",
)
"""In the order in which they run; together they are one function."""

_UNSAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""What could end a script or start a comment inside of one, as JSON writes it harmlessly."""


def report_html(folder: str | Path) -> str:
    """Write the report of a run directory as one HTML page.

    Args:
        folder: See `smoacs.report.build_payload`.

    Raises:
        InputError: The folder is no run directory, or a file in it is damaged.
    """
    return page(build_payload(Path(folder)))


def page(payload: Mapping[str, object]) -> str:
    """Put data into the page.

    The page's own security policy forbids every request and every script but its own, so that a
    name in the data can neither run nor fetch anything.

    Args:
        payload: See `smoacs.report.build_payload`.
    """
    code = script()
    style = _asset("style.css")
    return Template(_asset("page.html")).substitute(
        title=html.escape(str(payload["title"])),
        policy=(
            f"default-src 'none'; img-src data: blob:; "
            f"script-src '{_digest(code)}'; style-src '{_digest(style)}'"
        ),
        style=style,
        script=code,
        data=embedded(payload),
    )


def script() -> str:
    """All of the page's JavaScript, as one function."""
    parts = "\n".join(_asset(name) for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'


def embedded(payload: Mapping[str, object]) -> str:
    """Write JSON that is safe inside of a script element, whatever its texts are."""
    data = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return data.translate(_UNSAFE)


def _asset(name: str) -> str:
    return (files("smoacs.report") / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """Name a script or style in the words of a Content-Security-Policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
