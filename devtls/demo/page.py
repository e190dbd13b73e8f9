"""The demo page as text: HTML, style sheet and script, with the request's headers filled in.

Owns the three files in `site/` and the table of headers. Refuses to trust a header: names and values come from the
network and are escaped. Strategy: the page is one template with two places to fill; everything live (WebSocket, SSE,
secure context) is done by its script in the browser.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from functools import cache
from importlib import resources
from string import Template

Headers = Iterable[tuple[str, str]]

# What a proxy adds; an app never gets these from a browser itself.
_FROM_PROXY = ("x-forwarded-", "via", "forwarded", "x-real-ip")


def render(request_line: str, headers: Headers) -> str:
    """Return the page for one request, with `request_line` and `headers` escaped into it."""
    return Template(asset("page.html")).substitute(
        request_line=html.escape(request_line),
        rows="\n".join(_row(name, value) for name, value in headers),
    )


# The files are part of the package: they change with it only.
@cache
def asset(name: str) -> str:
    """Return the text of a file in `site/` (raises FileNotFoundError for any other name)."""
    return resources.files("devtls.demo").joinpath("site", name).read_text("utf-8")


def _row(name: str, value: str) -> str:
    origin = ' class="added"' if name.lower().startswith(_FROM_PROXY) else ""
    return f"<tr{origin}><th scope=row>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
