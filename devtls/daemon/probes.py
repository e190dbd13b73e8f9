"""Probes behind the banner: does each app answer, does each name resolve to us, is the root trusted.

Owns the time that may take: one second, then what is not known is not said. Nothing here delays a request: it runs
after the ports are open, apps are asked by the loop, names by threads that may be left behind.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from devtls.config import StaticTarget
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.banner import Findings, Remark, find_remarks, join_banner, render_routes
from devtls.daemon.console.log import Log
from devtls.daemon.console.style import TerminalStyle
from devtls.errors import DevtlsError
from devtls.routing import Route, Upstream
from devtls.system.changes.resolver.discovery import names_in_block
from devtls.system.machine.machine import Machine
from devtls.system.machine.name_resolution import LOST, Resolves, resolve

# A tenth less than the second that is promised, for everything around it.
_CAP_S = 0.9
# Each name is resolved in a thread of its own.
_MOST_NAMES = 40
_T = TypeVar("_T")


Part = tuple[Sequence[Route], Sequence[str], Log]
"""The routes of one process, the names of those that its command line replaces, and its log."""


async def show(daemon: Daemon, style: TerminalStyle, shown: Sequence[Remark], part: Part | None = None) -> list[Remark]:
    """Probe, then show the banner without the remarks that were `shown` already; returns all remarks.

    It is about a joined process with `part`, else about this one.
    """
    generation, port = daemon.generation, daemon.bound.https_port
    routes, overridden, log = part or (generation.own_routes, generation.merged.overridden, daemon.log)
    findings = await probe(daemon, routes)
    remarks = find_remarks(routes, port, findings, overridden, style)
    fresh = [remark for remark in remarks if remark not in shown]
    log.block(join_banner(render_routes(routes, port, findings, style), fresh))
    log.event(
        "ready",
        trusted=findings.trusted,
        apps={label: not why for label, why in findings.apps.items()},
        names={host: found.value for host, found in findings.names.items()},
    )
    return remarks


async def probe(daemon: Daemon, routes: Sequence[Route] | None = None) -> Findings:
    """Find everything out about these routes, or all, within a second."""
    routes = daemon.generation.snapshot.routes.routes if routes is None else routes
    apps = {
        route.upstream.label: route.upstream for route in routes if not isinstance(route.config.target, StaticTarget)
    }
    directories = {route.config.target.directory for route in routes if isinstance(route.config.target, StaticTarget)}
    hosts = dict.fromkeys(host for route in routes for host in route.hosts)
    answers, names, (trusted,), missing = await asyncio.gather(
        asyncio.gather(*(_answers(upstream) for upstream in apps.values())),
        resolve_all(list(hosts)),
        # Of a store that does not answer in time nothing is known, good or bad.
        _ask_all([partial(_is_trusted, daemon)], otherwise=None),
        asyncio.to_thread(_missing_directories, directories),
    )
    found = {label: why for label, why in zip(apps, answers, strict=True) if why is not None}
    lost = not LOST.isdisjoint(names.values())
    # Only where something does not resolve: then the remedy is setup, or doctor if setup was there.
    written = await asyncio.to_thread(_written_names) if lost else frozenset[str]()
    return Findings(
        found,
        names,
        trusted,
        daemon.made_authority,
        daemon.source.trust_command,
        missing,
        written,
    )


def _written_names() -> frozenset[str]:
    try:
        return names_in_block(Machine.here())
    except OSError:  # no file can be opened just now: then nothing is known to be written
        return frozenset()


def _missing_directories(directories: Iterable[str]) -> frozenset[str]:
    return frozenset(directory for directory in directories if not Path(directory).is_dir())


async def _answers(upstream: Upstream) -> str | None:
    """Return "" when something listens there, why not, or None when that is not known."""
    try:
        async with asyncio.timeout(_CAP_S):
            if upstream.unix_path:
                return await _connect(None, upstream.unix_path)
            # A bare port is both loopback families, and most apps listen on one of them.
            tried = [await _connect(address, "") for address in upstream.addresses]
            if not upstream.addresses:
                tried = [await _connect((upstream.host, upstream.port), "")]
            return "" if "" in tried else tried[0]
    except TimeoutError:
        return "no answer yet"


async def _connect(address: tuple[str, int] | None, unix_path: str) -> str:
    loop = asyncio.get_running_loop()
    try:
        if address is None:
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, unix_path)
        else:
            transport, _ = await loop.create_connection(asyncio.Protocol, *address)
    except OSError as error:
        return "nothing listens there" if isinstance(error, ConnectionRefusedError) else _words(error)
    # Nothing is sent: a request could have an effect in the app.
    transport.close()
    return ""


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


async def resolve_all(hosts: Sequence[str]) -> dict[str, Resolves]:
    """Return where names lead, the first forty of them."""
    hosts = hosts[:_MOST_NAMES]
    asking = [partial(resolve, host) for host in hosts]
    return dict(zip(hosts, await _ask_all(asking, otherwise=Resolves.UNKNOWN), strict=True))


async def _ask_all(questions: Sequence[Callable[[], _T]], *, otherwise: _T) -> list[_T]:
    """Call each in a thread of its own; what has no answer in time is `otherwise`."""
    # Not the loop's executor: its threads are waited for at the end, and a resolver may hang for minutes.
    loop = asyncio.get_running_loop()
    waiting: list[asyncio.Future[_T]] = [loop.create_future() for _ in questions]

    def ask(question: Callable[[], _T], future: asyncio.Future[_T]) -> None:
        found = question()

        def settle() -> None:
            if not future.done():
                future.set_result(found)

        try:
            # The future may be cancelled by now, which only the loop's thread can tell.
            loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop is gone: nobody waits any more
            return

    for question, future in zip(questions, waiting, strict=True):
        threading.Thread(target=ask, args=(question, future), name="devtls-probe", daemon=True).start()
    if waiting:
        await asyncio.wait(waiting, timeout=_CAP_S)
    found = [future.result() if future.done() else otherwise for future in waiting]
    for future in waiting:
        # The thread goes on; its answer finds the future done and is dropped.
        future.cancel()
    return found


def _is_trusted(daemon: Daemon) -> bool | None:
    """Whether `devtls trust` put the root somewhere, and it is still there.

    Without an entry no store is asked: finding the stores of a machine that was never prepared is slow.
    """
    from devtls.system.changes.record import ChangeRecord

    fingerprint = daemon.generation.authority.fingerprint
    try:
        if all(entry.fingerprint != fingerprint for entry in ChangeRecord(daemon.source.paths.state_dir).installed()):
            return False
        # After the record: on a busy machine these take half of the second.
        from devtls.system.changes.truststore.discovery import root_is_trusted
        from devtls.system.machine.execute import ProcessRunner
        from devtls.system.machine.machine import Machine

        machine = Machine.here()
        return root_is_trusted(machine, ProcessRunner(machine.elevation, machine.root), fingerprint)
    except (DevtlsError, OSError):
        return False
