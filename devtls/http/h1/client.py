"""The codec that faces the client: requests in, responses out.

Owns one connection's message order: one request at a time, pipelined ones wait as bytes until `next_request`. Refuses
to parse anything after a violation and to write what would desynchronise the client (more or fewer bytes than
promised, a response without a request): those raise LocalProtocolError, because they are our bugs. Strategy: two small
states, one for what is read and one for what is written; both have to end before the connection is used again.
"""

from __future__ import annotations

from typing import Final

from devtls.errors import LocalProtocolError, ProtocolViolation
from devtls.http.events import (
    ClientEvent,
    ConnectionClosed,
    Data,
    EndOfMessage,
    InformationalResponse,
    Malformed,
    Request,
    Reset,
    Response,
    Trailers,
    TunnelData,
)
from devtls.http.h1 import outgoing, writer
from devtls.http.h1.chunked import ChunkedDecoder
from devtls.http.h1.fields import CONTENT_LENGTH
from devtls.http.h1.head import HeadLimits, HeadMemo, HeadSplitter, parse_request, parse_request_line
from devtls.http.h1.outgoing import OutgoingBody

_READING_HEAD: Final = 0
_READING_LENGTH: Final = 1
_READING_CHUNKED: Final = 2
_READING_COMPLETE: Final = 3
_READING_BROKEN: Final = 4
_READING_TUNNEL: Final = 5


_ANSWER_AWAITED: Final = 0
_ANSWER_BEGUN: Final = 1
_ANSWER_COMPLETE: Final = 2
_ANSWER_SWITCHED: Final = 3


