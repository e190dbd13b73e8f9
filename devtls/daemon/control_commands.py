"""The commands of the control API, carried out in a running proxy.

Owns the routes that were added for this run. Refuses to take a route that the configuration could not have, to give up
one that is written in a file or on the command line, and to add anything while the proxy ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web
from msgspec.structs import replace

from devtls.config import TEMPORARY, RouteConfig, parse_identity, parse_route_value
from devtls.config.lines import visible
from devtls.daemon.assembly import Daemon
from devtls.daemon.joined.project import RefusedProject
from devtls.daemon.joined.projects import JoinedProjects
from devtls.daemon.probes import probe, resolve_all
from devtls.daemon.reload import Reloader
from devtls.daemon.shutdown import Shutdown
from devtls.daemon.state_watch import StateWatch
from devtls.daemon.status import (
    ProcessInfo,
    describe,
    describe_joined,
    describe_routes,
    error_info,
    introduce,
    stamp,
)
from devtls.errors import DevtlsError, NotRunning, Refused
from devtls.system.changes.change import Part
from devtls.system.changes.record import ChangeRecord
from devtls.system.control.port import ControlPort
from devtls.system.control.unix_socket import ControlSocket, peer_uid
from devtls.system.storage.allowlist import pin_routes
from devtls.web.control_endpoint import Lease, make_control_app
from devtls.web.control_guard import port_guard, socket_guard
from devtls.web.control_messages import (
    About,
    AddRequest,
    Done,
    JoinedProcess,
    JoinRequest,
    LeavesAnswer,
    LeavesRequest,
    MemberRequest,
    RefreshRequest,
    ReloadRequest,
    RemoveRequest,
    RevokedRequest,
    RouteStatus,
    StatusAnswer,
    StopRequest,
)


class ControlCommands:
    """`web.control_endpoint.Commands` for one process."""

    def __init__(
        self,
        daemon: Daemon,
        since: datetime,
        reloader: Reloader,
        shutdown: Shutdown,
        state_watch: Callable[[], StateWatch],
    ) -> None:
        self._daemon = daemon
        self._since = since
        self._reloader = reloader
        self._shutdown = shutdown
        self._state_watch = state_watch
        # Two adds at once would each keep the routes that the other has just replaced.
        self._changing = asyncio.Lock()
        self._projects = JoinedProjects(daemon)

    def about(self) -> About:
        """Say who this is, at once."""
        return introduce(self._daemon, stopping=self._shutdown.has_begun, joined=self._joined())

    async def status(self) -> StatusAnswer:
        """Look at apps and names, then tell."""
        findings = await probe(self._daemon)
        set_up = await asyncio.to_thread(_ports_are_set_up, self._daemon)
        return StatusAnswer(serve=describe(self._daemon, self._info(set_up), findings, datetime.now(UTC)))

    async def add(self, asked: AddRequest) -> Done:
        """Take a route for this run, in the place of the one that had its name and path."""
        try:
            # Parsed here, by the proxy's own version: the command may be of another one.
            route = parse_route_value(asked.name, asked.value, directory=asked.directory, source=TEMPORARY)
            added = await asyncio.to_thread(pin_routes, (route,))
            async with self._changing:
                kept = tuple(one for one in self._temporary if one.identity != route.identity)
                await self._take_over((*kept, *added), f"devtls add --temporary {visible(asked.name)}")
        except DevtlsError as error:
            return _failed(error)
        return Done(routes=await self._routes())

    async def remove(self, asked: RemoveRequest) -> Done:
        """Give a route of this run up; `removed` false when there is none of that name."""
        try:
            identity = parse_identity(asked.name)
            async with self._changing:
                kept = tuple(one for one in self._temporary if one.identity != identity)
                removed = kept != self._temporary
                if removed:
                    await self._take_over(kept, f"devtls remove {visible(asked.name)}")
        except DevtlsError as error:
            return _failed(error)
        return Done(routes=await self._routes(), removed=removed)

    async def reload(self, asked: ReloadRequest) -> Done:
        """Read everything again; a trouble leaves all as it was."""
        # Escaped: it goes to the log, and comes from another process.
        why = visible(asked.why)
        own, readers = await asyncio.to_thread(self._projects.readers, asked.config_file)
        # A file that only joined processes read is no news for this one.
        error = await self._reloader.reload(why, by_command=True) if own or not readers else None
        for project in readers:
            failure = await self._projects.reload(project, why)
            error = error or failure
        return Done(routes=await self._routes()) if error is None else _failed(error)

    async def stop(self, asked: StopRequest) -> Done:
        """Let requests finish, or `now` cut them; the answer comes first."""
        if asked.pid:
            return self._stop_joined(asked.pid)
        if asked.with_joined:
            self._projects.finish("end")
        # call_soon: the answer is on its way before the sockets close.
        asyncio.get_running_loop().call_soon(self._shutdown.end_by_command, asked.now)
        return Done(grace_s=0.0 if asked.now else self._daemon.config.limits.shutdown_grace_s)

    def _stop_joined(self, pid: int) -> Done:
        project = self._projects.find(pid)
        if project is None:
            return _failed(NotRunning(f"No devtls serve with the process id {pid} has joined."))
        project.finish("end")
        return Done()

    async def join(self, asked: JoinRequest) -> Lease:
        """Serve the routes of another process for as long as its connection is open."""
        try:
            self._refuse_at_the_end()
            if asked.ca_sha256 != self._daemon.generation.authority.fingerprint:
                # It was replaced a moment ago, perhaps, and the next look would come too late.
                await self._state_watch().look(by_command=True)
            return await self._projects.join(asked)
        except DevtlsError as error:
            return RefusedProject(error_info(error))

    async def rejoin(self, asked: MemberRequest) -> Done:
        """Read the file of a joined process again."""
        try:
            error = await self._projects.reload_by_id(asked.id)
        except DevtlsError as failure:
            error = failure
        return Done(routes=await self._routes()) if error is None else _failed(error)

    async def leave(self, asked: MemberRequest) -> Done:
        """Give the routes of a joined process up."""
        try:
            await self._projects.leave(asked.id)
        except DevtlsError as error:
            return _failed(error)
        return Done(routes=await self._routes())

    async def leaves(self, asked: LeavesRequest) -> LeavesAnswer:
        """Say which leaves in memory hold a name."""
        found = self._daemon.contexts.serials_of(asked.name)
        sha256 = self._daemon.generation.authority.fingerprint
        return LeavesAnswer(sha256=sha256, serials=tuple(f"{serial:x}" for serial in found))

    async def revoked(self, asked: RevokedRequest) -> Done:
        """Give up the leaves that were revoked, and refuse the clients: the next handshake goes by the new lists."""
        # Leaves first: they are what everyone sees, and need no lock of a reload.
        dropped = await self._daemon.drop_revoked_leaves()
        await self._state_watch().refresh_policies()
        return Done(dropped=tuple(dropped))

    async def look(self, asked: RefreshRequest) -> Done:
        """Take over what changed in the state directory, before the next look would."""
        watch = self._state_watch()
        before = self._daemon.bound
        error = await watch.look(by_command=True, set_up=asked.setup)
        # What has just opened a port has shown them already.
        if asked.setup and self._daemon.bound is before:
            await watch.show_addresses()
        return Done(routes=await self._routes()) if error is None else _failed(error)

    @property
    def _temporary(self) -> tuple[RouteConfig, ...]:
        return self._daemon.source.temporary

    async def _take_over(self, temporary: tuple[RouteConfig, ...], why: str) -> None:
        self._refuse_at_the_end()
        error = await self._reloader.reload(why, replace(self._daemon.source, temporary=temporary), by_command=True)
        if error is not None:
            raise error

    def _refuse_at_the_end(self) -> None:
        if self._shutdown.has_begun:
            raise Refused("This devtls serve is about to end.", hint="devtls serve")

    def _joined(self) -> tuple[JoinedProcess, ...]:
        return tuple(describe_joined(one) for one in self._projects.all)

    def _info(self, ports_set_up: bool) -> ProcessInfo:
        failed = self._reloader.error
        return ProcessInfo(
            since=self._since,
            stopping=self._shutdown.has_begun,
            reload_error=None if failed is None else error_info(failed[0], stamp(failed[1])),
            late=self._reloader.late,
            authority_deleted=self._state_watch().is_orphan,
            joined=self._joined(),
            ports_set_up=ports_set_up,
        )

    async def _routes(self) -> tuple[RouteStatus, ...]:
        routes = self._daemon.generation.snapshot.routes.routes
        names = await resolve_all([host for route in routes for host in route.hosts])
        return describe_routes(self._daemon, None, datetime.now(UTC), names)


def _ports_are_set_up(daemon: Daemon) -> bool:
    """Say whether `devtls setup` has opened the ports by a method that a running proxy cannot follow; blocks."""
    if not daemon.bound.forbidden:
        return False
    try:
        return bool(ChangeRecord(daemon.source.paths.state_dir).entries(Part.PORTS))
    except (DevtlsError, OSError):  # `devtls doctor` tells of a damaged record
        return False


def _failed(error: DevtlsError) -> Done:
    return Done(error=error_info(error))


CANCEL_ON_DISCONNECT = True
"""A handler is told when its client goes away (`web.lazy_site`): the lease of a joined process ends there."""


def make_app(  # noqa: PLR0917 - LazySite passes its arguments by position
    place: ControlSocket | ControlPort,
    daemon: Daemon,
    since: datetime,
    reloader: Reloader,
    shutdown: Shutdown,
    state_watch: Callable[[], StateWatch],
) -> web.Application:
    """Return the app behind a control channel."""
    # A socket's peer is named by the kernel (SO_PEERCRED, unix(7)); a port's has to prove itself.
    guard = port_guard(place.port, place.token) if isinstance(place, ControlPort) else socket_guard(peer_uid)
    return make_control_app(ControlCommands(daemon, since, reloader, shutdown, state_watch), guard)
