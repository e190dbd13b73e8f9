"""The body of the message that is being sent: framed as its head promised, and never otherwise.

Owns the count of promised bytes. Refuses (LocalProtocolError) more or fewer of them: to go on after that would make
the peer read a body as a head. Both codecs use one of these for message after message.
"""

from __future__ import annotations

from typing import Final

from devtls.errors import LocalProtocolError
from devtls.http.events import Headers
from devtls.http.h1 import writer

CLOSED: Final = 0
"""No head has been sent, or the body is complete."""
DROPPED: Final = 1
"""The message has no body whatever is sent: answers to HEAD, 204, 304."""
LENGTH: Final = 2
CHUNKED: Final = 3
UNTIL_CLOSE: Final = 4


class OutgoingBody:
    """Frames the body of one message after the other; `begin` stands before each."""

    __slots__ = ("_framing", "_promised", "_trailers")

    def __init__(self) -> None:
        self._framing: int = CLOSED
        self._promised = 0
        self._trailers: Headers = []

    def begin(self, framing: int, promised: int = 0) -> None:
        """Start a body; `promised` counts the bytes of a LENGTH body."""
        self._framing = framing
        self._promised = promised
        self._trailers = []

    def data(self, data: bytes) -> bytes:
        """Return a piece of the body as it goes on the wire."""
        framing = self._framing
        if framing == LENGTH:
            self._promised -= len(data)
            if self._promised < 0:
                raise LocalProtocolError("The body is longer than its Content-Length.")
            return data
        if framing == CHUNKED:
            return writer.chunk(data) if data else b""  # an empty chunk would end the body
        if framing == UNTIL_CLOSE:
            return data
        if framing == DROPPED:
            return b""
        raise LocalProtocolError("A body cannot be sent without its head.")

    def trailers(self, trailers: Headers) -> None:
        """Keep the trailer section for the end; only a chunked body has a place for it (RFC 9112 section 7.1.2)."""
        self._trailers = trailers

    def end(self) -> bytes:
        """Return what ends the body."""
        framing = self._framing
        self._framing = CLOSED
        if framing == CLOSED:
            raise LocalProtocolError("A message cannot end before its head.")
        if framing == LENGTH and self._promised:
            raise LocalProtocolError(f"The body is {self._promised} bytes shorter than its Content-Length.")
        if framing == CHUNKED:
            return writer.last_chunk(self._trailers) if self._trailers else writer.LAST_CHUNK
        return b""
