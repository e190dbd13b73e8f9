"""Reloads of a running proxy: their causes, their log lines, and the result of the last one.

Owns the watch on the configuration file, the error of the last reload, and the service manager's view of both. Refuses
to repeat itself: an error that comes again by itself is said once, and a change that a command has just made is not
told a second time by the watch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from devtls.config import Merged
from devtls.daemon.assembly import Daemon
from devtls.daemon.generation import Generation, needs_restart
from devtls.daemon.source import Source
from devtls.errors import DevtlsError, NotAllowed

if TYPE_CHECKING:
    from devtls.system.machine.notify import Manager

_NEWS_S = 1.5
"""So long after a command's reload the watch's own, of the same file, has nothing new to tell."""


class Reloader:
    """The reloads of one daemon; `spawn` runs a task of the process, `show_banner` tells of other routes."""

    def __init__(
        self,
        daemon: Daemon,
        spawn: Callable[[Coroutine[Any, Any, object]], None],
        show_banner: Callable[[], Awaitable[None]],
    ) -> None:
        self.daemon = daemon
        self.manager: Manager | None = None
        self.waits_for_allow = False
        """Whether the last reload failed because the file needs `devtls allow`."""
        self.error: tuple[DevtlsError, datetime] | None = None
        """Why the last reload of what was asked for failed, and when; None when it did not."""
        self._spawn = spawn
        self.show_banner = show_banner
        self._begun = daemon.generation
        self._log = daemon.log
        self._last_error = ""
        # The loop's clock may begin near 0: the first event must not look recent.
        self._commanded_at = -_NEWS_S

    @property
    def late(self) -> str:
        """The keys that changed since the start and count from the next one on."""
        return needs_restart(self._begun, self._begun, self.daemon.generation)

    @property
    def file_name(self) -> str:
        """The configuration's file, for sentences."""
        found = self.daemon.source.found
        return "devtls.toml" if found is None else found.path.name

    def start_watch(self) -> None:
        """Reload when the configuration file changes."""
        if (watch := self.daemon.watch) is not None:
            loop = asyncio.get_running_loop()
            self.daemon.config_changed = lambda: self._from_thread(loop)
            watch.start()

    def _from_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(lambda: self._spawn(self._reload_watched()))
        except RuntimeError:  # the loop ended between two events
            return

    async def reload(
        self, why: str, source: Source | None = None, *, by_itself: bool = False, by_command: bool = False
    ) -> DevtlsError | None:
        """Apply the new state and say so; an error is shown (`by_itself`: once), returned, and changes nothing.

        `source` replaces the present one, if it can be used. `by_command` does not wait for the banner.
        """
        before = self.daemon.generation
        if self.manager is not None:
            # RELOADING=1 before, and READY=1 after, each reload (sd_notify(3)).
            self.manager.reloading()
        try:
            await self.daemon.reload(source)
        except DevtlsError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                error.hint = "Where the project was moved: devtls stop, then devtls serve in its new place."
            # Also after a failure: without READY=1 the manager would wait for the reload and time out.
            self.tell_readiness(error)
            # A route that was tried by command and refused is the command's error, not the state of the file.
            if source is None:
                self.waits_for_allow = isinstance(error, NotAllowed)
                self.error = error, datetime.now(UTC)
            if not (by_itself and str(error) == self._last_error):
                self._last_error = str(error)
                text = f"{why}: the new configuration cannot be used; the routes from before go on."
                self._log.warn(text, event="reload_failed")
                self._log.error(error)
            return error
        self.waits_for_allow, self._last_error, self.error = False, "", None
        self.tell_readiness()
        telling = self._tell(why, before, self.daemon.generation)
        if by_command:
            self._commanded_at = asyncio.get_running_loop().time()
            # The command waits for the reload, not for a second of probes.
            self._spawn(telling)
        else:
            await telling
        return None

    async def _reload_watched(self) -> None:
        before = self.daemon.generation.merged
        recent = asyncio.get_running_loop().time() - self._commanded_at < _NEWS_S
        # The command wrote the file, so the watch sees the same change a moment later.
        if recent and await asyncio.to_thread(self._reads_the_same, before):
            return
        await self.reload(f"{self.file_name} changed")

    def _reads_the_same(self, before: Merged) -> bool:
        try:
            return self.daemon.source.read() == before
        except DevtlsError:  # the reload says it
            return False

    async def _tell(self, why: str, before: Generation, after: Generation) -> None:
        if after.authority is not before.authority:
            self._log.say(f"The CA is another one now: devtls root {after.authority.id}.", event="authority_replaced")
        else:
            self._log.say(f"{why}: {counted_routes(after)} now.", event="reloaded")
        if late := needs_restart(self._begun, before, after):
            self._log.warn(f"{late} changed: that counts from the next start on.")
        self.warn_of_unverified()
        # The banner is about addresses: a changed limit moves none of them.
        if after.config.routes != before.config.routes or after.authority is not before.authority:
            await self.show_banner()

    def warn_of_unverified(self) -> None:
        """Name the routes whose https target is not verified."""
        for route in self.daemon.generation.own_routes:
            if route.upstream.tls is not None and not route.upstream.tls.verify:
                self._log.warn(
                    f"{route.config.key}: the certificate of {route.upstream.label} is not checked (verify = false).",
                    event="unchecked",
                )

    def tell_readiness(self, error: DevtlsError | None = None) -> None:
        """Tell the service manager, if there is one, what is served, and that a reload failed."""
        if self.manager is not None:
            late = "" if error is None else f"; the last reload failed: {error}"
            port = self.daemon.bound.https.port
            self.manager.ready(f"Serving https on port {port}, {counted_routes(self.daemon.generation)}{late}")


def counted_routes(generation: Generation) -> str:
    """Return the number of routes, in words."""
    count = len(generation.own_routes)
    return "1 route" if count == 1 else f"{count} routes"
