"""How `devtls add` and `devtls remove` show the outcome in each running proxy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from devtls.cli.proxy.route_lines import route_lines
from devtls.cli.terminal.messages import printable, show
from devtls.cli.terminal.output import folded
from devtls.errors import ExitCode
from devtls.operations.control import RunningProxy
from devtls.operations.routes import ProxyOutcome
from devtls.web.control_messages import RouteStatus

_SOURCES = {
    "file": "its file",
    "command line": "its command line",
    "temporary": "devtls add --temporary",
    "acme": "[acme] in its file",
}


def exit_code(outcomes: Sequence[ProxyOutcome]) -> ExitCode:
    """Return FAILED when a proxy goes on with its old routes: the file is written, and it cannot use it."""
    return ExitCode.OK if all(one.applied for one in outcomes) else ExitCode.FAILED


def show_outcomes(outcomes: Sequence[ProxyOutcome], running: Sequence[RunningProxy], expected: str) -> ExitCode:
    """Print each outcome; `expected` is the source that the route should have now, "" when it should be gone."""
    for one in outcomes:
        name = f"devtls serve (process {one.pid})"
        if one.error is not None:
            show(f"{name} did not apply it: {one.error.message}", one.error.hint)
        else:
            click.echo("\n".join(_lines(name, one.route, expected)))
    if not outcomes:
        click.echo("\n".join(folded(_without_outcome(running, expected))))
    return exit_code(outcomes)


def _lines(name: str, route: RouteStatus | None, expected: str) -> Iterator[str]:
    if route is None:
        yield from folded(f"{name} has applied it: the route is gone.")
        return
    if route.source == expected:
        yield from [*folded(f"{name} has applied it:"), ""]
    else:
        where = _SOURCES[route.source]
        text = f"{name} still has a route {printable(route.name)} from {where}, which takes precedence there:"
        yield from [*folded(text), ""]
    yield from route_lines([route], details=False)


def _without_outcome(running: Sequence[RunningProxy], expected: str) -> str:
    if not running:
        return "The next devtls serve uses it."
    one = running[0]
    reads = f"reads {printable(one.about.config_file)}" if one.about.config_file else "has no file"
    advice = " `devtls add --temporary` reaches it." if expected else ""
    return f"{one.label} {reads}, so nothing changes there.{advice}"
