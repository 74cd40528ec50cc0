"""Links between files of the repository, turned into links between pages of the site.

README.md, CONTRIBUTING.md, CHANGELOG.md and the model card lie outside of `docs`; pages of the site
include them. A link to such a file leads to its page, wherever the link is.
"""

import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx

_PAGES = {
    "README.md": "docs/overview.md",
    "CONTRIBUTING.md": "docs/contributing.md",
    "CHANGELOG.md": "docs/changelog.md",
    "docs/search.md": "docs/howto/search.md",  # search.html is the search page of the site
    "src/smoacs/predictors/weights/MODEL_CARD.md": "docs/model_card.md",
    "src/smoacs/predictors/weights/SETTLING_CARD.md": "docs/model_card.md",
}
_LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[)#])")


def _rewrite(text: str, file: str, page: str) -> str:
    """Links in a `text` that stands in `file`, for the `page` that shows it."""

    def target(match: re.Match[str]) -> str:
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(file), match[1]))
        return posixpath.relpath(_PAGES.get(wanted, wanted), posixpath.dirname(page))

    return _LINK.sub(target, text)


def _page_is_read(app: Sphinx, name: str, source: list[str]) -> None:
    if Path(app.env.doc2path(name)).suffix == ".md":
        source[0] = _rewrite(source[0], f"docs/{name}", f"docs/{name}")


def _file_is_included(app: Sphinx, path: Path, _name: str, source: list[str]) -> None:
    # the name that comes with the event lacks the folder of the page
    file = posixpath.normpath(posixpath.join("docs", Path(path).as_posix()))
    source[0] = _rewrite(source[0], file, f"docs/{app.env.docname}")


def setup(app: Sphinx) -> dict[str, bool]:
    """Rewrite links as pages are read."""
    app.connect("source-read", _page_is_read)
    app.connect("include-read", _file_is_included)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
