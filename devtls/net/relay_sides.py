"""The interfaces between a relay and those that it works for: a client's connection, and the dispatcher.

Each is generic over the relay, which has a module of its own: no circle of imports.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from devtls.http.actions import ReportCookies, SendErrorPage
from devtls.http.answers.content import LocalResponse
from devtls.http.events import Data, EndOfMessage, InformationalResponse, Reset, Response, Trailers
from devtls.net.framework_watch import ResponseWatch
from devtls.net.upstream.handle import UpstreamHandle
from devtls.net.upstream.pool import Pool

RelayT_contra = TypeVar("RelayT_contra", contravariant=True)


class RelayClient(Protocol[RelayT_contra]):
    """The part of a client connection that a relay uses."""

    def send(self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset) -> None:
        """Encode an event for the client. Raises HeadTooLarge for a response that the client does not take."""

    def send_whole(self, head: Response, body: Data) -> None:
        """Encode a head, its only piece of body and the end; raises as `send`."""

    def flush(self) -> None:
        """Send what was encoded."""

    def open_tunnel(self, relay: RelayT_contra, upstream: UpstreamHandle) -> None:
        """HTTP is over: join the two transports."""

    def finished(self, relay: RelayT_contra, *, complete: bool) -> None:
        """The exchange is over."""

    def pause_request(self) -> None:
        """The app does not keep up with this request's body."""

    def resume_request(self) -> None:
        """The app has caught up."""

    def fault(self, error: Exception) -> None:
        """Report a bug of ours in a task of the relay's."""

    def wake_at(self, when: float) -> None:
        """Call `Relay.tick` at this time of the loop, or a little later."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that both connections run on."""

    @property
    def writable(self) -> bool:
        """The client keeps up."""


class RelayDispatcher(Protocol[RelayT_contra]):
    """What a relay needs of the dispatcher that made it."""

    pool: Pool

    def error_page(self, relay: RelayT_contra, failure: SendErrorPage) -> LocalResponse:
        """Return the page that the client gets in the place of the app's response."""

    def watch(self, relay: RelayT_contra) -> ResponseWatch:
        """Return the watch for a response that may be a framework's refusal."""

    def report_cookies(self, relay: RelayT_contra, found: ReportCookies) -> None:
        """Say that cookies of the app's response were for other names as well."""

    def record(self, relay: RelayT_contra, *, complete: bool) -> None:
        """Write the access record of an exchange."""
