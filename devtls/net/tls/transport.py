"""What the application protocol inside TLS writes to: a transport like asyncio's, of plaintext.

Owns nothing: each call is one of the record layer's (`tls.TlsLayer`), whose connection it is.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from devtls.net.tls.layer import TlsLayer


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
        self._layer.tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return what waits here and in the TCP transport, in octets."""
        return self._layer.unsent
