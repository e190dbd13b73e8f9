"""Sphinx's settings for `make docs`. The pages are Markdown that reads well on its own, without being built."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from devtls import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "devtls"
author = "the devtls authors"
copyright = "the devtls authors, MIT"
version = release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["generate"]

# Headings are link targets under the names that GitHub gives them; a link to one that is not there stops the build.
myst_heading_anchors = 4

html_theme = "furo"
html_title = "devtls"
html_static_path = ["style"]
html_css_files = ["devtls.css"]
html_theme_options = {"top_of_page_buttons": []}
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "native"

_LISTED = re.compile(r"^\* .*?\[[^\]]+\]\(([\w/-]+)\.md\)", re.MULTILINE)


def _contents_of_index(_app: Sphinx, page: str, source: list[str]) -> None:
    """Make the list of links on an index page the table of contents, so that it is written once."""
    if PurePosixPath(page).name == "index" and (listed := _LISTED.findall(source[0])):
        source[0] += "\n".join(["", "```{toctree}", ":hidden:", "", *dict.fromkeys(listed), "```", ""])


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("source-read", _contents_of_index)
