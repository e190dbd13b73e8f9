"""How the commands show routes: where each goes, how it is, and its addresses below it.

Owns the words and the colours. Text from a file or from an app's response is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import paint
from devtls.daemon.console.style import BOLD, GREEN, YELLOW
from devtls.web.control_messages import RouteStatus

_SOURCES = {
    "temporary": "for this run only",
    "command line": "from the command line",
    "acme": "by [acme] in devtls.toml",
}
_COLOURS = {"up": GREEN, "down": YELLOW}


def route_lines(routes: Sequence[RouteStatus], *, details: bool) -> Iterator[str]:
    """Return the lines; `details` adds health, connections and the last error."""
    width = max((len(route.name) for route in routes), default=0)
    for route in routes:
        state = f"  {_health(route)}" if details and route.health != "unknown" else ""
        yield f"  {paint(printable(route.name.ljust(width)), BOLD)}  ->  {printable(route.target)}{state}"
        for address in route.urls or route.hosts:
            yield f"      {printable(address)}"
        if details:
            yield from (f"      {note}" for note in _notes(route))


def _health(route: RouteStatus) -> str:
    words = f"not up: {printable(route.reason)}" if route.health == "down" else route.health
    return paint(words, _COLOURS[route.health])


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
