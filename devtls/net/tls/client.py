"""TLS towards clients: the first bytes decide between TLS and plain HTTP.

Owns the way from a new TCP connection to a context: the ClientHello is read first (`client_hello`), `TlsHooks.choose`
answers with a context or an alert before any key is made, and a client that speaks plain HTTP is handed to a protocol
for it. Refuses everything else with an alert.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Protocol

from devtls.net.tls.client_hello import ClientHello, Peek, peek_client_hello
from devtls.net.tls.handshake import Alert, HandshakeFailure, HandshakeLimiter
from devtls.net.tls.layer import TlsLayer

_STARTS_OF_HTTP = frozenset(b"\r\n" + bytes(range(0x21, 0x7F)))
"""A method, or the empty line before one; anything else would wait for the end of a head that never comes."""

_LAST_WORD_S = 2.0  # as long as `linger_s` of HTTP


class TlsHooks(Protocol):
    """The questions that the layer asks its owner."""

    handshake_timeout_s: float

    def choose(self, hello: ClientHello) -> ssl.SSLContext | Alert:
        """Return the context that answers this hello, or the alert that refuses it."""

    def application(self, sni: str | None, alpn: str | None) -> asyncio.Protocol:
        """Return the protocol that speaks inside the established connection."""

    def plain(self) -> asyncio.Protocol:
        """Return the protocol for a client that speaks no TLS."""

    def failed(self, failure: HandshakeFailure) -> None:
        """Report a handshake that failed."""


class ClientTlsLayer(TlsLayer):
    """The layer that faces clients: reads the first bytes, lets the owner choose, then passes the plaintext on."""

    def __init__(self, hooks: TlsHooks, handshake_limiter: HandshakeLimiter | None = None) -> None:
        super().__init__()
        self._hooks = hooks
        self._handshake_limiter = handshake_limiter or HandshakeLimiter()
        self._waiting = False
        self._hello: ClientHello | None = None
        self._first = b""
        self._begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake's clock."""
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(self._hooks.handshake_timeout_s, self._fail, "the handshake timed out")

    def data_received(self, data: bytes) -> None:
        """Take the first bytes apart; everything later goes straight to the record layer."""
        if self._established:
            self._incoming.write(data)
            self._deliver()
            return
        if self.closing:
            return
        if self._hello is not None:
            super().data_received(data)
        else:
            self._first += data
            if not self._waiting:
                self._look(self._first)

    def _look(self, first: bytes) -> None:
        match peek_client_hello(first):
            case ClientHello() as hello:
                # More bytes may come before the limiter lets it begin: they are added to `_first`, not looked at again.
                self._waiting = True
                self._handshake_limiter.admit(partial(self._start, hello))
            case Peek.NOT_TLS if first[0] in _STARTS_OF_HTTP:
                self._become_plain(first)
            case Peek.NOT_TLS:
                self._refuse(Alert.DECODE_ERROR, "the first bytes are neither TLS nor HTTP")
            case Peek.MALFORMED:
                self._refuse(Alert.DECODE_ERROR, "the first message is no ClientHello")
            case Peek.INCOMPLETE:
                return

    def _start(self, hello: ClientHello) -> None:
        if self.closing:  # the handshake's time may have run out in the queue
            return
        self._hello = hello
        first, self._first = self._first, b""
        chosen = self._hooks.choose(hello)
        if isinstance(chosen, Alert):
            self._refuse(chosen, chosen.name.lower().replace("_", " "))
            return
        self._incoming.write(first)
        self._begun = True
        self._begin(chosen.wrap_bio(self._incoming, self._outgoing, server_side=True))

    def _refuse(self, alert: Alert, reason: str) -> None:
        # A fatal alert in a plain record (RFC 8446 5.1, 6.2): no keys exist yet.
        self.tcp.write(bytes((0x15, 3, 3, 0, 2, 2, alert)))
        self._fail(reason)

    def _become_plain(self, first: bytes) -> None:
        self._stop_timer()
        plain = self._plain()
        self.tcp.set_protocol(plain)
        plain.connection_made(self.tcp)
        # What was read to tell TLS from HTTP is the start of the request.
        plain.data_received(first)

    def _plain(self) -> asyncio.Protocol:
        return self._hooks.plain()

    def eof_received(self) -> bool:
        """TCP ended; before a ClientHello that is no failure (a port probe)."""
        if self._hello is None:
            self._stop_timer()
            self.closing = self._reported = True
            return False
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone; a connection that never said anything is no failed handshake."""
        if self._hello is None:
            self._reported = True
        super().connection_lost(exc)

    def _application(self) -> asyncio.Protocol:
        sni = None if self._hello is None else self._hello.sni
        return self._hooks.application(sni, self.ssl_object.selected_alpn_protocol())

    @property
    def _asks(self) -> bool:
        """Whether the handshake has come so far that the client was asked for a certificate."""
        return self._begun and self.ssl_object.context.verify_mode is not ssl.CERT_NONE

    def _hang_up(self) -> None:
        if not self._asks or self.tcp.is_closing():
            super()._hang_up()
            return
        # In TLS 1.3 a client is done before its certificate is judged, and may have sent its request: to close while
        # that is unread would have TCP's reset destroy the alert. It is read and dropped until the client closes.
        self.tcp.write_eof()
        self._timeout = asyncio.get_running_loop().call_later(_LAST_WORD_S, self.tcp.abort)

    def _failed(self, reason: str) -> None:
        if self._hello is None and not self._first:
            return  # browsers open connections ahead of need: one that never spoke is no failed handshake
        sni = None if self._hello is None else self._hello.sni
        peer = self.tcp.get_extra_info("peername")
        self._hooks.failed(HandshakeFailure(sni, reason, peer[0] if peer else "", self._asks))
