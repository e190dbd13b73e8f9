"""The lines of the log that say what to set in an app's framework.

Owns which were written already (a refusal is said once per name, everything else once per route), the look at the
project that the app runs in, and the names that may be offered in the place of one that was refused. Refuses to offer
a name that this app has refused. Strategy: what the proxy saw comes in on the loop, and the line is written when the
project has been looked at, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from devtls.http.frameworks.advice import FrameworkFinding, Names, Project, hint
from devtls.http.frameworks.scheme import COOKIE_PACKAGES, MISSING_COOKIE
from devtls.names import LOCALHOST, zone_of
from devtls.net.client.service import ProxyService
from devtls.routing import Route

# Names come from the network, so their memory has to end.
_MOST_REMEMBERED = 256

FindProject = Callable[[int, Sequence[Path]], Project | None]
"""(port of the app, directories that may be its own) -> its project, None = not known."""


class Warn(Protocol):
    """Writes a line of the log."""

    def __call__(self, text: str, *, event: str, **facts: object) -> None:
        """Write it."""


class FrameworkHints:
    """Says what to set; `directories` are those that the app may run in when its process cannot be found."""

    def __init__(
        self, service: ProxyService, warn: Warn, find_project: FindProject, directories: Callable[[], Sequence[Path]]
    ) -> None:
        self._service = service
        self._warn = warn
        self._find_project = find_project
        self._directories = directories
        self._taken: set[tuple[str, ...]] = set()
        self._written: set[tuple[str, ...]] = set()
        self._refused: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def found(self, host: str, route: Route, finding: FrameworkFinding) -> None:
        """Take what a response showed."""
        advice = finding.advice
        refusal = advice.event == "host_check"
        if refusal and len(self._refused) < _MOST_REMEMBERED:
            self._refused.add(host)
        key = (route.name, host if refusal else finding.method, advice.framework, advice.problem)
        # Full is silent: a client that invents names must not fill the log with hints.
        if key in self._taken or len(self._taken) >= _MOST_REMEMBERED:
            return
        self._taken.add(key)
        task = asyncio.get_running_loop().create_task(self._say(host, route, finding))
        self._tasks.add(task)  # the loop keeps only weak references to tasks (asyncio.create_task)
        task.add_done_callback(self._tasks.discard)

    async def _say(self, host: str, route: Route, finding: FrameworkFinding) -> None:
        upstream = route.upstream
        project = None
        if not upstream.unix_path and upstream.addresses:
            # In a thread, the directories too: to tell the current one asks the system.
            project = await asyncio.to_thread(lambda: self._find_project(upstream.port, self._directories()))
        if finding.advice is MISSING_COOKIE and not _keeps_secure_sessions(project, finding.method):
            return
        made = hint(finding, self._names(host, route), project)
        if made is None:
            return
        keys = {(route.name, *setting) for setting in made.settings}
        once = (route.name, host if finding.advice.event == "host_check" else "", finding.advice.problem)
        if once in self._written or (finding.advice.minor and keys & self._written):
            return
        self._written |= {once, *keys}
        settings = [{"file": file, "line": line} for file, line in made.settings]
        self._warn(made.text, event=finding.advice.event, host=host, framework=made.framework, settings=settings)

    def _names(self, host: str, route: Route) -> Names:
        service = self._service
        hosts = tuple(each for each in route.hosts if "*" not in each)
        zones = service.snapshot.zones
        own = zone_of(host, zones)
        # Those of all its names: a list that leaves one out takes it away.
        wanted = {own} if own == "dev.local" else {zone_of(each, zones) for each in (host, *hosts)}
        port = "" if service.https_port == 443 else f":{service.https_port}"
        # A framework lets names below localhost pass, but not when it has just refused one.
        works = "" if host.endswith(LOCALHOST) else next(
            (each for each in hosts if each.endswith(f".{LOCALHOST}") and each not in self._refused), ""
        )  # fmt: skip
        return Names(
            host,
            service.https_port,
            hosts=hosts or (host,),
            zones=tuple(sorted(str(zone) for zone in wanted if zone not in (None, LOCALHOST))),
            works=works and works + port,
        )


def _keeps_secure_sessions(project: Project | None, method: str) -> bool:
    """Say whether a missing cookie is likely to be a session's: few apps set one for each page."""
    if project is None or not project.packages:
        return method == "POST"
    return bool(project.packages & COOKIE_PACKAGES) and (method == "POST" or project.secure_cookies)
