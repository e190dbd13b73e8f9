"""The status of a running proxy as values, for the control API.

Owns what is told and in which words. Decides and changes nothing; what it needs to find out first (do the apps answer,
do the names resolve) was found out by `probes`. Loaded at the first question.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from devtls import __version__
from devtls.config import ACME_ROUTE, COMMAND_LINE, TEMPORARY, StaticTarget
from devtls.config.lines import visible
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.banner import NO_DIRECTORY, Findings, Remark, find_remarks
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.expiry import end_in_words
from devtls.daemon.joined.project import JoinedProject
from devtls.errors import DevtlsError
from devtls.net.upstream.pool import UpstreamState
from devtls.pki.leaf import RENEW
from devtls.routing import Route
from devtls.system.machine.name_resolution import Resolves, browser_order
from devtls.web.control_messages import (
    About,
    Advice,
    CaStatus,
    Certificates,
    Clients,
    ErrorInfo,
    JoinedProcess,
    RouteStatus,
    ServeStatus,
)

_SOURCES = {COMMAND_LINE: "command line", TEMPORARY: "temporary", ACME_ROUTE: "acme"}


class ProcessInfo(msgspec.Struct, frozen=True):
    """What the process knows of itself; `late` names settings that count from the next start on."""

    since: datetime
    stopping: bool = False
    reload_error: ErrorInfo | None = None
    late: str = ""
    authority_deleted: bool = False
    joined: tuple[JoinedProcess, ...] = ()
    ports_set_up: bool = False


def stamp(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def error_info(error: DevtlsError, at: str = "") -> ErrorInfo:
    """Return an error as it goes over the socket."""
    return ErrorInfo(str(error), error.hint, at, int(error.exit_code))


def introduce(daemon: Daemon, *, stopping: bool = False, joined: tuple[JoinedProcess, ...] = ()) -> About:
    """Return who this is."""
    found = daemon.source.found
    file = None if found is None else str(found.path)
    return About(
        version=__version__,
        pid=os.getpid(),
        https_port=daemon.bound.https_port,
        config_file=file,
        pac_port=daemon.pac.port,
        pac_trouble=daemon.pac.error,
        state_dir=str(daemon.source.paths.state_dir),
        listen=daemon.bound.https.addresses,
        stopping=stopping,
        joined=joined,
        usual_ports=daemon.config.serve.https_port is None,
        demo=daemon.source.demo,
    )


def describe(daemon: Daemon, life: ProcessInfo, findings: Findings, now: datetime) -> ServeStatus:
    """Return everything; `findings` are as of `now`."""
    generation, bound, service = daemon.generation, daemon.bound, daemon.service
    found, authority = daemon.source.found, generation.authority
    return ServeStatus(
        version=__version__,
        pid=os.getpid(),
        since=stamp(life.since),
        stopping=life.stopping,
        https_port=bound.https_port,
        http_port=bound.http_port,
        https_origin=bound.https.origin.value,
        # Without a listener of its own plain HTTP comes by the redirect to the https port.
        http_origin=(bound.http or bound.https).origin.value,
        listen=bound.https.addresses,
        zones=generation.snapshot.zones,
        config_file=None if found is None else str(found.path),
        routes=describe_routes(daemon, findings, now, findings.names),
        clients=Clients(len(service.connections), sum(each.http2 for each in service.connections)),
        certificates=Certificates(*daemon.contexts.counts(), daemon.contexts.minted),
        ca=CaStatus(
            authority.id, authority.fingerprint, stamp(authority.not_after), authority.pki_port, daemon.pki.is_open
        ),
        reload_error=life.reload_error,
        warnings=tuple(_warnings(daemon, life, findings, now)),
        pac_port=daemon.pac.port,
        joined=life.joined,
        demo=daemon.source.demo,
    )


def describe_joined(project: JoinedProject) -> JoinedProcess:
    """Return who joined."""
    asked, failed = project.asked, project.error
    return JoinedProcess(
        pid=asked.pid,
        directory=asked.directory,
        config_file=asked.config_file if project.watches_file else None,
        since=stamp(project.since),
        reload_error=None if failed is None else error_info(failed[0], stamp(failed[1])),
    )


def describe_routes(
    daemon: Daemon, findings: Findings | None, now: datetime, names: Mapping[str, Resolves]
) -> tuple[RouteStatus, ...]:
    """Return the routes, with the name to open by where `names` lead; without `findings` nothing of their health."""
    owners = {route.identity: part.pid for part in daemon.joined for route in part.routes}
    return tuple(
        msgspec.structs.replace(
            _route(daemon, route, findings, now, names), joined=owners.get(route.config.identity, 0)
        )
        for route in daemon.generation.snapshot.routes.routes
    )


def _route(
    daemon: Daemon, route: Route, findings: Findings | None, now: datetime, names: Mapping[str, Resolves]
) -> RouteStatus:
    config, target, port = route.config, route.config.target, daemon.bound.https_port
    static = isinstance(target, StaticTarget)
    state = None if static else daemon.service.pool.known(route.upstream)
    health, reason = "unknown", ""
    if findings is not None:
        health, reason = _health(route, findings)
    return RouteStatus(
        name=config.key,
        hosts=route.hosts,
        urls=route.urls(port),
        url=route.url(browser_order(route.hosts, names)[0], port) if route.hosts else "",
        target=target.directory if isinstance(target, StaticTarget) else route.upstream.label,
        source=_SOURCES.get(config.source, "file"),
        line=config.line,
        health=health,
        reason=reason,
        probed_at="" if findings is None else stamp(now),
        last_error="" if state is None else state.last_error,
        active=0 if state is None else state.active,
        idle=0 if state is None else _idle(state),
        client_auth=config.client_auth,
    )


def _health(route: Route, findings: Findings) -> tuple[str, str]:
    target = route.config.target
    if isinstance(target, StaticTarget):
        return ("down", NO_DIRECTORY) if target.directory in findings.missing_directories else ("up", "")
    trouble = findings.apps.get(route.upstream.label)
    if trouble is None:
        return "unknown", ""
    return ("down", trouble) if trouble else ("up", "")


def _idle(state: UpstreamState) -> int:
    return len(state.idle) if state.shared is None else state.shared.idle_count


def _warnings(daemon: Daemon, life: ProcessInfo, findings: Findings, now: datetime) -> Iterator[Advice]:
    generation = daemon.generation
    for note in daemon.bound.notes:
        # Said at the start: it is no news, and no advice, once setup was there.
        if not (life.ports_set_up and "is closed to this user" in note):
            yield Advice(note)
    if life.ports_set_up:
        yield Advice(
            f"The ports were set up since this devtls started on {daemon.bound.https.port}: the next start has them.",
            "devtls stop, then devtls serve",
        )
    routes = generation.snapshot.routes.routes
    for route in routes:
        if route.upstream.tls is not None and not route.upstream.tls.verify:
            label = visible(route.upstream.label)
            yield Advice(f"{visible(route.config.key)}: the certificate of {label} is not checked (verify = false).")
    if life.late:
        yield Advice(f"{life.late} changed: that counts from the next start on.", "devtls stop, then devtls serve")
    if ends := end_in_words(generation.authority.not_after, now):
        yield Advice(ends, RENEW)
    if life.authority_deleted:
        yield Advice("The CA was deleted; this devtls goes on with it.", "devtls trust")
    overridden = generation.merged.overridden
    for remark in find_remarks(routes, daemon.bound.https_port, findings, overridden, TerminalStyle()):
        yield _advice(remark)


def _advice(remark: Remark) -> Advice:
    """Return what the banner shows as text, an empty line and a command."""
    lines = list(remark)
    if "" not in lines:
        return Advice(" ".join(lines))
    gap = lines.index("")
    return Advice(" ".join(lines[:gap]).removesuffix(":") + ".", " ".join(line.strip() for line in lines[gap + 1 :]))
