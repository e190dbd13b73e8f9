"""TLS over a plain TCP protocol: `ssl.SSLObject` on memory buffers, for both sides.

Owns the record layer between a TCP transport and an application protocol, which sees an ordinary `asyncio.Transport`.
Refuses clients before any key is made: the first bytes are read (`client_hello`), `choose` answers with a context or an
alert. The loop's own `ssl=` is not used: it drops the alert of a failed handshake (the client sees a bare EOF), the
bytes that are written after the peer's close_notify, and the difference between a clean end and a cut; and it costs
as much. Longer than others: the protocol below and the transport above share one SSLObject and its state.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from time import perf_counter
from typing import Any, cast

from devtls.net.outbox import Outbox, outbox_of
from devtls.net.read_turns import SHARE_BYTES, SHARE_S, PacedReading, read_turns_of
from devtls.net.tls.handshake import HUNG_UP

_READ_BYTES = 16384  # SSL_read returns one record at most
_RECORD_COST = 512
"""What a record counts for besides its bytes: 500 records of one byte are as much work as 256 KiB in large ones."""
_PROMPT_BYTES = 65536
"""So much ciphertext does not wait for the end of the turn: a transport that has enough must be able to say so."""


class TlsLayer(asyncio.Protocol):
    """The record layer of one connection after its context is known; subclasses say which side begins."""

    def __init__(self) -> None:
        self.tcp: asyncio.Transport
        self._outbox: Outbox
        self._is_due = False
        self.ssl_object: ssl.SSLObject
        self.closing = False
        self.truncated = False
        self._reading: PacedReading
        self._share = SHARE_BYTES
        self._app: asyncio.Protocol | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._aside: deque[bytes] = deque()
        self._established = False
        self._reported = False
        self._peer_ended = False
        self._delivering = False
        self._notified = False
        self._timeout: asyncio.TimerHandle | None = None

    @property
    def application_protocol(self) -> asyncio.Protocol:
        """The protocol inside; there is one once the handshake is done."""
        assert self._app is not None  # noqa: S101
        return self._app

    @property
    def undelivered(self) -> bool:
        """Say whether something that arrived has not been delivered, be it decrypted or not."""
        return bool(self._incoming.pending or self.ssl_object.pending() or self._aside)

    def set_application(self, protocol: asyncio.Protocol) -> None:
        """Change the protocol inside."""
        self._app = protocol

    def __repr__(self) -> str:
        established = "established" if self._established else "handshake"
        return f"<{type(self).__name__} {'closing' if self.closing else established}, {self._app!r} inside>"

    # -- from the TCP transport ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the TCP transport."""
        # uvloop's transports are none of asyncio's classes, though they have the same methods.
        self.tcp = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._outbox = outbox_of(loop)
        self._reading = PacedReading(self.tcp, read_turns_of(loop), self._resume)

    def data_received(self, data: bytes) -> None:
        """Take ciphertext."""
        self._incoming.write(data)
        if self._established:
            self._deliver()
        elif not self.closing:
            self._handshake()

    def eof_received(self) -> bool:
        """TCP ended: clean only after close_notify. The write side stays open."""
        # So that OpenSSL reports a truncation and not only that it wants more.
        self._incoming.write_eof()
        if not self._established:
            self._fail(HUNG_UP)
            return False
        self._deliver()
        # While reading is stopped, records still wait: the end is found behind them.
        if not self._peer_ended and not self._reading.stopped:
            self._end_of_peer(truncated=True)
        # RFC 8446 6.1: each direction ends by itself; False would have asyncio close ours.
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone."""
        self.closing = True
        self._stop_timer()
        # Cleared first: nothing is delivered to an application that was told of the end.
        app, self._app = self._app, None
        if app is not None:
            app.connection_lost(exc)
        elif not self._established and not self._reported:
            self._failed("the connection was lost during the handshake")

    def pause_writing(self) -> None:
        """Pass the write side's backpressure up."""
        if self._app is not None:
            self._app.pause_writing()

    def resume_writing(self) -> None:
        """Pass the end of the backpressure up."""
        if self._app is not None:
            self._app.resume_writing()

    # -- handshake ----------------------------------------------------------------------------------------------------

    def _begin(self, ssl_object: ssl.SSLObject) -> None:
        self.ssl_object = ssl_object
        self._handshake()

    def _handshake(self) -> None:
        try:
            self.ssl_object.do_handshake()
        except ssl.SSLWantReadError:
            # Before the application writes: session tickets and Finished go first.
            self._flush()
            return
        except ssl.SSLError as error:
            self._flush()  # holds the alert that tells the peer why
            self._fail(_reason(error))
            return
        self._flush()
        self._established = True
        self._stop_timer()
        self._app = self._application()
        self._app.connection_made(TlsTransport(self))
        # Requests may have come in one segment with Finished; OpenSSL holds them already.
        if not self.closing:
            self._deliver()

    def _application(self) -> asyncio.Protocol:
        raise NotImplementedError

    def _failed(self, reason: str) -> None:
        """Report a handshake that failed; the connection is closing already."""
        raise NotImplementedError

    def _fail(self, reason: str) -> None:
        if not self.closing:
            self.closing = True
            self._stop_timer()
            # `connection_lost` follows and would report the same handshake again.
            self._reported = True
            self._failed(reason)
            self._hang_up()

    def _hang_up(self) -> None:
        self.tcp.close()

    def _stop_timer(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    # -- reading ------------------------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        if self._delivering:
            return  # the application paused and resumed from within data_received
        self._delivering = True
        try:
            self._read_records()
        finally:
            self._delivering = False
        if self._outgoing.pending:
            self._send_soon()

    def _read_records(self) -> None:
        read, incoming, reading = self.ssl_object.read, self._incoming, self._reading
        until = 0.0
        while not reading.stopped and not self._peer_ended and self._app is not None:
            try:
                data = self._aside.popleft() if self._aside else read(_READ_BYTES)
            except ssl.SSLWantReadError:
                return
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError) as error:
                self._end_of_peer(truncated=isinstance(error, ssl.SSLEOFError))
                return
            # A record that does not decrypt: what came before it was delivered, nothing after it can be believed.
            except ssl.SSLError:
                self.truncated = True
                self.abort()
                return
            if not data:
                self._end_of_peer(truncated=False)
                return
            self._app.data_received(data)
            # Saves a read that can only raise SSLWantReadError.
            if not incoming.pending and not self.ssl_object.pending() and not incoming.eof and not self._aside:
                return
            # Counted over turns: to tell them apart would cost more than to end one early now and then.
            self._share -= len(data) + _RECORD_COST
            until = until or perf_counter() + SHARE_S
            if self._share < 0 or perf_counter() > until:
                self._share = SHARE_BYTES
                reading.end_turn()

    def _end_of_peer(self, *, truncated: bool) -> None:
        if self._peer_ended:
            return
        self._peer_ended = True
        self.truncated = truncated
        if self._app is not None and not self._app.eof_received():
            self.close()

    def pause_reading(self) -> None:
        """Stop delivering; ciphertext stops too."""
        self._reading.hold()

    def resume_reading(self) -> None:
        """Deliver again on the next turn of the loop: the caller is usually inside another callback."""
        if self._reading.held:
            self._reading.go_on()
            asyncio.get_running_loop().call_soon(self._resume)

    @property
    def paused(self) -> bool:
        """Say whether the application has stopped its reading."""
        return self._reading.held

    def _resume(self) -> None:
        if self._reading.stopped or self._app is None:
            return
        try:
            self._deliver()
        except Exception as error:  # noqa: BLE001 - as the loop does with what data_received raises
            asyncio.get_running_loop().call_exception_handler(
                {"message": "what was held back could not be delivered", "exception": error, "protocol": self._app}
            )
            self.abort()

    # -- writing ------------------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt, and send at the end of the turn; ignored when the connection is closing."""
        if self.closing or not data:
            return
        try:
            self.ssl_object.write(data)
        # After our close_notify or a fatal alert OpenSSL writes nothing more.
        except ssl.SSLError:
            self.abort()
            return
        self._send_soon()

    def _send_soon(self) -> None:
        if self._outgoing.pending >= _PROMPT_BYTES:
            self._flush()
        elif not self._is_due:
            self._is_due = True
            self._outbox.add(self)

    def send_out(self) -> None:
        """Send what was encrypted (Sender)."""
        self._is_due = False
        self._flush()

    @property
    def unsent(self) -> int:
        """What has been written and is not yet with the kernel, in bytes."""
        return self._outgoing.pending + self.tcp.get_write_buffer_size()

    def _flush(self) -> None:
        if self._outgoing.pending and not self.tcp.is_closing():
            self.tcp.write(self._outgoing.read())

    def write_eof(self) -> None:
        """Send close_notify once; what the peer sends is still delivered."""
        if self._notified or self.closing:
            return
        self._set_aside()
        self._notify()
        # In the next turn: `write_eof` may be called from within data_received.
        if self._aside and not self._reading.stopped:
            asyncio.get_running_loop().call_soon(self._resume)

    def _set_aside(self) -> None:
        """Decrypt what is here already: SSL_shutdown looks for the peer's close_notify and drops other records."""
        with contextlib.suppress(ssl.SSLError):
            while data := self.ssl_object.read(_READ_BYTES):
                self._aside.append(data)

    def _notify(self) -> None:
        self._notified = True
        # The peer's close_notify is not here yet: OpenSSL says so by an error, after it has written ours.
        with contextlib.suppress(ssl.SSLError):
            self.ssl_object.unwrap()
        self._flush()

    def close(self) -> None:
        """Send close_notify, flush what waits, close."""
        if not self.closing:
            if not self._notified:
                self._notify()
            self._flush()
            self.closing = True
            self.tcp.close()

    def cut(self) -> None:
        """Flush what was written, then close without close_notify: the peer must see that something is missing."""
        self._flush()
        self.closing = True
        self.tcp.close()

    def abort(self) -> None:
        """Close without ceremony."""
        self.closing = True
        self.tcp.abort()


