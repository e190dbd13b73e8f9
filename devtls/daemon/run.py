"""The process around a running proxy: loop, signals, the watch on the configuration, the way out.

Owns what a signal means: SIGHUP reads everything again (or ends, when it came because the terminal was closed), the
first SIGINT or SIGTERM drains within the grace and ends with 0, the second cuts. Refuses to end for anything that comes
from the network or from a configuration that broke while it was edited.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from devtls.config import Merged
from devtls.daemon.assembly import Daemon, Generation, needs_restart
from devtls.daemon.console.log import Log
from devtls.daemon.source import Source
from devtls.errors import DevtlsError, ExitCode, NotAllowed
from devtls.system.machine.descriptors import raise_descriptor_limit

if TYPE_CHECKING:
    from devtls.daemon.console.banner import Remark
    from devtls.daemon.console.style import Look
    from devtls.daemon.state_watch import StateWatch
    from devtls.daemon.status import Life
    from devtls.system.machine.notify import Manager
    from devtls.web.control_endpoint import Commands
    from devtls.web.control_messages import Trouble

_RETRY_S = 2.0
_SETTLE_S = 0.25
_IDLE_ENDS_S = 0.1
"""Idle connections end at once; what is left after this time is a request."""
_NEWS_S = 1.5
"""So long after a command's reload the watch's own, of the same file, has nothing new to tell."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's loop (winloop's on Windows) where there is one, else asyncio's."""
    try:
        if sys.platform == "win32":
            from winloop import new_event_loop
        else:
            from uvloop import new_event_loop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = new_event_loop
    return factory


