"""Sphinx's settings for the documentation site; `make docs` builds it."""

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

project = "smoacs"
author = "The smoacs developers"
project_copyright = "The smoacs developers, MIT licence"
version = release = installed_version("smoacs")

extensions = [
    "myst_nb",  # pages in Markdown and notebooks
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # docstrings in Google's style
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "from_the_package",  # commands and settings, from the code
    "repository_links",
]
exclude_patterns = [
    "_extensions",
    "search.md",  # howto/search.md shows it: search.html is the search page of the site
]

# Pages
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 4  # links to headings, as on the pages of the repository
nb_execution_mode = "off"  # outputs are in the notebooks; tests/test_notebooks.py runs them
smartquotes_action = "D"  # dashes only: what is quoted is often to be typed
highlight_language = "none"  # indented blocks are commands and settings

# Reference
default_role = "literal"  # docstrings put code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_use_type_comments = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
maximum_signature_line_length = 80
add_module_names = False

# Looks: no font, script or picture comes from elsewhere
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = f"smoacs {release}"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = re.escape("$ ")
