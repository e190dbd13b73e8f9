"""What the control socket's questions and orders come to in a running proxy.

Owns the routes that were added for this run. Refuses to take a route that the configuration could not have, to give up
one that is written in a file or on the command line, and to add anything while the proxy ends.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from devtls.config import TEMPORARY, RouteConfig, parse_identity, parse_route_value
from devtls.config.lines import visible
from devtls.daemon.console.probes import examine
from devtls.daemon.status import describe, describe_routes, error_info, introduce
from devtls.errors import DevtlsError, Refused
from devtls.web.control_messages import (
    About,
    AddRequest,
    Done,
    LeavesAnswer,
    LeavesRequest,
    LookRequest,
    ReloadRequest,
    RemoveRequest,
    RevokedRequest,
    RouteStatus,
    StatusAnswer,
    StopRequest,
)

if TYPE_CHECKING:
    from devtls.daemon.run import Process


class ControlCommands:
    """`web.control_endpoint.Commands` for one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._daemon = process.daemon
        self._changing = asyncio.Lock()

    def about(self) -> About:
        """Say who this is, at once."""
        return introduce(self._daemon)

    async def status(self) -> StatusAnswer:
        """Look at apps and names, then tell."""
        findings = await examine(self._daemon)
        return StatusAnswer(serve=describe(self._daemon, self._process.life(), findings, datetime.now(UTC)))

    async def add(self, asked: AddRequest) -> Done:
        """Take a route for this run, in the place of the one that had its name and path."""
        try:
            route = parse_route_value(asked.name, asked.value, directory=asked.directory, source=TEMPORARY)
            async with self._changing:
                kept = tuple(one for one in self._temporary if one.identity != route.identity)
                await self._take_over((*kept, route), f"devtls add --temporary {visible(asked.name)}")
        except DevtlsError as error:
            return _failed(error)
        return Done(routes=self._routes())

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
        return Done(routes=self._routes(), removed=removed)

    async def reload(self, asked: ReloadRequest) -> Done:
        """Read everything again; a trouble leaves all as it was."""
        error = await self._process.reload(visible(asked.why), by_command=True)
        return Done(routes=self._routes()) if error is None else _failed(error)

    async def stop(self, asked: StopRequest) -> Done:
        """Let requests finish, or `now` cut them; the answer comes first."""
        asyncio.get_running_loop().call_soon(self._process.end_by_command, asked.now)
        return Done(grace_s=0.0 if asked.now else self._daemon.config.limits.shutdown_grace_s)

    async def leaves(self, asked: LeavesRequest) -> LeavesAnswer:
        """Say which leaves in memory hold a name."""
        found = self._daemon.contexts.serials_of(asked.name)
        sha256 = self._daemon.generation.authority.fingerprint
        return LeavesAnswer(sha256=sha256, serials=tuple(f"{serial:x}" for serial in found))

    async def revoked(self, asked: RevokedRequest) -> Done:
        """Give up the leaves that were revoked, and refuse the clients: the next handshake goes by the new lists."""
        dropped = await self._daemon.give_up_revoked()
        await self._process.state_watch.refresh_policies()
        return Done(dropped=tuple(dropped))

    async def look(self, asked: LookRequest) -> Done:
        """Take over what changed in the state folder, before the next look would."""
        error = await self._process.state_watch.look(by_command=True)
        return Done(routes=self._routes()) if error is None else _failed(error)

    @property
    def _temporary(self) -> tuple[RouteConfig, ...]:
        return self._daemon.source.temporary

    async def _take_over(self, temporary: tuple[RouteConfig, ...], why: str) -> None:
        if self._process.ending:
            raise Refused("This devtls serve is about to end.", hint="devtls serve")
        error = await self._process.reload(why, replace(self._daemon.source, temporary=temporary), by_command=True)
        if error is not None:
            raise error

    def _routes(self) -> tuple[RouteStatus, ...]:
        return describe_routes(self._daemon, None, datetime.now(UTC))


def _failed(error: DevtlsError) -> Done:
    return Done(error=error_info(error))