def run_daemon(daemon: Daemon, look: Look) -> ExitCode:
    """Serve until a signal; `daemon` is prepared. Returns the exit code of the process."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(Process(daemon, look).run())


class Process:
    """Signals and watches of one daemon."""

    def __init__(self, daemon: Daemon, look: Look) -> None:
        self.daemon = daemon
        self._since = datetime.now(UTC)
        self._begun = daemon.generation
        self._log: Log = daemon.log
        self._look = look
        self._ending = asyncio.Event()
        self._cutting = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()
        self._last_trouble = ""
        self._reload_error: tuple[DevtlsError, datetime] | None = None
        self._commanded_at = -_NEWS_S
        self.waits_for_allow = False
        """Whether the last reload failed because the file needs `devtls allow`."""
        self._has_terminal = False
        self._remarks: list[Remark] = []
        """What was said last: a reload repeats none of it."""
        self._manager: Manager | None = None

    async def run(self, instead: Callable[[], Coroutine[Any, Any, None]] | None = None) -> ExitCode:
        """Start, serve, end. `instead` runs once the ports are open, in the place of the banner and the watches."""
        self._take_signals()
        raise_descriptor_limit()
        await self.daemon.start()
        self.daemon.control.start(self._commands)
        if instead is None:
            self._announce()
        self._tell_manager()
        asyncio.get_running_loop().call_later(_SETTLE_S, _collect_garbage)
        self._spawn((instead or self._after_start)())
        await self._ending.wait()
        return await self._end()

    def _announce(self) -> None:
        doors, log = self.daemon.doors, self._log
        http_port = doors.http_port
        routes = [
            {"name": route.config.key, "urls": route.urls(doors.https_port), "target": route.upstream.label}
            for route in self.daemon.generation.snapshot.routes.routes
        ]
        log.event("listening", https_port=doors.https_port, http_port=http_port, routes=routes)
        if not log.as_json:
            also = f", redirects from port {http_port}" if http_port is not None else ""
            log.say(f"devtls serves https on port {doors.https_port}{also}. Ctrl-C ends it.")
        if (found := self.daemon.source.found) is not None:
            log.say(f"Routes are in {found.path}, which is read again when it changes.", event="config")
        for note in doors.notes:
            log.say(note)
        if (trouble := self.daemon.control.trouble) is not None:
            log.warn(f"devtls status, stop and their kind cannot reach this serve: {trouble}", event="no_control")
        self._warn_of_unchecked(self.daemon.generation)

    def _warn_of_unchecked(self, generation: Generation) -> None:
        for route in generation.snapshot.routes.routes:
            if route.upstream.tls is not None and not route.upstream.tls.verify:
                self._log.warn(
                    f"{route.config.key}: the certificate of {route.upstream.label} is not checked (verify = false).",
                    event="unchecked",
                )

    def _tell_manager(self) -> None:
        if "NOTIFY_SOCKET" in os.environ:
            from devtls.system.machine.notify import take_manager  # only a service has somebody to tell

            self._manager = take_manager()
        self._tell_readiness()

    def _tell_readiness(self, trouble: DevtlsError | None = None) -> None:
        if self._manager is not None:
            count = _routes(len(self.daemon.generation.snapshot.routes.routes))
            late = "" if trouble is None else f"; the last reload failed: {trouble}"
            self._manager.ready(f"Serving https on port {self.daemon.doors.https.port}, {count}{late}")

    async def _after_start(self) -> None:
        """Do what no request has to wait for."""
        self._spawn(self.show_banner())
        # A first request that waits for us already comes before what a change of the file would need (watchdog: 60 ms);
        # a change that is made meanwhile is seen all the same.
        await asyncio.sleep(_SETTLE_S)
        # A start does not wait for HTTP/2, nor does the browser that is started next.
        with contextlib.suppress(OSError):  # no file can be opened just now: the first connection loads it
            await asyncio.to_thread(import_module, "devtls.net.client.h2")
        self._start_watch()
        self._spawn(self._open_side_ports())
        await asyncio.to_thread(self.daemon.control.clean)
        await _load("state_watch", "revocations")
        await self.state_watch.run()

    async def _open_side_ports(self) -> None:
        await _load("sites.dns", "sites.pac")
        await self.daemon.dns.start()
        await self.daemon.pac.start()

    async def show_banner(self) -> None:
        """Probe, then tell."""
        if self._log.level == "quiet":
            return
        await _load("console.banner", "console.probes")
        from devtls.daemon.console.probes import show

        self._remarks = await show(self.daemon, self._look, self._remarks)

    # -- what others ask ----------------------------------------------------------------------------------------------

    def _commands(self) -> Commands:
        from devtls.daemon.sites.control_commands import ControlCommands  # no start waits for it

        return ControlCommands(self)

    @cached_property
    def state_watch(self) -> StateWatch:
        """The look at what other commands change; no start waits for it."""
        from devtls.daemon.state_watch import StateWatch

        return StateWatch(self)

    def life(self) -> Life:
        """Return what `devtls status` tells of the process."""
        from devtls.daemon.status import Life

        return Life(
            since=self._since,
            stopping=self.ending,
            reload_error=self._shown_reload_error(),
            late=needs_restart(self._begun, self._begun, self.daemon.generation),
            authority_deleted=self.state_watch.is_orphan,
        )

    def _shown_reload_error(self) -> Trouble | None:
        from devtls.daemon.status import stamp, trouble_of

        if self._reload_error is None:
            return None
        error, at = self._reload_error
        return trouble_of(error, stamp(at))

    # -- reload -------------------------------------------------------------------------------------------------------

    def _start_watch(self) -> None:
        if (watch := self.daemon.watch) is not None:
            loop = asyncio.get_running_loop()
            self.daemon.config_changed = lambda: self._from_thread(loop)
            watch.start()

    def _from_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(self._reload_soon)
        except RuntimeError:  # the loop ended between two looks
            return

    def _reload_soon(self) -> None:
        self._spawn(self._reload_watched())

    @property
    def file_name(self) -> str:
        """The configuration's file, for sentences."""
        found = self.daemon.source.found
        return "devtls.toml" if found is None else found.path.name

    async def reload(
        self, why: str, source: Source | None = None, *, by_itself: bool = False, by_command: bool = False
    ) -> DevtlsError | None:
        """Take the new state over and say so; an error is shown (`by_itself`: once), returned, and changes nothing.

        `source` takes the place of the one from before, if it can be used. `by_command` does not wait for the banner.
        """
        before = self.daemon.generation
        if self._manager is not None:
            self._manager.reloading()
        try:
            await self.daemon.reload(source)
        except DevtlsError as error:
            self._tell_readiness(error)
            if source is None:
                self._remember(error)
            if not (by_itself and str(error) == self._last_trouble):
                self._last_trouble = str(error)
                self._log.warn(f"{why}, but it cannot be used; the routes from before go on.", event="reload_failed")
                self._log.error(error)
            return error
        self._forget_trouble()
        self._tell_readiness()
        telling = self._tell_of_reload(why, before, self.daemon.generation)
        if by_command:
            self._commanded_at = asyncio.get_running_loop().time()
            self._spawn(telling)
        else:
            await telling
        return None

    def _remember(self, error: DevtlsError) -> None:
        self.waits_for_allow = isinstance(error, NotAllowed)
        self._reload_error = error, datetime.now(UTC)

    def _forget_trouble(self) -> None:
        self.waits_for_allow = False
        self._last_trouble = ""
        self._reload_error = None

    async def _reload_watched(self) -> None:
        before = self.daemon.generation.merged
        recent = asyncio.get_running_loop().time() - self._commanded_at < _NEWS_S
        if recent and await asyncio.to_thread(self._reads_the_same, before):
            return
        await self.reload(f"{self.file_name} changed")

    def _reads_the_same(self, before: Merged) -> bool:
        try:
            return self.daemon.source.read() == before
        except DevtlsError:  # the reload says it
            return False

    async def _tell_of_reload(self, why: str, before: Generation, after: Generation) -> None:
        if after.authority is not before.authority:
            self._log.say(f"The CA is another one now: devtls root {after.authority.id}.", event="authority_replaced")
        else:
            self._log.say(f"{why}: {_routes(len(after.snapshot.routes.routes))} now.", event="reloaded")
        if late := needs_restart(self._begun, before, after):
            self._log.warn(f"{late} changed: that counts from the next start on.")
        self._warn_of_unchecked(after)
        if after.snapshot.config.routes != before.snapshot.config.routes or after.authority is not before.authority:
            await self.show_banner()

    # -- the end ------------------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        loop = asyncio.get_running_loop()
        ends = [signal.SIGINT, signal.SIGTERM]
        if sys.platform == "win32":
            for number in ends:
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.end))
            return
        for number in ends:
            loop.add_signal_handler(number, self.end)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)
        self._has_terminal = _terminal_is_there()

    def _hang_up(self) -> None:
        # The same signal says that somebody wants a reload and that the terminal's window was closed: who is left
        # behind by a closed window must not hold the ports for ever.
        if self._has_terminal and not _terminal_is_there():
            self.end()
        else:
            self._spawn(self.reload("SIGHUP"))

    def end(self) -> None:
        """The first call drains, the second cuts."""
        if self._ending.is_set():
            self._cutting.set()
        self._ending.set()

    def end_by_command(self, now: bool) -> None:
        """Drain, or cut `now`; a second `devtls stop` is as patient as the first."""
        if now:
            self._cutting.set()
        self._ending.set()

    @property
    def ending(self) -> bool:
        """Whether the end has begun."""
        return self._ending.is_set()

    async def _end(self) -> ExitCode:
        daemon = self.daemon
        for task in list(self._tasks):
            task.cancel()
        if daemon.watch is not None:
            await asyncio.to_thread(daemon.watch.close)
        grace_s = daemon.config.limits.shutdown_grace_s
        if self._manager is not None:
            self._manager.stopping(grace_s)
        stopping = asyncio.ensure_future(daemon.stop(grace_s))
        cutting = asyncio.ensure_future(self._cutting.wait())
        await asyncio.wait([stopping, cutting], timeout=_IDLE_ENDS_S, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done() and not cutting.done():
            busy = daemon.busy_connections()
            requests = "1 request" if busy == 1 else f"{busy} requests"
            self._log.say(f"Waiting up to {grace_s:g} s for {requests}; Ctrl-C again cuts.", event="draining")
            await asyncio.wait([stopping, cutting], return_when=asyncio.FIRST_COMPLETED)
        cut = not stopping.done()
        if cut:
            daemon.cut()
        await stopping
        cutting.cancel()
        self._log.say("devtls has ended.", event="stopped")
        return ExitCode.INTERRUPTED if cut else ExitCode.OK

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, Exception):
                raise error
            self._log.fault(0, error)


async def _load(*names: str) -> None:
    """Import modules of ours beside the loop; while no file can be opened, again and again."""
    missing = {f"devtls.daemon.{name}" for name in names} - sys.modules.keys()
    while missing:
        try:
            await asyncio.to_thread(import_module, next(iter(missing)))
        except OSError:
            await asyncio.sleep(_RETRY_S)
        missing -= sys.modules.keys()


def _collect_garbage() -> None:
    # Nothing that was imported will ever be garbage: what runs from now on is all that is worth a look.
    gc.freeze()
    gc.enable()


def _terminal_is_there() -> bool:
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _routes(count: int) -> str:
    return "1 route" if count == 1 else f"{count} routes"