class H1ClientCodec:
    """One client connection of HTTP/1.0 or 1.1; its streams are counted from 1."""

    def __init__(self, limits: HeadLimits) -> None:
        self._limits = limits
        self._splitter = HeadSplitter(limits, lambda line: parse_request_line(line, limits), skips_blank_lines=True)
        self._memo = HeadMemo()
        self._reading: int = _READING_HEAD
        self._answer: int = _ANSWER_AWAITED
        self._body = OutgoingBody()
        self._buffer = b""
        self._stream_id = 0
        self._request: Request | None = None
        self._remaining = 0
        self._chunks: ChunkedDecoder | None = None
        self._eof = False
        self._must_close = False
        self._keep_alive = True

    @property
    def in_head(self) -> bool:
        """Whether some bytes of a request head have arrived, but not all."""
        return self._reading == _READING_HEAD and bool(self._splitter.held)

    @property
    def buffered(self) -> int:
        """Bytes that are held for later."""
        return len(self._buffer) + len(self._splitter.held)

    @property
    def request_complete(self) -> bool:
        """Whether the current request, its body included, has been read."""
        return self._reading == _READING_COMPLETE

    @property
    def closing(self) -> bool:
        """Whether the connection must be closed after the response that was just begun or sent."""
        return self._must_close or (self._eof and not self._buffer and self._answer != _ANSWER_SWITCHED)

    def close_after_response(self) -> None:
        """Let the current response be the last; its head gets `Connection: close` if it is still unsent."""
        self._must_close = True

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Return what `data` completes of the current request; bytes of later requests are kept."""
        reading = self._reading
        if reading == _READING_HEAD:
            return self._read_head(data)
        if reading == _READING_LENGTH:
            return self._read_length(data)
        if reading == _READING_CHUNKED:
            return self._read_chunked(data)
        if reading == _READING_COMPLETE:
            self._buffer += data
            return []
        if reading == _READING_TUNNEL:
            return [TunnelData(self._stream_id, data)]
        return []

    def next_request(self) -> list[ClientEvent]:
        """Begin the next request once the response is complete: return what is already there of it.

        Returns nothing when the connection is closing or no request has begun since the last call. Raises
        LocalProtocolError in the middle of a message.
        """
        if self._reading == _READING_HEAD:
            return []
        if self._answer != _ANSWER_COMPLETE:
            raise LocalProtocolError("The next request was asked for before the response was complete.")
        # RFC 9112 9.6: what comes behind the last response is not processed.
        if self.closing:
            return [ConnectionClosed(self._stream_id)] if self._eof else []
        self._reading, self._answer = _READING_HEAD, _ANSWER_AWAITED
        data, self._buffer = self._buffer, b""
        events = self._read_head(data) if data else []
        if self._eof and self._reading != _READING_BROKEN and not self.request_complete:
            events += self.receive_eof()
        return events

    def rest(self) -> bool:
        """Wait for the next request, if the exchange is complete and nothing else is to be done; else return False.

        The usual end of an exchange in one step: after False ask `closing`, then `next_request`.
        """
        if self._must_close or self._eof or self._buffer or self._reading != _READING_COMPLETE:
            return False
        if self._answer != _ANSWER_COMPLETE:
            return False
        self._reading, self._answer = _READING_HEAD, _ANSWER_AWAITED
        return True

    def receive_eof(self) -> list[ClientEvent]:
        """Return what the end of the client's bytes means: Reset within a body, else ConnectionClosed."""
        self._eof = True
        if self._reading in (_READING_LENGTH, _READING_CHUNKED):
            self._break()
            return [Reset(self._stream_id, "The client closed the connection in the middle of its request.")]
        if self._reading == _READING_BROKEN:
            return []
        return [ConnectionClosed(self._stream_id)]

    def refuse_head(self, status: int, reason: str) -> Malformed:
        """Give up on a head that is not complete (it takes too long): return the event that has it answered."""
        if self._reading != _READING_HEAD:
            raise LocalProtocolError("There is no request head to refuse.")
        return self._malformed_head(ProtocolViolation(reason, status=status))

    def _malformed_head(self, violation: ProtocolViolation) -> Malformed:
        self._stream_id += 1  # its response needs a number like any other
        self._request = None
        self._splitter.held = b""
        return self._malformed(violation)

    def _break(self) -> None:
        self._reading = _READING_BROKEN
        self._must_close = True
        self._buffer = b""

    def _malformed(self, violation: ProtocolViolation) -> Malformed:
        self._break()
        return Malformed(self._stream_id, violation.status, str(violation))

    def _read_head(self, data: bytes) -> list[ClientEvent]:
        try:
            found = self._splitter.whole(data) or self._splitter.split(data)
            if found is None:
                return []
            head, rest = found
            request, self._keep_alive = parse_request(head, self._stream_id + 1, self._limits, self._memo)
        except ProtocolViolation as violation:
            return [self._malformed_head(violation)]
        self._stream_id += 1
        self._request = request
        length = request.body_length
        if length == 0:
            self._reading = _READING_COMPLETE
            self._buffer = rest
            return [request, EndOfMessage(self._stream_id)]
        events: list[ClientEvent] = [request]
        if length is None:
            self._reading = _READING_CHUNKED
            self._chunks = ChunkedDecoder(self._stream_id, self._limits)
        else:
            self._reading = _READING_LENGTH
            self._remaining = length
        if rest:
            events += self.receive_data(rest)
        return events

    def _read_length(self, data: bytes) -> list[ClientEvent]:
        remaining = self._remaining
        if len(data) < remaining:
            self._remaining = remaining - len(data)
            return [Data(self._stream_id, data)]
        self._reading = _READING_COMPLETE
        if len(data) > remaining:
            self._buffer = data[remaining:]
            data = data[:remaining]
        return [Data(self._stream_id, data), EndOfMessage(self._stream_id)]

    def _read_chunked(self, data: bytes) -> list[ClientEvent]:
        chunks = self._chunks
        assert chunks is not None  # noqa: S101 - CHUNKED is entered with a decoder
        found, rest = chunks.receive(data)
        events: list[ClientEvent] = [*found]
        if chunks.violation is not None:
            events.append(self._malformed(chunks.violation))
        elif chunks.complete:
            self._reading = _READING_COMPLETE
            self._buffer = rest
        return events

    def send(
        self, event: InformationalResponse | Response | Data | Trailers | EndOfMessage | Reset | TunnelData
    ) -> bytes:
        """Return `event` as bytes; raises LocalProtocolError for what the current response does not allow."""
        if event.stream_id != self._stream_id:
            raise LocalProtocolError(f"Stream {event.stream_id} is not the current one, {self._stream_id}.")
        if isinstance(event, Response):
            return self._send_response(event)
        if isinstance(event, Data):
            return self._body.data(event.data)
        if isinstance(event, EndOfMessage):
            return self._send_end()
        if isinstance(event, InformationalResponse):
            return self._send_informational(event)
        if isinstance(event, Trailers):
            self._body.trailers(event.headers)
            return b""
        if isinstance(event, TunnelData):
            if self._answer != _ANSWER_SWITCHED:
                raise LocalProtocolError("There is no tunnel on this connection.")
            return event.data
        # a Reset: only an early close, without a last chunk or before Content-Length, tells the client (RFC 9112 8)
        self._must_close = True
        self._answer = _ANSWER_COMPLETE
        self._body.begin(outgoing.CLOSED)
        return b""

    def send_whole(self, head: Response, body: Data) -> bytes:
        """Return a response, the only piece of its body and its end; raises as `send` does.

        2.1 us less than three calls of `send`.
        """
        if head.stream_id != self._stream_id:
            raise LocalProtocolError(f"Stream {head.stream_id} is not the current one, {self._stream_id}.")
        return b"%b%b%b" % (self._send_response(head), self._body.data(body.data), self._send_end())

    def _send_response(self, event: Response) -> bytes:
        if self._answer != _ANSWER_AWAITED or event.status < 200:
            raise LocalProtocolError("The request has its final response already, or this is not one.")
        request = self._request
        is_1_0 = request is not None and request.http_version == b"1.0"
        fields, lengths, _ = writer.write_fields(event.headers)
        extra = b""
        if event.status in (204, 304) or (request is not None and request.method == b"HEAD"):
            self._body.begin(outgoing.DROPPED)
            if event.status == 204:
                # RFC 9110 8.6: none in a 204, though apps send it
                fields = writer.write_fields_without(event.headers, CONTENT_LENGTH) if lengths else fields
            # RFC 9110 9.3.2: to HEAD the fields that a GET would have got.
            elif event.body_length and not lengths:
                extra = writer.content_length(event.body_length)
        elif event.body_length is not None:
            extra = writer.missing_length(lengths, event.body_length)
            self._body.begin(outgoing.LENGTH, event.body_length)
        else:
            if lengths:
                fields = writer.write_fields_without(event.headers, CONTENT_LENGTH)
            if is_1_0:  # RFC 9112 6.1: no chunked for HTTP/1.0
                self._must_close = True
                self._body.begin(outgoing.UNTIL_CLOSE)
            else:
                extra = writer.TRANSFER_CHUNKED
                self._body.begin(outgoing.CHUNKED)
        self._answer = _ANSWER_BEGUN
        if not self._keep_alive:
            self._must_close = True
        if self.closing:
            self._must_close = True  # the client has been told: what arrives later changes nothing
            extra += writer.CONNECTION_CLOSE
        elif is_1_0:  # RFC 9112 9.3: it stays open only when both say so
            extra += writer.CONNECTION_KEEP_ALIVE
        return writer.seal(writer.status_line(event.status, event.reason), fields, extra)

    def _send_end(self) -> bytes:
        end = self._body.end()
        self._answer = _ANSWER_COMPLETE
        # The rest of the request would be read as the next one.
        if self._reading != _READING_COMPLETE:
            self._must_close = True
        return end

    def _send_informational(self, event: InformationalResponse) -> bytes:
        if self._answer != _ANSWER_AWAITED or not 100 <= event.status < 200:
            raise LocalProtocolError("An interim response comes before the final one, with a status of 1xx.")
        request = self._request
        if event.status == 101:
            if request is None or not request.upgrade:
                raise LocalProtocolError("The client did not ask for another protocol.")
            self._answer = _ANSWER_SWITCHED
            return writer.switching_head(event.reason, event.headers, request.upgrade)
        if request is None or request.http_version == b"1.0":
            return b""  # RFC 9110 15.2: an HTTP/1.0 client knows no 1xx
        fields = writer.write_fields_without(event.headers, CONTENT_LENGTH)  # RFC 9110 8.6
        return writer.seal(writer.status_line(event.status, event.reason), fields)

    def start_tunnel(self) -> bytes:
        """Leave HTTP after a 101 was sent: return what the client sent behind its request."""
        if self._answer != _ANSWER_SWITCHED:
            raise LocalProtocolError("There is no tunnel on this connection.")
        self._reading = _READING_TUNNEL
        data, self._buffer = self._buffer, b""
        return data
