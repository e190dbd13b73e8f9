"""The interface between a relay and its way to an app, whichever HTTP version the app speaks.

A relay uses an `UpstreamHandle`: an HTTP/1 connection of its own, or one stream of an HTTP/2 connection that many
share. The handle reports to its `UpstreamUser`, the relay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from devtls.http.events import Data, EndOfMessage, Request, Trailers, UpstreamEvent
from devtls.routing import Upstream


class UpstreamUser(Protocol):
    """The user of a connection: a relay."""

    def upstream_event(self, event: UpstreamEvent) -> None:
        """Take an event of the app's answer; `upstream_flush` follows."""

    def upstream_events(self, events: list[UpstreamEvent]) -> None:
        """Take all events of one read, and send what they made."""

    def upstream_flush(self) -> None:
        """All events of one read are delivered: send what they made."""

    def upstream_writable(self, writable: bool) -> None:
        """The app reads more slowly (False) or again (True)."""


class UpstreamHandle(Protocol):
    """What a relay and the pool need of a way to an app: a connection of its own, or a stream of a shared one."""

    upstream: Upstream
    user: UpstreamUser | None
    writable: bool
    closed: bool

    @property
    def transport(self) -> asyncio.Transport:
        """What a tunnel writes to."""

    def start_tunnel(self) -> bytes:
        """Leave HTTP after a 101 arrived: return what the upstream sent behind it."""

    def send(self, event: Request | Data | Trailers | EndOfMessage) -> None:
        """Encode an event; `flush` sends it."""

    def flush(self) -> None:
        """Send what was encoded, in one write."""

    def pause_reading(self) -> None:
        """Let the app wait."""

    def resume_reading(self) -> None:
        """Let the app go on."""

    def abort(self) -> None:
        """End it at once; its user hears of it no more."""

    def when_lost(self, then: Callable[[], None]) -> None:
        """Call `then` when nothing of it is left."""
