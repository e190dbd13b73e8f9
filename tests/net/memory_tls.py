"""One TLS connection without a socket: a transport that keeps what is written, and a client that is Python's own."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from typing import Any

from devtls.net.tls.client import ClientTlsLayer
from devtls.net.tls.client_hello import ClientHello
from devtls.net.tls.handshake import Alert, HandshakeFailure
from devtls.net.tls.layer import TlsLayer


class MemoryTcp(asyncio.Transport):
    """A TCP transport whose other end is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0
        self.closed = self.aborted = self.paused = self.ended = False
        self.protocol: asyncio.BaseProtocol | None = None

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data = bytes(self.written)
        self.written.clear()
        return data

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep it."""
        self.writes += 1
        self.written += data

    def is_closing(self) -> bool:
        """As asyncio's."""
        return self.closed or self.aborted

    def close(self) -> None:
        """Note it."""
        self.closed = True

    def abort(self) -> None:
        """Note it."""
        self.aborted = True

    def write_eof(self) -> None:
        """Note it."""
        self.ended = True

    def pause_reading(self) -> None:
        """Note it."""
        self.paused = True

    def resume_reading(self) -> None:
        """Note it."""
        self.paused = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Note it."""
        self.protocol = protocol

    def get_write_buffer_size(self) -> int:
        """Return what the test has not taken."""
        return len(self.written)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There are none."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Only the peer is known."""
        return ("127.0.0.1", 50000) if name == "peername" else default


@dataclass
class Recorder(asyncio.Protocol):
    """An application protocol that keeps all it is told; `half_open` is its answer to the peer's end."""

    half_open: bool = False
    received: bytearray = field(default_factory=bytearray)
    pieces: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lost: list[Exception | None] = field(default_factory=list)
    transport: asyncio.Transport = field(init=False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep the data."""
        self.received += data
        self.pieces.append(data)

    def eof_received(self) -> bool:
        """Note the end."""
        self.calls.append("eof")
        return self.half_open

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the loss."""
        self.lost.append(exc)

    def pause_writing(self) -> None:
        """Note it."""
        self.calls.append("pause")

    def resume_writing(self) -> None:
        """Note it."""
        self.calls.append("resume")


class Hooks:
    """TlsHooks with one answer for every hello."""

    handshake_timeout_s = 10.0

    def __init__(self, chosen: ssl.SSLContext | Alert, application: asyncio.Protocol) -> None:
        self.chosen = chosen
        self.failures: list[HandshakeFailure] = []
        self.asked: list[tuple[str | None, str | None]] = []
        self.in_plain = Recorder()
        self._application = application

    def choose(self, hello: ClientHello) -> ssl.SSLContext | Alert:
        """Return the one answer."""
        return self.chosen

    def application(self, sni: str | None, alpn: str | None) -> asyncio.Protocol:
        """Return the one application."""
        self.asked.append((sni, alpn))
        return self._application

    def plain(self) -> asyncio.Protocol:
        """Return a recorder."""
        return self.in_plain

    def failed(self, failure: HandshakeFailure) -> None:
        """Keep it."""
        self.failures.append(failure)


class Peer:
    """The other end of a layer: OpenSSL as Python drives it, its bytes moved by `pump`."""

    def __init__(self, context: ssl.SSLContext, *, name: str | None = None, session: ssl.SSLSession | None = None):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name, session=session
        )
        self.error: ssl.SSLError | None = None
        self.done = False

    def step(self) -> None:
        """Go on with the handshake as far as it goes."""
        if self.done or self.error is not None:
            return
        try:
            self.tls.do_handshake()
            self.done = True
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self.error = error

    def out(self) -> bytes:
        """Return what it has to send."""
        return self._outgoing.read()

    def feed(self, data: bytes) -> None:
        """Give it ciphertext."""
        self._incoming.write(data)

    def feed_eof(self) -> None:
        """End TCP."""
        self._incoming.write_eof()

    def read(self) -> bytes:
        """Return all plaintext that is there; raises SSLEOFError after a cut."""
        data = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while piece := self.tls.read(65536):
                data += piece
        return bytes(data)

    @property
    def saw_close_notify(self) -> bool:
        """Whether the layer ended cleanly (after everything was read)."""
        try:
            return self.tls.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False


class Link:
    """A layer and its peer, joined."""

    def __init__(self, layer: TlsLayer, peer: Peer) -> None:
        self.layer, self.peer, self.tcp = layer, peer, MemoryTcp()
        layer.connection_made(self.tcp)

    def pump(self, *, piece: int = 1 << 20) -> None:
        """Carry bytes both ways, in pieces of at most that size, until neither side has any."""
        while True:
            self.peer.step()
            sent, answer = self.peer.out(), b""
            for at in range(0, len(sent), piece):
                self.layer.data_received(sent[at : at + piece])
            if answer := self.tcp.take():
                self.peer.feed(answer)
            if not sent and not answer:
                return

    def send(self, data: bytes) -> None:
        """Let the peer send `data` in one burst."""
        self.peer.tls.write(data)
        self.layer.data_received(self.peer.out())


def established(hooks: Hooks, client: ssl.SSLContext, *, name: str = "app.dev.local") -> Link:
    """Return a server layer whose handshake is done, with its first tickets delivered."""
    link = Link(ClientTlsLayer(hooks), Peer(client, name=name))
    link.pump()
    assert link.peer.done, link.peer.error
    link.peer.read()
    return link
