"""The codec that faces the upstream: requests out, responses in.

Owns one upstream connection and whether it may serve another request. Refuses to call a connection reusable after any
doubt: a byte too many, a repaired length, a body that ends with the connection, a request that was not sent whole.
Strategy: a response is read against the request it answers (HEAD, an asked-for upgrade); without one, bytes are only
noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from devtls.errors import LocalProtocolError, ProtocolViolation
from devtls.http.events import (
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    Request,
    Reset,
    Trailers,
    TunnelData,
    UpstreamEvent,
)
from devtls.http.h1 import outgoing, writer
from devtls.http.h1.chunked import ChunkedDecoder
from devtls.http.h1.fields import CONTENT_LENGTH, UPGRADE
from devtls.http.h1.head import HeadLimits, HeadMemo
from devtls.http.h1.outgoing import OutgoingBody
from devtls.http.h1.response_head import ResponseSplitter, parse_response

_READING_IDLE: Final = 0
_READING_HEAD: Final = 1
_READING_LENGTH: Final = 2
_READING_CHUNKED: Final = 3
_READING_UNTIL_CLOSE: Final = 4
# After 101, before `start_tunnel`: bytes wait.
_READING_SWITCHED: Final = 5
_READING_TUNNEL: Final = 6
_READING_BROKEN: Final = 7
_METHODS_WITH_BODY: Final = frozenset((b"POST", b"PUT", b"PATCH"))
"""RFC 9110 8.6: their requests say the length also when there is no body; WEBrick, lighttpd, nginx answer 411 else."""
_QUOTED_BYTES: Final = 40
"""How much is shown of an answer that is not HTTP."""


class H1UpstreamCodec:
    """One upstream connection of HTTP/1.1; its events carry the stream number of the request they answer."""

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._splitter = ResponseSplitter(limits)
        self._memo = HeadMemo()
        self._reading: int = _READING_IDLE
        self._body = OutgoingBody()
        self._method = b""
        self._upgrade = b""
        self._stream_id = 0
        self._request_sent = True
        self._keep_alive = True
        self._remaining = 0
        self._length = 0
        self._interim = 0
        self._chunks: ChunkedDecoder | None = None
        self._buffer = b""
        self.keep_alive_timeout_s: float | None = None
        self.response_started = False

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent now. Ask again after bytes arrive on an idle connection: they end it."""
        return self._reading == _READING_IDLE and self._keep_alive and self._request_sent

    def send(self, event: Request | Data | Trailers | EndOfMessage | TunnelData) -> bytes:
        """Return `event` as bytes; raises LocalProtocolError for what this connection does not allow."""
        if isinstance(event, Request):
            return self._send_request(event)
        if isinstance(event, Data):
            return self._body.data(event.data)
        if isinstance(event, EndOfMessage):
            end = self._body.end()
            self._request_sent = True
            return end
        if isinstance(event, Trailers):
            self._body.trailers(event.headers)
            return b""
        if self._reading not in (_READING_SWITCHED, _READING_TUNNEL):
            raise LocalProtocolError("There is no tunnel on this connection.")
        return event.data

    def _send_request(self, request: Request) -> bytes:
        if not self.reusable:
            raise LocalProtocolError("This connection cannot take another request.")
        fields, lengths, has_te = writer.write_fields(request.headers)
        extra = b""
        length = request.body_length
        if length is None:
            if lengths:  # RFC 9112 6.2: never both
                fields = writer.write_fields_without(request.headers, CONTENT_LENGTH)
            extra = writer.TRANSFER_CHUNKED
            self._body.begin(outgoing.CHUNKED)
        else:
            if length or lengths or request.method in _METHODS_WITH_BODY:
                extra = writer.missing_length(lengths, length)
            self._body.begin(outgoing.LENGTH, length)
        # The client's Upgrade was hop-by-hop; this one is ours (RFC 9110 7.8).
        if request.upgrade:
            fields = writer.write_fields_without(request.headers, UPGRADE)
            extra += b"\r\nUpgrade: " + request.upgrade + writer.CONNECTION_UPGRADE
        elif has_te:
            extra += writer.CONNECTION_TE  # RFC 9110 10.1.4: a sender of TE must say so
        head = writer.seal(b"%b %b HTTP/1.1" % (request.method, request.target), fields, extra)
        self._method = request.method
        self._upgrade = request.upgrade
        self._stream_id = request.stream_id
        self._request_sent = length == 0
        self._reading = _READING_HEAD
        self._interim = 0
        self.response_started = False
        return head

    def receive_data(self, data: bytes) -> list[UpstreamEvent]:
        """Return what `data` completes of the response; bytes that no request asked for end the connection's use."""
        reading = self._reading
        if reading == _READING_HEAD:
            self.response_started = True
            return self._read_head(data)
        if reading == _READING_LENGTH:
            return self._read_length(data)
        if reading == _READING_CHUNKED:
            return self._read_chunked(data)
        if reading == _READING_UNTIL_CLOSE:
            return [Data(self._stream_id, data)]
        if reading == _READING_TUNNEL:
            return [TunnelData(self._stream_id, data)]
        if reading == _READING_SWITCHED:
            self._buffer += data
        # Bytes that no request asked for: the next response could be a forged one.
        self._keep_alive = False
        return []

    def _read_head(self, data: bytes) -> list[UpstreamEvent]:
        events: list[UpstreamEvent] = []
        try:
            while data and self._reading == _READING_HEAD:
                proper = self._splitter.whole(data)
                if proper is not None:
                    try:
                        self._take_head(proper[0], events)
                        data = proper[1]
                        continue
                    except ProtocolViolation:
                        pass  # it is looked at again, with what browsers forgive
                found = self._splitter.split(data)
                if found is None:
                    return events
                head, data = found
                self._take_head(head, events)
        except ProtocolViolation as violation:
            return [*events, self._malformed(violation)]
        if data:
            events += self.receive_data(data)
        return events

    def _take_head(self, head: bytes, events: list[UpstreamEvent]) -> None:
        event, frame = parse_response(head, (self._stream_id, self._method), self._limits, self._memo)
        if isinstance(event, InformationalResponse):
            self._take_interim(event, frame.upgrades_to)
            events.append(event)
            return
        self._keep_alive = frame.keep_alive
        self.keep_alive_timeout_s = frame.keep_alive_timeout_s
        events.append(event)
        if event.close_delimited:
            self._reading = _READING_UNTIL_CLOSE
        elif event.body_length is None:
            self._reading = _READING_CHUNKED
            self._chunks = ChunkedDecoder(self._stream_id, self._limits, of_app=True)
        elif event.body_length:
            self._reading = _READING_LENGTH
            self._remaining = self._length = event.body_length
        else:
            self._reading = _READING_IDLE
            events.append(EndOfMessage(self._stream_id))

    def _take_interim(self, event: InformationalResponse, upgrades_to: Sequence[bytes]) -> None:
        if event.status == 101:
            if not self._upgrade or self._upgrade not in upgrades_to:  # RFC 9110 7.8
                raise ProtocolViolation(
                    "The app switched to a protocol that nobody asked for.", summary="a 101 that nobody asked for"
                )
            self._reading = _READING_SWITCHED
            self._keep_alive = False
        self._interim += 1
        limit = self._limits.max_informational
        if self._interim > limit:
            raise ProtocolViolation(
                f"The app sent more than {limit} interim responses.",
                summary=f"more than {limit} interim responses: max_informational",
            )

    def _read_length(self, data: bytes) -> list[UpstreamEvent]:
        remaining = self._remaining
        if len(data) < remaining:
            self._remaining = remaining - len(data)
            return [Data(self._stream_id, data)]
        self._reading = _READING_IDLE
        if len(data) > remaining:
            self._keep_alive = False  # a byte too many: the app is out of step
            data = data[:remaining]
        return [Data(self._stream_id, data), EndOfMessage(self._stream_id)]

    def _read_chunked(self, data: bytes) -> list[UpstreamEvent]:
        chunks = self._chunks
        assert chunks is not None  # noqa: S101 - CHUNKED is entered with a decoder
        found, rest = chunks.receive(data)
        events: list[UpstreamEvent] = [*found]
        if chunks.violation is not None:
            events.append(self._malformed(chunks.violation))
        elif chunks.complete:
            self._reading = _READING_IDLE
            if rest:
                self._keep_alive = False  # as above
        return events

    def _malformed(self, violation: ProtocolViolation) -> Malformed:
        self._reading = _READING_BROKEN
        return Malformed(self._stream_id, 502, str(violation), violation.summary)

    def receive_eof(self) -> list[UpstreamEvent]:
        """Return what the end of the upstream's bytes means: a body's end, a truncation or a farewell."""
        reading = self._reading
        self._keep_alive = False
        if reading in (_READING_TUNNEL, _READING_IDLE, _READING_SWITCHED):
            return [ConnectionClosed(self._stream_id)]
        if reading == _READING_BROKEN:
            return []
        self._reading = _READING_BROKEN
        if reading == _READING_UNTIL_CLOSE:
            self._reading = _READING_IDLE
            return [EndOfMessage(self._stream_id)]
        if not self.response_started:
            return [self._cut("The app closed the connection before answering.", "closed without an answer")]
        start = self._splitter.held[:_QUOTED_BYTES]
        if reading == _READING_HEAD and start[:5].upper() != b"HTTP/"[: len(start)]:
            message = f'said "{start.decode("ascii", "replace")}", which is not HTTP'
            return [self._cut(f"The app {message}, and closed the connection.", message)]
        where = "head" if reading == _READING_HEAD else "body"
        why = f"The app closed the connection in the middle of the response {where}."
        return [self._cut(why, f"closed {self._progress(reading)}")]

    def receive_loss(self, why: str) -> Reset:
        """Return what the loss of the connection, which is no orderly end, means for a response that has begun."""
        reading = self._reading
        self._keep_alive = False
        self._reading = _READING_BROKEN
        return self._cut(why, f"connection lost {self._progress(reading)}")

    def _cut(self, reason: str, summary: str) -> Reset:
        return Reset(self._stream_id, reason, summary=summary)

    def _progress(self, reading: int) -> str:
        """Return how far a response has come."""
        if reading == _READING_LENGTH:
            return f"after {self._length - self._remaining} of {self._length} bytes"
        if reading == _READING_CHUNKED and self._chunks is not None:
            size = self._chunks.decoded
            return f"after {size} {'byte' if size == 1 else 'bytes'}, before the last chunk"
        return "in the middle of the head" if reading == _READING_HEAD else "in the middle of the body"

    def start_tunnel(self) -> bytes:
        """Leave HTTP after a 101 arrived: return what the upstream sent behind it."""
        if self._reading != _READING_SWITCHED:
            raise LocalProtocolError("There is no tunnel on this connection.")
        self._reading = _READING_TUNNEL
        data, self._buffer = self._buffer, b""
        return data
