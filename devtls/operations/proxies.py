"""Requests to running proxies: reload, stop, the address of the PAC file.

Owns the wait for the end of a proxy that was told to stop. Refuses to call it ended while it answers.
"""

from __future__ import annotations

import time
from base64 import b64encode

import msgspec

from devtls.errors import DevtlsError
from devtls.http.pac import PAC_TYPE, pac_text
from devtls.names import parse_hostname
from devtls.operations.config_choice import config_here
from devtls.operations.control import RunningProxy, choose, find_running, raise_failure, without_demos
from devtls.operations.reporter import Reporter
from devtls.system.control.channel import end_by_force, is_gone
from devtls.system.machine.paths import Paths
from devtls.web.control_messages import (
    ABOUT,
    RELOAD,
    STATUS,
    STOP,
    About,
    ReloadRequest,
    RouteStatus,
    StatusAnswer,
    StopRequest,
)

# Seconds; a stop without requests is over in a moment, and a person waits for it.
_POLL_S = 0.02
# Seconds beyond the grace: what closes after the connections (sites, sockets, the log) takes its time too.
_MARGIN_S = 5.0


class ReloadedProxy(msgspec.Struct, frozen=True):
    """A proxy that has read everything again, and its routes from now on."""

    label: str
    routes: tuple[RouteStatus, ...]


def reload(paths: Paths, reporter: Reporter, pid: int | None) -> ReloadedProxy:
    """Have a proxy read its file and the CA again. Raises DevtlsError with the proxy's own reason."""
    one = _chosen(paths, reporter, pid, "reload")
    done = one.send(RELOAD, ReloadRequest(why="devtls reload"))
    raise_failure(done.error, f"{one.label} goes on with its old configuration: ")
    return ReloadedProxy(one.label, done.routes)


def stop(paths: Paths, reporter: Reporter, pid: int | None, *, now: bool) -> str:
    """End a proxy and wait until it is gone; return its label. Raises DevtlsError."""
    running = find_running(paths, reporter)
    host = next((one for one in running if pid in _joined(one)), None)
    if pid is not None and host is not None:
        return _end_joined(host, pid)
    # A demo is meant where nothing else runs, or by its number.
    one = choose(running if pid is not None else without_demos(running) or running, pid, config_here(paths), "stop")
    end(one, now=now)
    return one.label


def _end_joined(host: RunningProxy, pid: int) -> str:
    """End a process that joined `host`, and wait until its routes are gone; return its label. Raises DevtlsError."""
    label = f"devtls serve (process {pid})"
    raise_failure(host.send(STOP, StopRequest(pid=pid)).error)
    deadline = time.monotonic() + _MARGIN_S
    while pid in _joined(RunningProxy(host.channel, host.get(ABOUT, About))):
        if time.monotonic() > deadline:
            raise DevtlsError(f"{label} has not ended yet.", hint=end_by_force(pid))
        time.sleep(_POLL_S)
    return label


def _joined(one: RunningProxy) -> list[int]:
    return [each.pid for each in one.about.joined]


def end(one: RunningProxy, *, now: bool = False, with_joined: bool = False) -> None:
    """End a proxy, perhaps with those that joined it, and wait until it is gone. Raises DevtlsError."""
    done = one.send(STOP, StopRequest(now=now, with_joined=with_joined))
    raise_failure(done.error)
    # The proxy's own grace, not ours: its configuration may give requests minutes.
    deadline = time.monotonic() + done.grace_s + _MARGIN_S
    # It answers before it ends, so the answer proves nothing; the channel disappears with the process.
    while not is_gone(one.channel):
        if time.monotonic() > deadline:
            raise DevtlsError(f"{one.label} has not ended yet.", hint=end_by_force(one.about.pid))
        time.sleep(_POLL_S)


class PacFile(msgspec.Struct, frozen=True):
    """The port on which a proxy serves the PAC file, and the file itself as it is now."""

    port: int
    text: bytes

    @property
    def url(self) -> str:
        """The address at which the proxy serves it."""
        return f"http://127.0.0.1:{self.port}/proxy.pac"

    @property
    def data_url(self) -> str:
        """The file as an address of its own, which asks nobody (RFC 2397)."""
        return f"data:{PAC_TYPE.decode()};base64,{b64encode(self.text).decode()}"


def pac_file(paths: Paths, reporter: Reporter, pid: int | None) -> PacFile:
    """Return the PAC file of a proxy. Raises DevtlsError."""
    one = _chosen(paths, reporter, pid, "pac")
    port, reason = one.about.pac_port, one.about.pac_trouble
    if port is None:
        raise DevtlsError(
            reason or f"{one.label} hands out no PAC file.", hint="`enabled` and `port` in [pac] of devtls.toml"
        )
    # Of the zones that it tells us, not by a request to the port, which may be somebody else's by now.
    zones = tuple(parse_hostname(zone) for zone in one.get(STATUS, StatusAnswer).serve.zones)
    return PacFile(port, pac_text(zones, port))


def _chosen(paths: Paths, reporter: Reporter, pid: int | None, command: str) -> RunningProxy:
    return choose(without_demos(find_running(paths, reporter)), pid, config_here(paths), command)
