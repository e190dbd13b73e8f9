"""Sphinx's settings for `make docs`. The pages are Markdown that reads well on its own, without being built."""

from __future__ import annotations

from devtls import __version__

project = "devtls"
author = "the devtls authors"
copyright = "the devtls authors, MIT"
version = release = __version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["generate"]

# Headings are link targets under the names that GitHub gives them; a link to one that is not there stops the build.
myst_heading_anchors = 4
myst_linkify_fuzzy_links = False

html_theme = "furo"
html_title = "devtls"
html_static_path = ["images"]
html_theme_options = {"source_edit_link": "", "top_of_page_buttons": []}
html_copy_source = False
html_show_sourcelink = False
pygments_style = "friendly"
pygments_dark_style = "native"