class TlsTransport(asyncio.Transport):
    """What the application protocol writes to; reads and writes plaintext of a TlsLayer."""

    __slots__ = ("_layer",)

    def __init__(self, layer: TlsLayer) -> None:
        super().__init__()
        self._layer = layer

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As asyncio's; `ssl_object` is the SSLObject, `truncated` says that the peer ended without close_notify.

        `undelivered` says that records have arrived which the application has not been given yet.
        """
        layer = self._layer
        if name == "ssl_object":
            return layer.ssl_object
        if name == "truncated":
            return layer.truncated
        if name == "undelivered":
            return layer.undelivered
        return layer.tcp.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        self._layer.write(data)

    def is_closing(self) -> bool:
        """Say whether close or abort was called, or the peer is gone."""
        return self._layer.closing

    def close(self) -> None:
        """Send close_notify, flush, close the TCP connection."""
        self._layer.close()

    def abort(self) -> None:
        """Close the TCP connection at once."""
        self._layer.abort()

    def cut(self) -> None:
        """Close so that the peer sees a truncation (RFC 8446 6.1)."""
        self._layer.cut()

    def can_write_eof(self) -> bool:
        """TLS can end one direction (RFC 8446 6.1)."""
        return True

    def write_eof(self) -> None:
        """Send close_notify and keep reading."""
        self._layer.write_eof()

    def pause_reading(self) -> None:
        """Stop delivering data."""
        self._layer.pause_reading()

    def resume_reading(self) -> None:
        """Deliver again, first what is already decrypted."""
        self._layer.resume_reading()

    def is_reading(self) -> bool:
        """Say whether data is delivered."""
        return not self._layer.paused

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol from now on (a tunnel takes over)."""
        self._layer.set_application(cast(asyncio.Protocol, protocol))

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol that data is delivered to."""
        return self._layer.application_protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the TCP transport underneath."""
        # What waits here is gone by the end of the turn, so only TCP's buffer can grow.
        self._layer.tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return what waits here and in the TCP transport, in bytes."""
        return self._layer.unsent


def _reason(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, in plain lower-case words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or str(error)).lower().replace("_", " ")
