"""What running proxies make of a file that was just written.

Owns the question to each of them and how the answers are shown. A proxy that cannot use the file goes on with what it
had: the file is written all the same, and the exit code says that something is left to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from devtls.cli import printable, show
from devtls.cli.proxy.route_lines import route_lines
from devtls.config import parse_identity
from devtls.errors import DevtlsError, ExitCode
from devtls.operations.control import RunningProxy
from devtls.web.control_messages import RELOAD, Done, ErrorInfo, ReloadRequest, RouteStatus

_SOURCES = {
    "file": "its file",
    "command line": "its command line",
    "temporary": "devtls add --temporary",
    "acme": "[acme] in its file",
}


class Takeover(msgspec.Struct, frozen=True):
    """What came of it in one proxy; `route` is the route that was meant, as that proxy has it."""

    pid: int
    taken_over: bool
    trouble: ErrorInfo | None = None
    route: RouteStatus | None = None


def ask_for_takeover(
    running: Sequence[RunningProxy], file: Path, why: str, identity: tuple[str, str]
) -> list[Takeover]:
    """Have every proxy that reads `file` read it now."""
    found = []
    for one in running:
        if one.reads(file):
            try:
                done = one.send(RELOAD, ReloadRequest(why=why))
            except DevtlsError as error:
                done = Done(trouble=ErrorInfo(str(error), error.hint, exit_code=int(error.exit_code)))
            found.append(taken(one, done, identity))
    return found


def taken(one: RunningProxy, done: Done, identity: tuple[str, str]) -> Takeover:
    """Return what an answer means for the route of that name and path."""
    route = next((each for each in done.routes if parse_identity(each.name) == identity), None)
    return Takeover(one.about.pid, done.trouble is None, done.trouble, route)


def tell(takeovers: Sequence[Takeover], running: Sequence[RunningProxy], wanted: str) -> ExitCode:
    """Show what came of it; `wanted` is the source that the route should have now, "" when it should be gone."""
    code = ExitCode.OK
    for one in takeovers:
        name = f"devtls serve (process {one.pid})"
        if one.trouble is not None:
            show(f"{name} did not take it over: {one.trouble.message}", one.trouble.hint)
            code = ExitCode.FAILED
            continue
        click.echo("\n".join(_outcome(name, one.route, wanted)))
    if not takeovers:
        click.echo(_nobody(running, wanted))
    return code


def _outcome(name: str, route: RouteStatus | None, wanted: str) -> Iterator[str]:
    if route is None:
        yield f"{name} has taken it over: the route is gone."
    elif route.source == wanted:
        yield f"{name} has taken it over:\n"
        yield from route_lines([route], details=False)
    else:
        where = _SOURCES[route.source]
        yield f"{name} still has a route {printable(route.name)} from {where}, which counts there:\n"
        yield from route_lines([route], details=False)


def _nobody(running: Sequence[RunningProxy], wanted: str) -> str:
    if not running:
        return "It counts from the next devtls serve on."
    one = running[0]
    reads = f"reads {printable(one.about.config_file)}" if one.about.config_file else "has no file"
    lend = " `devtls add --temporary` reaches it." if wanted else ""
    return f"{one.label} {reads}, so nothing changes there.{lend}"
