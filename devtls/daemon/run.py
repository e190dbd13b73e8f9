"""The process around a running proxy: event loop, signals, and what happens after the start.

Owns what a signal means: SIGHUP reloads (or ends, when it came because the terminal was closed), the first SIGINT or
SIGTERM drains within the grace and ends with 0, the second cuts. Refuses to end for anything that comes from the
network or from a configuration that broke while it was edited. What no request has to wait for is imported and started
after the listeners are open.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from devtls.daemon.assembly import Daemon
from devtls.daemon.console.libraries import watch_loop
from devtls.daemon.reload import Reloader
from devtls.daemon.shutdown import Shutdown, handle_signals
from devtls.errors import ExitCode
from devtls.system.machine.descriptors import ENOUGH, RESERVE, raise_descriptor_limit

if TYPE_CHECKING:
    from devtls.daemon.console.banner import Remark
    from devtls.daemon.console.style import TerminalStyle
    from devtls.daemon.state_watch import StateWatch

_CONTROL_APP = "devtls.daemon.control_commands:make_app"
# Seconds until modules are tried again when no descriptor was left to open them.
_RETRY_S = 2.0
# Seconds after the ports are open that belong to the first requests alone.
_SETTLE_S = 0.25
_IDLE_ENDS_S = 0.1
"""Idle connections end at once; what is left after this time is a request."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return uvloop's loop (winloop's on Windows) where there is one, else asyncio's."""
    try:
        module = import_module("winloop" if sys.platform == "win32" else "uvloop")
    except ImportError:
        # Both are extras: without a compiler or wheel for this platform devtls runs all the same.
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = module.new_event_loop
    return factory


