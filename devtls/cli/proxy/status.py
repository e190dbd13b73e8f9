"""`devtls status`: the running proxies as text: ports, routes, certificates, errors.

Owns the layout. Each proxy is asked over its control socket. The exit code is 9 when none runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import click

from devtls.cli.proxy.route_lines import route_lines
from devtls.cli.terminal.messages import printable
from devtls.cli.terminal.output import paint, print_json, wrapped
from devtls.cli.terminal.reporter import TerminalReporter
from devtls.daemon.console.style import BOLD, CYAN, RED, YELLOW
from devtls.errors import ExitCode
from devtls.operations.config_choice import display_path
from devtls.operations.control import nothing_runs, statuses
from devtls.operations.route_lists import routes_by
from devtls.system.machine.paths import Paths, refuse_sudo_for
from devtls.web.control_messages import FORMAT, Advice, ErrorInfo, JoinedProcess, ServeStatus

_LABEL_WIDTH = 14
_ORIGINS = {
    "inherited": "opened by the service manager",
    "everywhere": "on every address, but closed to other machines",
    "redirected": "by a redirect of the system's",
}
_WIDEST = 80


@click.command()
@click.option("--json", "as_values", is_flag=True, help="Print it as JSON.")
def command(as_values: bool) -> int:
    """Show what runs: ports, routes and whether their apps answer, certificates, the CA, errors in the file."""
    refuse_sudo_for("status")
    serves = statuses(Paths.from_environment(), TerminalReporter())
    if as_values:
        print_json({"format": FORMAT, "serves": serves})
        return ExitCode.OK if serves else ExitCode.NOT_RUNNING
    if not serves:
        raise nothing_runs()
    now = datetime.now().astimezone()
    click.echo("\n\n".join("\n".join(in_words(serve, now)) for serve in serves))
    return ExitCode.OK


def in_words(serve: ServeStatus, now: datetime) -> Iterator[str]:
    """Return the lines of one proxy."""
    ends = ", and is about to end" if serve.stopping else ""
    runs = "runs its demo" if serve.demo else "serves"
    head = f"devtls {serve.version} {runs} since {_moment(serve.since, now)} (process {serve.pid}){ends}."
    yield from (paint(line, BOLD) for line in wrapped(head, widest=_WIDEST))
    yield ""
    yield from (line for label, text in _facts(serve).items() for line in _row(label, text))
    yield ""
    if own := routes_by(serve, 0):
        yield from route_lines(own, details=True, widest=_WIDEST)
    else:
        yield "  No routes: devtls add app 3000"
    for each in serve.joined:
        yield ""
        yield from _joined(serve, each, now)
    if serve.reload_error is not None:
        yield ""
        when = _moment(serve.reload_error.at, now)
        yield from _message(serve.reload_error, f"Not in effect, since {when}: ", RED)
    for warning in serve.warnings:
        yield ""
        yield from _message(warning, "", YELLOW)


def _joined(serve: ServeStatus, each: JoinedProcess, now: datetime) -> Iterator[str]:
    place = Path(each.config_file or each.directory)
    place_shown = "this folder" if place == Path.cwd() else display_path(place)
    head = f"Process {each.pid} joined at {_moment(each.since, now)}, with the routes of {place_shown}:"
    yield from wrapped(head, "  ", widest=_WIDEST)
    yield from route_lines(routes_by(serve, each.pid), details=True, widest=_WIDEST)
    if each.reload_error is not None:
        when = _moment(each.reload_error.at, now)
        yield from _message(each.reload_error, f"Not in effect, since {when}: ", RED)


def _facts(serve: ServeStatus) -> dict[str, str]:
    clients, certificates, ca = serve.clients, serve.certificates, serve.ca
    pac = "hands out no PAC file" if serve.pac_port is None else f"PAC file on port {serve.pac_port} (devtls pac)"
    pki = f"port {ca.pki_port}" if ca.pki_port_open else f"port {ca.pki_port} (another process has it)"
    return {
        "Ports": f"{_ports(serve)}; on {', '.join(serve.listen)}",
        "Zones": ", ".join(serve.zones),
        "File": serve.config_file or "none: the routes are from the command line",
        "Browsers": pac,
        "Clients": f"{_count(clients.open, 'connection')}, {clients.http2} of them HTTP/2",
        "Certificates": f"{certificates.pinned} of routed names, {certificates.others} of others in memory; "
        f"{certificates.minted} made since the start",
        "CA": f"devtls root {ca.id}, until {ca.not_after[:10]}; page and revocation lists on {pki}",
        "SHA-256": ca.sha256,
    }


def _ports(serve: ServeStatus) -> str:
    https = f"https {serve.https_port}"
    http = "no http" if serve.http_port is None else f"http {serve.http_port} redirects"
    how_https, how_http = (_ORIGINS.get(origin, "") for origin in (serve.https_origin, serve.http_origin))
    if serve.http_port is None or how_https == how_http:
        return f"{https}, {http}" + (f"; {how_https}" if how_https else "")
    return f"{_with(https, how_https)}, {_with(http, how_http)}"


def _with(port: str, how: str) -> str:
    return f"{port} ({how})" if how else port


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _moment(text: str, now: datetime) -> str:
    moment = datetime.fromisoformat(text).astimezone(now.tzinfo)
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M}"


def _row(label: str, text: str) -> list[str]:
    indent = " " * (_LABEL_WIDTH + 2)
    return wrapped(text, f"  {label:<{_LABEL_WIDTH}}", indent, widest=_WIDEST)


def _message(message: ErrorInfo | Advice, prefix: str, colour: str) -> Iterator[str]:
    first, *others = wrapped(prefix + message.message, "    ", widest=_WIDEST)
    yield f"  {paint('!', colour)} {first.lstrip()}"
    yield from others
    if message.hint:
        yield f"      {paint(printable(message.hint), CYAN)}"
