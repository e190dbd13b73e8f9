"""How the commands show routes: one line each, and below it what is unusual about it.

Owns the words of that. Text from a file or from an app's response is escaped.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import folded
from devtls.daemon.console.route_line import RouteRow, row_lines
from devtls.daemon.console.style import TerminalStyle
from devtls.web.control_messages import RouteStatus

_SOURCES = {
    "temporary": "for this run only",
    "command line": "from the command line",
    "acme": "by [acme] in devtls.toml",
}


def route_lines(routes: Sequence[RouteStatus], *, details: bool, widest: int = 0) -> Iterator[str]:
    """Return the lines, none over `widest` (0: any); `details` adds health, connections and the last error."""
    rows = [RouteRow(_addresses(route), route.target, _trouble(route, details)) for route in routes]
    for route, line in zip(routes, row_lines(rows, TerminalStyle.of(sys.stdout)), strict=True):
        yield from folded(line, widest=widest)
        if details and (notes := "; ".join(_notes(route))):
            yield from folded(f"      {notes}", widest=widest)


def _addresses(route: RouteStatus) -> Sequence[str]:
    """Return the addresses, or the names of a route that nobody serves now: what a browser opens comes first."""
    addresses = route.urls or route.hosts
    return [route.url, *(each for each in addresses if each != route.url)] if route.url else addresses


def _trouble(route: RouteStatus, details: bool) -> str | None:
    if not details or route.health == "unknown":
        return None
    return f"not up: {route.reason}" if route.health == "down" else ""


def _notes(route: RouteStatus) -> Iterator[str]:
    if route.active or route.idle:
        yield f"connections: {route.active} in use, {route.idle} idle"
    if route.last_error and route.last_error != route.reason:
        yield f"last error: {printable(route.last_error)}"
    if route.client_auth != "off":
        verb = "must" if route.client_auth == "require" else "may"
        yield f"clients {verb} show a certificate"
    if route.source in _SOURCES:
        yield _SOURCES[route.source]
