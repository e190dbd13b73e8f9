"""The processes that joined this proxy: their routes are served here for as long as their connections are open.

Owns joining, leaving and reading again, with the rules that hold for the proxy's own file and arguments. Refuses
settings that differ, another CA, and names that are served already. Whatever fails leaves everything as it was, and
neither reads nor breaks what others have.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from devtls.config import Merged, parse_route_argument
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.framework_hints import FrameworkHints
from devtls.daemon.joined.observer import SharedObserver
from devtls.daemon.joined.project import JoinedProject
from devtls.daemon.joined.settings import inherited_settings, refuse_other_authority, refuse_other_settings
from devtls.daemon.probes import show
from devtls.daemon.source import Source, describe_owner
from devtls.errors import AlreadyServed, DevtlsError, NotAllowed, Refused
from devtls.routing import Route
from devtls.system.machine.project import find_project
from devtls.system.storage.allowlist import pin_routes
from devtls.system.storage.config_discovery import Found
from devtls.web.control_messages import JoinAnswer, JoinRequest

_MOST_PROJECTS = 16
# Seconds: `devtls allow` changes a file of ours, and not the project's, which is watched.
_ALLOWED_S = 2.0
_RETRY_S = 1.0


class JoinedProjects:
    """Every process that joined this proxy."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._projects: dict[str, JoinedProject] = {}
        # Two changes at once would each keep the routes that the other has just replaced.
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self._waits_for_allow = False
        daemon.listeners_closed = lambda: self.finish("free")
        daemon.addresses_changed = self._show_all

    @property
    def all(self) -> tuple[JoinedProject, ...]:
        """All of them, in the order in which they came."""
        return tuple(self._projects.values())

    def find(self, pid: int) -> JoinedProject | None:
        """Return the one with that process id."""
        return next((one for one in self.all if one.asked.pid == pid), None)

    def readers(self, config_file: str) -> tuple[bool, list[JoinedProject]]:
        """Return whether the proxy itself reads a file, and the processes that do; for "" all of them. Blocks."""
        found = self._daemon.source.found
        own, files = None if found is None else str(found.path), [one for one in self.all if one.watches_file]
        if not config_file:
            return True, files
        # realpath: the same file may be reached through a link, such as /tmp on macOS.
        real = os.path.realpath(config_file)
        return own is not None and os.path.realpath(own) == real, [
            one for one in files if os.path.realpath(one.asked.config_file or "") == real
        ]

    def finish(self, kind: Literal["free", "end"]) -> None:
        """Tell all of them that they may have the listeners, or that they shall end as well."""
        for one in self.all:
            one.finish(kind)
        for task in list(self._tasks):
            task.cancel()

    # -- joining and leaving ------------------------------------------------------------------------------------------

    async def join(self, asked: JoinRequest) -> JoinedProject:
        """Serve the routes of a process from now on. Raises DevtlsError."""
        await asyncio.to_thread(refuse_other_authority, self._daemon, asked)
        if len(self._projects) >= _MOST_PROJECTS:
            raise Refused(f"{_MOST_PROJECTS} processes have joined already.", hint="--alone with --https-port 0")
        project = JoinedProject(asked, self.remove)
        async with self._changing:
            owner = await asyncio.to_thread(self._reader_of, asked.config_file or "")
            project.watches_file = asked.config_file is not None and not owner
            if owner and not asked.arguments:
                raise AlreadyServed(f"{owner} serves {asked.config_file} already.", hint="devtls status shows it")
            project.merged = await asyncio.to_thread(self._read, project)
            await self._serve([*self.all, project])
            key = os.urandom(8).hex()
            project.answer = JoinAnswer(id=key, settings=inherited_settings(self._daemon))
            self._projects[key] = project
        self._direct_log_lines()
        self._daemon.log.say(f"{project.label} has joined: {project.names}.", event="joined", pid=asked.pid)
        self._welcome(project)
        return project

    async def remove(self, project: JoinedProject) -> None:
        """Serve the routes of a process no longer; does nothing the second time."""
        async with self._changing:
            if self._projects.pop(project.answer.id, None) is None:
                return
            if self._daemon.service.draining:
                return  # nothing is served any more
            # What is left was served until now, so only the machine can be at fault (no descriptor is left, say).
            while not await self._serves_the_rest(project):  # noqa: ASYNC110 - nothing tells when it goes again
                await asyncio.sleep(_RETRY_S)
        self._direct_log_lines()
        self._daemon.log.say(f"{project.label} has left: {project.names}.", event="left", pid=project.asked.pid)

    async def _serves_the_rest(self, gone: JoinedProject) -> bool:
        try:
            await self._serve(self.all)
        except (DevtlsError, OSError) as error:
            self._daemon.log.report(f"the routes of {gone.label} cannot be removed yet: {error}")
            return False
        return True

    async def leave(self, key: str) -> None:
        """Remove the process that was given this `id`. Raises Refused when there is none."""
        await self.remove(self._with_id(key))

    def _with_id(self, key: str) -> JoinedProject:
        if (project := self._projects.get(key)) is None:
            raise Refused("This process has not joined.")
        return project

    # -- reading ------------------------------------------------------------------------------------------------------

    async def reload_by_id(self, key: str) -> DevtlsError | None:
        """Read the file of the process that was given this `id` again. Raises Refused when there is none."""
        project = self._with_id(key)
        return await self.reload(project, f"{project.file_name} changed")

    async def reload(self, project: JoinedProject, why: str) -> DevtlsError | None:
        """Read the file of a process again; an error is told in its log, is returned, and changes nothing."""
        before = project.merged
        try:
            async with self._changing:
                project.merged = await asyncio.to_thread(self._read, project)
                if project.merged != before:
                    # Last, so that its new names are refused, and not those that others have already.
                    await self._serve([*(one for one in self.all if one is not project), project])
        except DevtlsError as error:
            project.merged = before
            self._tell_of_failure(project, why, error)
            return error
        project.error = None
        if project.merged != before:
            self._direct_log_lines()
            count = len(project.merged.config.routes)
            project.log.say(f"{why}: {count} route{'' if count == 1 else 's'} now.", event="reloaded")
            self._show(project)
        return None

    def _tell_of_failure(self, project: JoinedProject, why: str, error: DevtlsError) -> None:
        repeated = project.error is not None and str(project.error[0]) == str(error)
        project.error = error, datetime.now(UTC)
        if isinstance(error, NotAllowed) and not self._waits_for_allow:
            self._waits_for_allow = True
            self._spawn(self._until_allowed())
        if not repeated:
            project.log.warn(f"{why}, but it cannot be used; the routes from before go on.", event="reload_failed")
            project.log.error(error)

    async def _until_allowed(self) -> None:
        while waiting := [one for one in self.all if one.error and isinstance(one.error[0], NotAllowed)]:
            await asyncio.sleep(_ALLOWED_S)
            for one in waiting:
                await self.reload(one, f"{one.file_name} was allowed")
        self._waits_for_allow = False

    def _read(self, project: JoinedProject) -> Merged:
        """Return the configuration of a process; blocks. Raises ConfigError, NotAllowed."""
        asked = project.asked
        # By the rules of this proxy's version, and as if it were its own: what a file may not do without `devtls
        # allow`, and what an argument may, is the same here.
        if project.arguments is None:
            project.arguments = pin_routes(
                parse_route_argument(one, directory=asked.directory, allow_remote=asked.allow_remote)
                for one in asked.arguments
            )
        found = Found(Path(asked.config_file), asked.named) if asked.config_file and project.watches_file else None
        merged = Source(self._daemon.source.paths, found, project.arguments).read()
        refuse_other_settings(self._daemon, merged.config, asked)
        return merged

    def _reader_of(self, file: str) -> str:
        """Return who reads `file` already, in a sentence; "" for nobody. Blocks."""
        if not file:
            return ""
        own, others = self.readers(file)
        if own:
            return describe_owner(os.getpid(), self._daemon.source.typed.directory)
        return next((one.label for one in others), "")

    async def _serve(self, projects: Sequence[JoinedProject]) -> None:
        await self._daemon.replace_joined([one.routes for one in projects])

    # -- what a joined process is told --------------------------------------------------------------------------------

    def _welcome(self, project: JoinedProject) -> None:
        daemon, log, port = self._daemon, project.log, self._daemon.bound.https_port
        file, here = project.asked.config_file, Path(project.asked.directory)
        directories = (here,) if file is None else (Path(file).parent, here)
        log.framework_hints = FrameworkHints(daemon.service, log.warn, find_project, lambda: directories).found
        routes = [
            {"name": route.config.key, "urls": route.urls(port), "target": route.upstream.label}
            for route in self._routes_of(project)
        ]
        log.event("joined", pid=os.getpid(), https_port=port, routes=routes)
        if not log.as_json:
            owner = describe_owner(os.getpid(), daemon.source.typed.directory)
            log.say(f"Joined {owner}, which serves https on port {port}. Ctrl-C removes these routes again.")
        if project.asked.config_file is not None:
            again = "is read again when it changes" if project.watches_file else "is served there already"
            log.say(f"{project.asked.config_file} {again}.", event="config")
        self._show(project)

    def _show(self, project: JoinedProject) -> None:
        if project.log.level != "quiet":
            routes, overridden = self._routes_of(project), project.merged.overridden
            self._spawn(show(self._daemon, project.log.style, (), (routes, overridden, project.log)))

    def _show_all(self) -> None:
        for one in self.all:
            self._show(one)

    def _routes_of(self, project: JoinedProject) -> tuple[Route, ...]:
        theirs = {route.identity for route in project.merged.config.routes}
        routes = self._daemon.generation.snapshot.routes.routes
        return tuple(route for route in routes if route.config.identity in theirs)

    def _direct_log_lines(self) -> None:
        logs = {route.identity: one.log for one in self.all for route in one.merged.config.routes}
        self._daemon.service.observer = SharedObserver(self._daemon, logs) if logs else self._daemon.log

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)
        # The loop keeps only weak references to tasks (asyncio.create_task).
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
