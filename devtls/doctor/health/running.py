"""The routes of every devtls serve that runs: whether their apps answer, and whether its file could be read.

Owns the findings about what is served at this moment. An app that is down is worth an exit code here, unlike one that a
file alone names: its addresses are open, and show a page in the place of the app. Each proxy has asked its own apps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from devtls.config.lines import visible
from devtls.doctor.health.finding import Finding, Level, Section, as_command, counted
from devtls.web.control_messages import RouteStatus, ServeStatus

_WHY = "Its addresses show a page that says so, and load it when it is up."
_PORT = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\]):([0-9]+)\Z")


def check_running(serves: Sequence[ServeStatus]) -> Iterator[Finding]:
    """Yield the findings about each running proxy."""
    for serve in serves:
        label = f"devtls serve (process {serve.pid})"
        if serve.reload_error is not None:
            yield Finding(
                "reload-failed",
                Section.PROJECT,
                Level.WARNING,
                f"{label} goes on with its old routes: {serve.reload_error.message}",
                "What was changed since then does not count.",
                as_command(serve.reload_error.hint) or "Change that line",
                str(serve.pid),
            )
        down = [route for route in serve.routes if route.health == "down"]
        yield from (_on_down(route) for route in down)
        if serve.routes and not down:
            many = counted(len(serve.routes), "route")
            yield Finding(
                "running-fine", Section.PROJECT, Level.OK, f"{label} has {many}, and every app answers.", "", "", label
            )


def _on_down(route: RouteStatus) -> Finding:
    url = route.url or next(iter(route.urls), route.name)
    port = _PORT.search(route.target)
    remedy = f"Start the app on port {port[1]}" if port else f"Start the app at {visible(route.target)}"
    return Finding(
        "running-app-down",
        Section.PROJECT,
        Level.WARNING,
        f"{url} is served, and its app at {visible(route.target)} does not answer: {visible(route.reason)}.",
        _WHY,
        remedy,
        route.target,
    )


def hosts_of(serves: Sequence[ServeStatus]) -> tuple[str, ...]:
    """Return every name that is served, each once."""
    return tuple(dict.fromkeys(host for serve in serves for route in serve.routes for host in route.hosts))


def reads(serves: Sequence[ServeStatus], file: str) -> bool:
    """Say whether the routes of a file are among those that are served."""
    return any(serve.config_file == file for serve in serves)
