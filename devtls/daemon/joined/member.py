"""A `devtls serve` that joined the one that runs, and what it does when that one ends.

Owns the choice of the proxy to join, the stay (a connection of the control channel: its log lines come over it, and its
end is the end of the routes), and the take-over of the listeners. Of several processes the one that binds the port
first serves, the others join it. Refuses to make a CA then: one that was deleted meanwhile was meant to go.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import msgspec

from devtls.config import Merged, ServeConfig
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.libraries import in_our_words
from devtls.daemon.joined.settings import read_settings
from devtls.daemon.listeners import HTTPS_PORT, HTTPS_STAND_IN
from devtls.daemon.run import Process, loop_factory
from devtls.daemon.shutdown import handle_signals
from devtls.errors import ConfigError, DevtlsError, ExitCode, NoAuthority, NotRunning, PortInUse, Refused, StateError
from devtls.operations.control import RunningProxy, find_running, open_stream, raise_failure
from devtls.operations.reporter import Reporter, SilentReporter
from devtls.system.machine.notify import Manager, take_manager
from devtls.web.control_messages import JOIN, LEAVE, REJOIN, Done, JoinAnswer, JoinMessage, JoinRequest, MemberRequest

_TAKE_OVER_S = 0.9
"""A tenth less than the second that is promised. A killed process may lose its sockets one after the other."""
_POLL_S = 0.03


def find_proxy(daemon: Daemon, serve: ServeConfig, reporter: Reporter) -> RunningProxy | None:
    """Return the proxy to join, None for a process of its own: nothing runs, or on other ports or addresses.

    `serve` is what was asked for. Blocks. Raises Refused when several could be meant, StateError for another state.
    """
    found = _choose(_lasting(find_running(daemon.source.paths, reporter)), serve)
    if found is not None:
        mine, theirs = str(daemon.source.paths.state_dir), found.about.state_dir
        if theirs and os.path.realpath(mine) != os.path.realpath(theirs):
            raise StateError(
                f"{found.label}, which runs, works with the state directory {theirs}, and not with {mine}.",
                path=mine,
                hint="name the same one in DEVTLS_STATE_DIR, or --alone with --https-port 0 for a process of its own",
            )
    return found


def _lasting(running: Sequence[RunningProxy]) -> list[RunningProxy]:
    return [one for one in running if not one.about.stopping and not one.about.demo]


def _choose(running: Sequence[RunningProxy], serve: ServeConfig) -> RunningProxy | None:
    if serve.listen:
        running = [one for one in running if set(one.about.listen) == set(serve.listen)]
    if serve.https_port is not None:
        return next((one for one in running if one.about.https_port == serve.https_port), None)
    usual = [one for one in running if one.about.https_port in (HTTPS_PORT, HTTPS_STAND_IN)]
    if usual or len(running) <= 1:
        return next(iter(usual or running), None)
    ports = ", ".join(f"{one.about.https_port} (process {one.about.pid})" for one in running)
    raise Refused(
        f"{len(running)} devtls serve of yours run, on the ports {ports}.",
        hint=f"--https-port {running[0].about.https_port} joins the first, --alone is a process of its own",
    )


def join(daemon: Daemon, reporter: Reporter, write: Callable[[str], None]) -> ExitCode | None:
    """Join the proxy that runs until this process is told to end; None when there is none to join.

    `write` takes the lines of the log. Raises DevtlsError: the configuration cannot be used, or the proxy refuses it.
    """
    source, log = daemon.source, daemon.log
    # Before the CA: one is made when there is none, which is no business of a process that cannot join.
    config = source.read().config
    proxy = find_proxy(daemon, config.serve, reporter) if config.routes else None
    if proxy is None:
        return None
    # What it needs to take over; a locked CA asks for its passphrase now, while somebody is there.
    merged, authority = daemon.read()
    log.as_json = config.serve.log_format == "json"
    gc.enable()
    request = JoinRequest(
        pid=os.getpid(),
        directory=source.typed.directory,
        arguments=source.typed.routes,
        allow_remote=source.typed.allow_remote,
        config_file=None if source.found is None else str(source.found.path),
        named=source.found is not None and source.found.explicit,
        flags=dict(source.flags),
        state_dir=str(source.paths.state_dir),
        ca_sha256=authority.fingerprint,
        level=log.level,
        as_json=log.as_json,
        colour=log.style.colour,
        links=log.style.links,
    )
    with in_our_words(log):
        return Member(daemon, merged, request, write).run(proxy)


class Member:
    """One process, from its joining to its end; `request` asks for its place, `write` takes the lines of its log."""

    def __init__(self, daemon: Daemon, merged: Merged, request: JoinRequest, write: Callable[[str], None]) -> None:
        self._daemon = daemon
        self._merged = merged
        """The last configuration of its own that could be used."""
        self._request = request
        self._write = write
        self._lease: _Stay | None = None
        self._manager: Manager | None = None
        self._is_ended = False
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, proxy: RunningProxy) -> ExitCode:
        """Stay with `proxy` until this process is told to end, then with what takes its place; raises DevtlsError."""
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(self._run(proxy))

    async def _run(self, first: RunningProxy) -> ExitCode:
        handle_signals(self._end, self._read_again)
        proxy: RunningProxy | None = first
        while proxy is not None:
            if self._is_ended or not await self._stay(proxy) or self._is_ended:
                self._daemon.log.say("devtls has ended.", event="stopped")
                return ExitCode.OK
            proxy = await self._take_over(proxy)
        process = Process(self._daemon, self._daemon.log.style)
        process.reloader.manager = self._manager
        if self._is_ended:  # while the ports were bound
            process.shutdown.end()
        return await process.run()

    def _end(self) -> None:
        self._is_ended = True
        if self._lease is not None:
            self._lease.messages.put_nowait(JoinMessage(kind="end"))

    # -- while it lasts -----------------------------------------------------------------------------------------------

    async def _stay(self, proxy: RunningProxy) -> bool:
        """Have `proxy` serve our routes; says whether it is gone, and not this process that is to end."""
        try:
            lease = await asyncio.to_thread(_Stay, proxy, self._request, asyncio.get_running_loop())
        except NotRunning:  # killed in this very moment
            return True
        self._lease = lease
        source = self._daemon.source
        self._daemon.source = msgspec.structs.replace(source, inherited=lease.settings)
        with suppress(ConfigError):  # it was edited a moment ago: the watch tells
            self._merged = await asyncio.to_thread(self._daemon.source.read)
        self._tell_manager(proxy)
        self._watch_file()
        try:
            while (message := await lease.messages.get()).kind == "line":
                self._write(message.text)
            if message.kind == "end":
                await asyncio.to_thread(lease.leave)
        finally:
            self._lease = None
            lease.close()
        return message.kind == "free"

    def _tell_manager(self, proxy: RunningProxy) -> None:
        if "NOTIFY_SOCKET" in os.environ:
            self._manager = take_manager()
        if self._manager is not None:
            self._manager.ready(f"Joined {proxy.label}, which serves https on port {proxy.about.https_port}")

    def _watch_file(self) -> None:
        if (watch := self._daemon.watch) is not None:
            loop = asyncio.get_running_loop()
            self._daemon.config_changed = lambda: _call(loop, self._read_again)
            watch.start()

    def _read_again(self) -> None:
        """Have the proxy read our file again: it tells us in our log what it makes of it."""
        if (lease := self._lease) is not None:
            task = asyncio.get_running_loop().create_task(self._reload(lease))
            # The loop keeps only weak references to tasks (asyncio.create_task).
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reload(self, lease: _Stay) -> None:
        try:
            done = await asyncio.to_thread(lease.reload)
            if done.error is None:
                self._merged = await asyncio.to_thread(self._daemon.source.read)
        except NotRunning:  # its end is noticed by the lease
            return
        except DevtlsError as error:
            self._daemon.log.error(error)

    # -- when the proxy is gone ---------------------------------------------------------------------------------------

    async def _take_over(self, gone: RunningProxy) -> RunningProxy | None:
        """Bind the ports of a proxy that has ended; returns the one that was faster. Raises DevtlsError."""
        loop, log = asyncio.get_running_loop(), self._daemon.log
        deadline = loop.time() + _TAKE_OVER_S
        while True:
            # Asked before the attempt: the last one is after the deadline, however long the others took.
            late = loop.time() > deadline
            try:
                await asyncio.to_thread(self._bind)
            except PortInUse as error:
                taken = error
            else:
                log.say(f"{gone.label} has ended; this one serves now.", event="taken_over", pid=gone.about.pid)
                return None
            others = await asyncio.to_thread(self._others, gone)
            if (other := _choose(_lasting(others), self._merged.config.serve)) is not None:
                log.say(f"{gone.label} has ended; {other.label} serves now.", event="moved", pid=other.about.pid)
                return other
            if any(one.about.stopping for one in others):  # it was faster, and ends by now
                deadline = loop.time() + _TAKE_OVER_S
            elif late:
                raise PortInUse(
                    f"{gone.label} has ended, and its port is not to be had: {taken}",
                    port=taken.port,
                    holder=taken.holder,
                    hint=taken.hint,
                )
            await asyncio.sleep(_POLL_S)

    def _others(self, gone: RunningProxy) -> list[RunningProxy]:
        # A message of a proxy that ends at this moment would help nobody.
        running = find_running(self._daemon.source.paths, SilentReporter())
        return [one for one in running if one.channel != gone.channel]

    def _bind(self) -> None:
        """Open the ports. Raises DevtlsError; blocks."""
        daemon = self._daemon
        if daemon.keystore.fingerprint_on_disk() is None:
            raise NoAuthority("The CA was deleted, so nothing is taken over.", hint="devtls serve makes a new one")
        try:
            merged, authority = daemon.read()
        except ConfigError as error:
            daemon.log.error(error)
            merged, authority = self._merged, daemon.keystore.load_signer(datetime.now(UTC))
        daemon.open(merged, authority)


class _Stay:
    """A stay with one proxy; made, and asked, in a thread. Raises DevtlsError when the proxy refuses."""

    def __init__(self, proxy: RunningProxy, request: JoinRequest, loop: asyncio.AbstractEventLoop) -> None:
        self.messages: asyncio.Queue[JoinMessage] = asyncio.Queue()
        self._proxy = proxy
        self._stream = open_stream(proxy.channel, JOIN, request)
        self._lines = self._stream.lines()
        first = next(self._lines, b"")
        if not first:
            self._stream.close()
            raise NotRunning(f"{proxy.label} has ended.")
        try:
            self.answer = msgspec.json.decode(first, type=JoinAnswer)
            raise_failure(self.answer.error)
            self.settings = read_settings(self.answer.settings)
        except msgspec.MsgspecError as error:
            self._stream.close()
            raise DevtlsError(f"{proxy.label} is of another version: {error}.", hint="devtls stop") from error
        except DevtlsError:
            self._stream.close()
            raise
        # A daemon thread: it waits for a line that may never come.
        threading.Thread(target=self._read, args=(loop,), name="devtls-joined", daemon=True).start()

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in self._lines:
            message = msgspec.json.decode(line, type=JoinMessage)
            _call(loop, partial(self.messages.put_nowait, message))
        # The kernel closes the connection of a proxy that was killed: the same as its own word.
        _call(loop, partial(self.messages.put_nowait, JoinMessage(kind="free")))

    def reload(self) -> Done:
        """Have our file read again. Raises DevtlsError."""
        return self._proxy.send(REJOIN, MemberRequest(id=self.answer.id))

    def leave(self) -> None:
        """Wait until our routes are gone."""
        with suppress(DevtlsError):  # the end of the connection says the same
            self._proxy.send(LEAVE, MemberRequest(id=self.answer.id))

    def close(self) -> None:
        """Close the connection, which ends the stay."""
        self._stream.close()


def _call(loop: asyncio.AbstractEventLoop, act: Callable[[], object]) -> None:
    with suppress(RuntimeError):  # the loop ended a moment ago
        loop.call_soon_threadsafe(act)
