"""HTTP/2 by hand for the client: frames as bytes, so that what no library would send can be sent.

A WireH2 reads when it is asked to and never ahead; what it has read is sorted by stream. It gives credit for DATA only
when `credit` is set, and acknowledges settings only when `polite` is.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from hpack import Decoder, Encoder

from tests.compliance.wire import TlsWire, wire_client
from tests.net.harness import DEADLINE_S, Proxy

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x1, 0x4, 0x8, 0x20
(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
    CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
) = range(12)
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_LIST, _, CONNECT_PROTOCOL = range(1, 9)
MAX_WINDOW: Final = 2**31 - 1

Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return a frame, whatever it says."""
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return SETTINGS."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", key, value) for key, value in pairs))


def window_update(stream: int, increment: int) -> bytes:
    """Return WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", increment))


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    """Return RST_STREAM."""
    return frame(RST_STREAM, 0, stream, struct.pack(">L", code))


def data(stream: int, wire: bytes, *, end: bool = False) -> bytes:
    """Return DATA."""
    return frame(DATA, END_STREAM if end else 0, stream, wire)


@dataclass
class Seen:
    """What a stream has brought."""

    heads: list[Fields] = field(default_factory=list)
    """Every field block: interim responses, the response, trailers."""
    size: int = 0
    pieces: list[bytes] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    """The sizes of the DATA frames."""
    ended: bool = False
    reset: int | None = None
    credit: int = 0
    """The sum of the WINDOW_UPDATEs."""

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self.ended or self.reset is not None

    @property
    def status(self) -> int:
        """The status of the last head that has one."""
        found = [value for head in self.heads for name, value in head if name == b":status"]
        return int(found[-1]) if found else 0

    @property
    def body(self) -> bytes:
        """All DATA."""
        return b"".join(self.pieces)

    def values(self, name: bytes, place: int = -1) -> list[bytes]:
        """Return the values of a field in one of the heads, the last by default."""
        return [value for key, value in self.heads[place] if key == name]


class WireH2:
    """A client; `streams`, `goaways`, `pings`, `settings` are what has been read so far."""

    def __init__(self, wire: TlsWire, *, credit: bool = True, polite: bool = True) -> None:
        self.wire = wire
        self.credit = credit
        self.polite = polite
        self.encoder, self._decoder = Encoder(), Decoder()
        self._decoder.max_header_list_size = 2**20
        self.next_stream = 1
        self.streams: dict[int, Seen] = {}
        self.goaways: list[tuple[int, int]] = []
        """The last stream and the code of each GOAWAY."""
        self.pings: list[bytes] = []
        self.settings: dict[int, int] = {}
        self.settings_acks = 0
        self.credit_of_connection = 0
        self.kinds: list[int] = []
        self.closed = False
        self._block: tuple[int, int, bytes] | None = None

    # -- sending ------------------------------------------------------------------------------------------------------

    async def send(self, *frames: bytes) -> None:
        """Send bytes."""
        await self.wire.send(b"".join(frames))

    async def try_to_send(self, *frames: bytes) -> None:
        """Send bytes; the proxy may have closed already."""
        try:
            await self.send(*frames)
        except (OSError, ssl.SSLError):
            self.closed = True

    def stream(self) -> int:
        """Return the next stream number."""
        self.next_stream += 2
        return self.next_stream - 2

    def block(self, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return a field block; what is encoded has to be sent."""
        return self.encoder.encode(list(fields))

    def head(
        self,
        stream: int,
        *more: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        host: bytes = b"app.dev.local",
        end: bool = True,
    ) -> bytes:
        """Return the HEADERS of an ordinary request."""
        fields = [(b":method", method), (b":scheme", b"https"), (b":authority", host), (b":path", path), *more]
        return self.raw_head(stream, fields, end=end)

    def raw_head(self, stream: int, fields: Iterable[tuple[bytes, bytes]], *, end: bool = True) -> bytes:
        """Return HEADERS with just these fields."""
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, self.block(fields))

    async def request(
        self,
        *more: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        host: bytes = b"app.dev.local",
        body: bytes | None = None,
        end: bool = True,
    ) -> int:
        """Send a request; with `body` None and `end` False it stays open."""
        stream = self.stream()
        head = self.head(stream, *more, method=method, path=path, host=host, end=end and body is None)
        await self.send(head, b"" if body is None else data(stream, body, end=end))
        return stream

    async def get(self, path: bytes = b"/", host: bytes = b"app.dev.local") -> Seen:
        """Send a request and read its answer."""
        return await self.reply(await self.request(path=path, host=host))

    async def connect(self, *more: tuple[bytes, bytes], path: bytes = b"/ws", protocol: bytes = b"websocket") -> int:
        """Send an extended CONNECT (RFC 8441)."""
        stream = self.stream()
        fields = [
            (b":method", b"CONNECT"),
            (b":protocol", protocol),
            (b":scheme", b"https"),
            (b":authority", b"app.dev.local"),
            (b":path", path),
            (b"sec-websocket-version", b"13"),
            *more,
        ]
        await self.send(self.raw_head(stream, fields, end=False))
        return stream

    # -- reading ------------------------------------------------------------------------------------------------------

    def seen(self, stream: int) -> Seen:
        """Return what a stream has brought so far."""
        return self.streams.setdefault(stream, Seen())

    async def read_frame(self) -> bool:
        """Read one frame and take note of it; False at the end of the connection."""
        try:
            header = await self.wire.exactly(9)
            high, low, kind, flags, stream = struct.unpack(">HBBBL", header)
            payload = await self.wire.exactly(high << 8 | low)
        except (asyncio.IncompleteReadError, OSError, ssl.SSLError):
            self.closed = True
            return False
        self.kinds.append(kind)
        await self._take(kind, flags, stream, payload)
        return True

    async def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            await self._take_data(self.seen(stream), stream, flags, payload)
        elif kind in (HEADERS, CONTINUATION):
            self._take_block(kind, flags, stream, payload)
        elif kind == RST_STREAM:
            self.seen(stream).reset = int.from_bytes(payload)
        elif kind == SETTINGS and flags & ACK:
            self.settings_acks += 1
        elif kind == SETTINGS:
            self.settings.update(struct.iter_unpack(">HL", payload))
            if self.polite:
                await self.try_to_send(frame(SETTINGS, ACK))
        elif kind == PING and flags & ACK:
            self.pings.append(payload)
        elif kind == GOAWAY:
            self.goaways.append((int.from_bytes(payload[:4]), int.from_bytes(payload[4:8])))
        elif kind == WINDOW_UPDATE and stream:
            self.seen(stream).credit += int.from_bytes(payload)
        elif kind == WINDOW_UPDATE:
            self.credit_of_connection += int.from_bytes(payload)

    async def _take_data(self, seen: Seen, stream: int, flags: int, payload: bytes) -> None:
        seen.size += len(payload)
        seen.pieces.append(payload)
        seen.frames.append(len(payload))
        seen.ended = bool(flags & END_STREAM)
        if self.credit and payload:
            more = b"" if seen.ended else window_update(stream, len(payload))
            await self.try_to_send(window_update(0, len(payload)), more)

    def _take_block(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            self._block = stream, flags, b""
        assert self._block is not None
        first, ends, before = self._block
        assert first == stream, "a field block is interrupted"
        self._block = stream, ends, before + payload
        if flags & END_HEADERS:
            fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(before + payload, raw=True)]
            self.seen(stream).heads.append(fields)
            self.seen(stream).ended = bool(ends & END_STREAM)
            self._block = None

    async def until(self, condition: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
        """Read until a condition holds; fails when the connection ends first."""
        async with asyncio.timeout(within_s):
            while not condition():
                if not await self.read_frame():
                    assert condition(), f"the connection ended first: {self.goaways}"

    async def reply(self, stream: int) -> Seen:
        """Read until a stream is over."""
        seen = self.seen(stream)
        await self.until(lambda: seen.over)
        return seen

    async def head_of(self, stream: int) -> Seen:
        """Read until a stream has a head with a final status."""
        seen = self.seen(stream)
        await self.until(lambda: seen.status >= 200 or seen.over)
        return seen

    async def to_end(self, *, within_s: float = DEADLINE_S) -> None:
        """Read until the proxy closes."""
        async with asyncio.timeout(within_s):
            while await self.read_frame():
                pass

    async def read_for(self, seconds: float) -> None:
        """Read what comes in a short time."""
        try:
            async with asyncio.timeout(seconds):
                while await self.read_frame():
                    pass
        except TimeoutError:
            return

    async def settle(self) -> None:
        """Read until everything that was sent has been worked through: a PING comes back."""
        mark = struct.pack(">Q", 2**40 + len(self.pings))
        await self.send(frame(PING, 0, 0, mark))
        await self.until(lambda: mark in self.pings)

    def close(self) -> None:
        """Close TCP."""
        self.wire.close()


def h2_context(running: Proxy) -> ssl.SSLContext:
    """Return a client's context that offers HTTP/2."""
    context = running.client_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


async def bare_h2(
    running: Proxy, name: str | None = "app.dev.local", *, credit: bool = True, polite: bool = True
) -> WireH2:
    """Shake hands as HTTP/2 and send nothing."""
    client = await wire_client(running, name, context=h2_context(running))
    assert client.wire.ssl_object.selected_alpn_protocol() == "h2"
    return WireH2(client.wire, credit=credit, polite=polite)


async def h2_client(
    running: Proxy,
    name: str | None = "app.dev.local",
    *pairs: tuple[int, int],
    credit: bool = True,
    polite: bool = True,
) -> WireH2:
    """Open a connection: preface, settings, and the proxy's are read."""
    client = await bare_h2(running, name, credit=credit, polite=polite)
    await client.send(PREFACE, settings(*pairs))
    await client.until(lambda: client.settings_acks)
    return client
