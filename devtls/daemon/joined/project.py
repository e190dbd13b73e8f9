"""One process that joined this proxy, as the proxy knows it: what it asked for, its routes, and its log lines.

Owns the messages that wait for its terminal, and their bound: what a process that does not read (stopped by Ctrl-Z,
say) leaves is dropped and counted. Its log is a log as ours is, in the style of its own terminal.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from devtls.config import Config, Merged, RouteConfig
from devtls.config.lines import visible
from devtls.daemon.console.log import Log
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.source import JoinedRoutes, describe_owner
from devtls.errors import DevtlsError
from devtls.web.control_messages import ErrorInfo, JoinAnswer, JoinMessage, JoinRequest

_MOST_WAITING = 10_000
"""Lines; as many as `LineWriter` keeps."""


class JoinedProject:
    """One process that joined: `web.control_endpoint.Lease`."""

    def __init__(self, asked: JoinRequest, give_up: Callable[[JoinedProject], Awaitable[None]]) -> None:
        self.asked = asked
        self.since = datetime.now(UTC)
        self.answer = JoinAnswer()
        self.merged = Merged(Config(), ())
        """Its own configuration, without that of the proxy."""
        self.arguments: tuple[RouteConfig, ...] | None = None
        """The routes of its command line, once they were read."""
        self.error: tuple[DevtlsError, datetime] | None = None
        """Why its last reload failed, and when."""
        self.watches_file = asked.config_file is not None
        """Whether it has a file that nobody else serves."""
        style = TerminalStyle(asked.colour, asked.links)
        self.log = Log(self._line, as_json=asked.as_json, level=asked.level, style=style, monotonic=time.monotonic)
        self._give_up = give_up
        self._waiting: deque[JoinMessage] = deque()
        self._dropped = 0
        self._woken = asyncio.Event()
        self._over = False

    @property
    def label(self) -> str:
        """Its name in a sentence."""
        return describe_owner(self.asked.pid, visible(self.asked.directory))

    @property
    def routes(self) -> JoinedRoutes:
        """The routes that this proxy serves for it."""
        return JoinedRoutes(self.asked.pid, self.label, self.merged.config.routes)

    @property
    def names(self) -> str:
        """Its routes in a sentence."""
        return ", ".join(visible(route.key) for route in self.merged.config.routes) or "no routes"

    @property
    def file_name(self) -> str:
        """Its file in a sentence."""
        return Path(self.asked.config_file or "devtls.toml").name

    def _line(self, text: str) -> None:
        if len(self._waiting) < _MOST_WAITING:
            self._send(JoinMessage(kind="line", text=text))
        else:
            self._dropped += 1

    def _send(self, message: JoinMessage) -> None:
        self._waiting.append(message)
        self._woken.set()

    def finish(self, kind: Literal["free", "end"]) -> None:
        """Send one more message, and nothing after it."""
        if not self._over:
            self._send(JoinMessage(kind=kind))
            self._over = True

    async def messages(self) -> Sequence[JoinMessage]:
        """Return what waits, as soon as there is anything; nothing at the end."""
        while not self._waiting and not self._over:
            self._woken.clear()
            await self._woken.wait()
        found = list(self._waiting)
        self._waiting.clear()
        if self._dropped:
            found.append(JoinMessage(kind="line", text=f"({self._dropped} lines were not written: nobody read them)"))
            self._dropped = 0
        return found

    async def end(self) -> None:
        """Give its routes up: its connection is closed."""
        self._over = True
        self._woken.set()
        await self._give_up(self)


class RefusedProject:
    """The lease of a process that may not join: an error, and nothing more."""

    def __init__(self, error: ErrorInfo) -> None:
        self.answer = JoinAnswer(error=error)

    async def messages(self) -> Sequence[JoinMessage]:
        """Return nothing: the answer was all."""
        return ()

    async def end(self) -> None:
        """Do nothing: there is nothing to give up."""
