"""The tap: the one place that every request and response passes, for an inspector that may be opened at any moment.

Owns the interface alone. `ProxyService.tap` is asked once for each request, so a tap that is set later sees the
requests of connections that are open already; a relay then tells the recorder it got each event exactly once, as the
client sent it and as the client gets it. Without a tap an event costs one test of a slot. Calls are made on the loop,
inside of the callback that the event came in, and must return at once; events are values that nobody changes, so a
recorder keeps them without copying. It brings its own clock: the order of the calls is that of the wire.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

from devtls.http.actions import SendErrorPage
from devtls.http.events import (
    ClientEvent,
    Data,
    EndOfMessage,
    InformationalResponse,
    Request,
    Reset,
    Response,
    Trailers,
)
from devtls.net.tls.handshake import HandshakeFailure
from devtls.routing import Route

ResponseEvent = InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset


class Direction(Enum):
    """Which way the bytes of a tunnel go."""

    FROM_CLIENT = "from_client"
    FROM_UPSTREAM = "from_upstream"


class ClientDetails(msgspec.Struct, frozen=True):
    """A client's connection; `chain` holds what it has shown, DER, its own certificate first, () for nothing."""

    connection_id: int
    address: str
    sni: str | None
    tls_version: str
    session_reused: bool
    chain: tuple[bytes, ...]


class ExchangeRecorder(Protocol):
    """The record of one request and its response."""

    def request(self, event: ClientEvent) -> None:
        """Take what comes behind the request's head: Data, Trailers, EndOfMessage, or how it broke off."""

    def dialling(self) -> None:
        """A new connection to the app is needed."""

    def attempt(self, request: Request, *, reused: bool) -> None:
        """The request goes to the app in this form; a second attempt is a retry. `reused`: on a kept connection."""

    def failed(self, failure: SendErrorPage) -> None:
        """The app cannot answer; the response that follows is devtls's own."""

    def response(self, event: ResponseEvent) -> None:
        """Take what the client gets: 1xx, the head, Data, Trailers, EndOfMessage, or Reset for a cut."""

    def tunnel(self, direction: Direction, data: bytes) -> None:
        """Take bytes of a tunnel, behind a 101."""

    def ended(self, *, complete: bool) -> None:
        """The exchange is over; nothing follows. `complete`: the client got all of it."""


class Tap(Protocol):
    """Decides what is recorded."""

    def begin(self, request: Request, client: ClientDetails, route: Route | None) -> ExchangeRecorder | None:
        """Return a recorder for a request, None to let it pass; `route` is None for one that devtls refuses.

        A head that is no request comes as method `-` without a target; `Malformed` follows as its only event.
        """

    def handshake_failed(self, failure: HandshakeFailure) -> None:
        """A client and devtls did not agree on TLS: there is no request."""