def run_daemon(daemon: Daemon, style: TerminalStyle) -> ExitCode:
    """Serve until a signal; `daemon` is prepared. Returns the exit code of the process."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(Process(daemon, style).run())


class Process:
    """Signals and tasks of one daemon."""

    def __init__(self, daemon: Daemon, style: TerminalStyle) -> None:
        self.daemon = daemon
        self.since = datetime.now(UTC)
        self.shutdown = Shutdown()
        self.reloader = Reloader(daemon, self._spawn, self.show_banner)
        self._log = daemon.log
        self._style = style
        self._tasks: set[asyncio.Task[object]] = set()
        self._remarks: list[Remark] = []
        """The remarks of the last banner: a reload repeats none of them."""

    async def run(self, instead: Callable[[], Coroutine[Any, Any, None]] | None = None) -> ExitCode:
        """Start, serve, end. `instead` runs once the ports are open, in the place of the banner and the watches."""
        handle_signals(self.shutdown.end, lambda: self._spawn(self.reloader.reload("SIGHUP")))
        watch_loop(asyncio.get_running_loop(), self._log)
        # Each exchange has two descriptors; the soft limit is 256 on macOS, 1,024 on Linux.
        raise_descriptor_limit(max(ENOUGH, 2 * self.daemon.config.limits.max_connections + RESERVE))
        # Signals are handled by now: a Ctrl-C during the start drains as later ones do.
        await self.daemon.start()
        self.daemon.control.start(
            _CONTROL_APP, self.daemon, self.since, self.reloader, self.shutdown, lambda: self.state_watch
        )
        if instead is None:
            self._announce()
        # sd_notify(3); after the ports are open, so that READY=1 is true.
        if "NOTIFY_SOCKET" in os.environ:
            self.reloader.manager = import_module("devtls.system.machine.notify").take_manager()
        self.reloader.tell_readiness()
        asyncio.get_running_loop().call_later(_SETTLE_S, _collect_garbage)
        self._spawn((instead or self._after_start)())
        await self.shutdown.ending.wait()
        return await self._end()

    def _announce(self) -> None:
        bound, log = self.daemon.bound, self._log
        http_port = bound.http_port
        routes = [
            {"name": route.config.key, "urls": route.urls(bound.https_port), "target": route.upstream.label}
            for route in self.daemon.generation.own_routes
        ]
        log.event("listening", https_port=bound.https_port, http_port=http_port, routes=routes)
        if not log.as_json:
            also = f", redirects from port {http_port}" if http_port is not None else ""
            log.say(f"devtls serves https on port {bound.https_port}{also}. Ctrl-C ends it.")
        if (found := self.daemon.source.found) is not None:
            own = any(route.source == str(found.path) for route in self.daemon.config.routes)
            empty = not own and not self.daemon.generation.merged.overridden
            where = f"{found.path} has no routes yet; it" if empty else f"Routes are in {found.path}, which"
            log.say(f"{where} is read again when it changes.", event="config")
        for note in bound.notes:
            log.say(note)
        if (error := self.daemon.control.error) is not None:
            log.warn(f"devtls status, stop and their kind cannot reach this serve: {error}", event="no_control")
        self.reloader.warn_of_unverified()

    # -- after the start ----------------------------------------------------------------------------------------------

    async def _after_start(self) -> None:
        """Do what no request has to wait for."""
        self._spawn(self.show_banner())
        # A first request that waits for us already comes before what a change of the file would need (watchdog: 60 ms);
        # a change that is made meanwhile is seen all the same.
        await asyncio.sleep(_SETTLE_S)
        # A start does not wait for HTTP/2, nor does the browser that is started next.
        with contextlib.suppress(OSError):  # no file can be opened just now: the first connection imports it
            await asyncio.to_thread(import_module, "devtls.net.client.h2")
            await asyncio.to_thread(import_module, "devtls.net.upstream.h2_pool")
        self.reloader.start_watch()
        self._spawn(self._start_auxiliary_listeners())
        await asyncio.to_thread(self.daemon.control.clean)
        await _load("devtls.daemon.state_watch", "devtls.daemon.revocations")
        await self.state_watch.run()

    async def _start_auxiliary_listeners(self) -> None:
        await _load("devtls.daemon.sites.dns", "devtls.daemon.sites.pac", "devtls.net.dns", "devtls.net.pac")
        await self.daemon.dns.start()
        await self.daemon.pac.start()

    async def show_banner(self) -> None:
        """Probe apps, names and trust, then show what was found."""
        if self._log.level == "quiet":
            return
        await _load("devtls.daemon.probes")
        self._remarks = await _probe_and_show(self.daemon, self._style, self._remarks)

    @cached_property
    def state_watch(self) -> StateWatch:
        """The watch on what other commands change."""
        return _make_state_watch(self.daemon, self.reloader)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def _end(self) -> ExitCode:
        daemon = self.daemon
        for task in list(self._tasks):
            # Watches and probes first: nothing may reload while connections drain.
            task.cancel()
        if daemon.watch is not None:
            # In a thread: it joins the watch's own, which may be in the middle of a callback.
            await asyncio.to_thread(daemon.watch.close)
        grace_s = daemon.config.limits.shutdown_grace_s
        if self.reloader.manager is not None:
            self.reloader.manager.stopping(grace_s)
        stopping = asyncio.ensure_future(daemon.stop(grace_s))
        cutting = asyncio.ensure_future(self.shutdown.cutting.wait())
        # Not told at once: most ends take no time, and would announce a wait that nobody has.
        await asyncio.wait([stopping, cutting], timeout=_IDLE_ENDS_S, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done() and not cutting.done():
            busy = daemon.busy_connections()
            # None at last when they end in this very moment.
            requests = "1 request" if busy == 1 else f"{busy} requests" if busy else "the last connections to close"
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
        # The loop keeps only weak references to tasks (asyncio.create_task).
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, Exception):
                # SystemExit and KeyboardInterrupt are no faults to be logged.
                raise error
            self._log.fault(0, error)


async def _load(*modules: str) -> None:
    """Import modules of ours in a thread; while no file can be opened, again and again."""
    missing = set(modules) - sys.modules.keys()
    while missing:
        try:
            await asyncio.to_thread(import_module, next(iter(missing)))
        except OSError:
            await asyncio.sleep(_RETRY_S)
        missing -= sys.modules.keys()


# What no start waits for: loaded by now, so that these are look-ups.


async def _probe_and_show(daemon: Daemon, style: TerminalStyle, remarks: Sequence[Remark]) -> list[Remark]:
    from devtls.daemon.probes import show

    return await show(daemon, style, remarks)


def _make_state_watch(daemon: Daemon, reloader: Reloader) -> StateWatch:
    from devtls.daemon.state_watch import StateWatch

    return StateWatch(daemon, reloader)


def _collect_garbage() -> None:
    # Nothing that was imported will ever be garbage: what runs from now on is all that is worth a look.
    gc.freeze()
    gc.enable()
