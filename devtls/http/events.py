"""The events that all HTTP versions share: codecs return them, and codecs send them.

Owns the events and nothing else. A field list is ordered, names keep the case they came in, values carry no outer
whitespace. Events are values: nobody changes one after it was made, an edit makes a new one. HTTP/1.1 numbers its
streams 1, 2, 3 … per connection, HTTP/2 uses its own numbers; nothing above the codec cares which.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

Headers = list[tuple[bytes, bytes]]
"""An ordered field list; look-ups fold case (`http.headers`)."""


class RememberedHeaders(list[tuple[bytes, bytes]]):
    """A field list that a codec remembers by its bytes: the same fields again are this same object.

    What others make of it is kept with it: `edited` by `http.forward`, `written` by the HTTP/1 writer, `packed` by the
    HTTP/2 one. Like every event it is never changed, or they would lie.
    """

    __slots__ = ("edited", "packed", "written")

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        super().__init__(fields)
        self.edited: tuple[object, object, bytes, Headers] | None = None
        self.written: tuple[bytes, tuple[bytes, ...], bool] | None = None
        self.packed: bytes | None = None


class Request(msgspec.Struct, gc=False):
    """A request head.

    `target` is origin-form (`/path?query`) or `*`, byte for byte as sent, raw UTF-8 excepted, which is percent-encoded;
    `authority` is the effective host[:port] in lower case (absolute-form and :authority win over Host), b"" when an
    HTTP/1.0 client sent none. `headers` still hold every field that arrived, Host included. `body_length` counts bytes:
    0 = no body, the message ends with its head (codecs report EndOfMessage all the same, senders need none); None =
    unknown until EndOfMessage.
    """

    # gc=False, here as below: an event is never part of a cycle, and the collector need not visit it.
    stream_id: int
    method: bytes
    target: bytes
    authority: bytes
    headers: Headers
    body_length: int | None = 0
    http_version: bytes = b"1.1"
    expects_continue: bool = False
    upgrade: bytes = b""
    """`websocket` when the client asked for an upgrade that can be bridged (RFC 9110 7.8), else empty."""
    websocket_key: bytes = b""
    """The codec's own Sec-WebSocket-Key where the client's version has none (RFC 8441): the app's answer is checked."""
    goes_on: bool = False
    """A body of unknown length that has begun and not ended with its first read: waiting would not tell its length."""


class InformationalResponse(msgspec.Struct, gc=False):
    """A 1xx answer; 101 is one too and ends HTTP on the connection (see `tunnel`)."""

    stream_id: int
    status: int
    headers: Headers
    reason: bytes = b""


class Response(msgspec.Struct, gc=False):
    """A final response head; `body_length` as in Request, with the method's rules (HEAD, 204, 304) already applied.

    EndOfMessage is to be sent behind it, also without a body: HTTP/2 has trailers there, too.
    `close_delimited` says that the body ends with the connection: only an upstream's answer can be that.
    """

    stream_id: int
    status: int
    headers: Headers
    reason: bytes = b""
    body_length: int | None = 0
    http_version: bytes = b"1.1"
    close_delimited: bool = False


class Data(msgspec.Struct, gc=False):
    """A piece of a body; never empty."""

    stream_id: int
    data: bytes


class Trailers(msgspec.Struct, gc=False):
    """The trailer section; comes at most once, directly before EndOfMessage."""

    stream_id: int
    headers: Headers


class EndOfMessage(msgspec.Struct, gc=False):
    """The message is complete, as its framing promised."""

    stream_id: int


class Reset(msgspec.Struct, gc=False):
    """The stream ended before its message did: a truncated body, a vanished peer, RST_STREAM.

    `reason` is one plain sentence for logs and for our 502 page. To send it is to make the peer see the truncation.
    `code` is HTTP/2's error code (RFC 9113 section 7): 2 = INTERNAL_ERROR, 7 = REFUSED_STREAM, 8 = CANCEL. `summary` is
    the reason in a few words, for the log; "" when the reason has few.
    """

    stream_id: int
    reason: str
    code: int = 2
    summary: str = ""


class Malformed(msgspec.Struct, gc=False):
    """The peer broke HTTP: nothing after this event is parsed on the connection, or on an HTTP/2 stream.

    `status` is the answer a client gets; an upstream's fault is answered 502. `stream_id` is the stream it concerns,
    0 for a whole HTTP/2 connection. `summary` as in Reset.
    """

    stream_id: int
    status: int
    reason: str
    summary: str = ""


class ConnectionClosed(msgspec.Struct, gc=False):
    """The peer ended the connection between messages.

    `unseen` means that it has said of a request that it did not look at it (RFC 9113 8.7): to send that again is safe.
    """

    stream_id: int = 0
    unseen: bool = False


class TunnelData(msgspec.Struct, gc=False):
    """Bytes after an accepted upgrade; HTTP no longer applies to them."""

    stream_id: int
    data: bytes


ClientEvent = Request | Data | Trailers | EndOfMessage | Reset | Malformed | ConnectionClosed | TunnelData
"""What a codec facing the client returns."""

UpstreamEvent = (
    InformationalResponse
    | Response
    | Data
    | Trailers
    | EndOfMessage
    | Reset
    | Malformed
    | ConnectionClosed
    | TunnelData
)
"""What a codec facing the upstream returns."""


def summary_of(event: Reset | Malformed) -> str:
    """Return what went wrong in a few words, for one line of a log."""
    return event.summary or as_phrase(event.reason)


def as_phrase(sentence: str) -> str:
    """Return a sentence as a phrase that can stand behind others: its article small, and without its end."""
    small = sentence.startswith(("The ", "A "))
    return (sentence[:1].lower() + sentence[1:] if small else sentence).removesuffix(".")
