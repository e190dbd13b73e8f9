"""The shutdown of a running proxy: the signals that ask for it, and the end of its open connections.

Owns the two degrees, to drain and to cut, and how connections share the grace: a response that moves, and a request
whose response has not begun, get all of it; a response that stands still is a stream without end (events, a log that is
followed) and holds Ctrl-C no longer than `STILL_S`. Refuses to cut a transfer in the middle.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from devtls.daemon.generation import Site
from devtls.net.client.service import ClientConnection

STILL_S = 0.5
"""An event stream's client connects again by itself; a transfer that pauses longer than this is rare on loopback."""
_EARLY_S = 0.3
# Seconds: how late the end may notice that the last connection is gone.
_LOOK_S = 0.02


async def drain(connections: AbstractSet[ClientConnection], grace_s: float) -> None:
    """Let `connections` finish what runs; returns when all are gone, or after `grace_s` seconds."""
    for connection in list(connections):
        connection.drain()
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_s
    moved: dict[ClientConnection, tuple[int, float]] = {}
    while connections and (now := loop.time()) < deadline:
        for connection in list(connections):
            position = connection.response_position
            # No response has begun: the app may think for the whole grace.
            if position is None:
                moved.pop(connection, None)
            elif moved.get(connection, (None, 0.0))[0] != position:
                moved[connection] = (position, now)
            elif now - moved[connection][1] >= STILL_S:
                connection.abort()
        await asyncio.sleep(_LOOK_S)


async def close_early(sites: Sequence[Site]) -> list[asyncio.Task[None]]:
    """Close the ports of DNS, PAC and CRLs: no exchange needs them, the next proxy does. Returns what closes still."""
    closing = [asyncio.get_running_loop().create_task(_close(site)) for site in sites]
    if closing:
        # A slow client of the CRL port must not hold the next proxy up.
        await asyncio.wait(closing, timeout=_EARLY_S)
    return closing


async def _close(site: Site) -> None:
    await site.close()


class Shutdown:
    """The first request to end drains connections, the second cuts them."""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.cutting = asyncio.Event()

    def end(self) -> None:
        """Drain; when that goes on already, cut."""
        if self.ending.is_set():
            self.cutting.set()
        self.ending.set()

    def end_by_command(self, now: bool) -> None:
        """Drain, or cut `now`; a second `devtls stop` is as patient as the first."""
        if now:
            self.cutting.set()
        self.ending.set()

    @property
    def has_begun(self) -> bool:
        """Whether the proxy is about to end."""
        return self.ending.is_set()


def handle_signals(end: Callable[[], None], reload: Callable[[], None]) -> None:
    """Have SIGINT and SIGTERM call `end`, SIGHUP `reload`, or `end` when it came because the terminal was closed."""
    loop = asyncio.get_running_loop()
    ends = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        for number in ends:
            # asyncio has no add_signal_handler on Windows.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))
        return
    for number in ends:
        loop.add_signal_handler(number, end)
    # Asked now: once the terminal is gone, nothing tells whether there was one.
    had_terminal = _terminal_is_there()

    def hang_up() -> None:
        # The same signal asks for a reload and says that the terminal's window was closed: a proxy that was left behind
        # by a closed window must not hold the ports for ever.
        if had_terminal and not _terminal_is_there():
            end()
        else:
            reload()

    loop.add_signal_handler(signal.SIGHUP, hang_up)


def _terminal_is_there() -> bool:
    if sys.platform == "win32":
        return False
    try:
        # O_NOCTTY: asking for a terminal must not make it ours (open(2)); ENXIO says that it is gone.
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
