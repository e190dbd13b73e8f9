"""TLS by hand for both ends of the proxy: what a library hides (close_notify, a bare FIN, a reset) is done and seen.

A WireClient is a harness Client whose TLS runs in memory; a `tls_app` is a scripted app behind TLS, of the same part.
Nothing is read ahead: who does not call `read` leaves the bytes in the kernel, as a client does that has stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from devtls.net.tls.client_hello import ClientHello
from tests.net.harness import DEADLINE_S, Client, Proxy

_READ_BYTES = 65536


class TlsWire:
    """The TLS of one TCP connection, without its handshake."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, name: str | None
    ) -> None:
        self.tcp_reader = reader
        self.tcp_writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=name is None, server_hostname=name
        )
        self.plaintext = b""
        self.saw_close_notify = False
        self.saw_eof = False

    async def handshake(self) -> None:
        """Shake hands; raises ssl.SSLError with the peer's alert."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    self.ssl_object.do_handshake()
                except ssl.SSLWantReadError:
                    await self._flush()
                    await self._fill()
                except ssl.SSLError:
                    await self._flush()  # our alert
                    raise
                else:
                    await self._flush()
                    return

    async def _flush(self) -> None:
        if self._outgoing.pending:
            self.tcp_writer.write(self._outgoing.read())
            await self.tcp_writer.drain()

    async def _fill(self) -> None:
        try:
            data = await self.tcp_reader.read(_READ_BYTES)
        except ConnectionError:
            data = b""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def send(self, data: bytes) -> None:
        """Encrypt, write, and wait until the kernel has it."""
        self.ssl_object.write(data)
        async with asyncio.timeout(DEADLINE_S):
            await self._flush()

    async def more(self) -> bytes:
        """Return the next plaintext, b"" at the end: then `saw_close_notify` tells how it ended."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.saw_eof:
                try:
                    data = self.ssl_object.read(16384)
                except ssl.SSLWantReadError:
                    await self._fill()
                    continue
                except ssl.SSLZeroReturnError:
                    data, self.saw_close_notify = b"", True
                except ssl.SSLEOFError:
                    data = b""
                else:
                    self.saw_close_notify = not data
                self.saw_eof = not data
                return data
        return b""

    async def until(self, marker: bytes) -> bytes:
        """Read up to and with `marker`."""
        while marker not in self.plaintext:
            data = await self.more()
            if not data:
                raise asyncio.IncompleteReadError(self.plaintext, None)
            self.plaintext += data
        found, _, self.plaintext = self.plaintext.partition(marker)
        return found + marker

    async def exactly(self, count: int) -> bytes:
        """Read `count` bytes."""
        pieces, held = [self.plaintext], len(self.plaintext)
        while held < count:
            data = await self.more()
            if not data:
                raise asyncio.IncompleteReadError(b"".join(pieces), count)
            pieces.append(data)
            held += len(data)
        whole = b"".join(pieces)
        self.plaintext = whole[count:]
        return whole[:count]

    async def to_end(self) -> bytes:
        """Read until the peer ends."""
        pieces = [self.plaintext]
        while data := await self.more():
            pieces.append(data)
        self.plaintext = b""
        return b"".join(pieces)

    async def half_close(self) -> None:
        """Send close_notify and go on reading."""
        with contextlib.suppress(ssl.SSLError):
            self.ssl_object.unwrap()
        await self._flush()

    def fin(self) -> None:
        """End TCP in this direction without a close_notify."""
        self.tcp_writer.write_eof()

    def reset(self) -> None:
        """Break the connection with a TCP RST."""
        reset(self.tcp_writer)

    def close(self) -> None:
        """Close TCP."""
        self.tcp_writer.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a TCP connection with a RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class WireClient(Client):
    """A client that sees how the connection ends."""

    def __init__(self, wire: TlsWire) -> None:
        super().__init__(wire.tcp_reader, wire.tcp_writer)
        self.wire = wire

    async def send(self, data: bytes) -> None:
        """Encrypt and write."""
        await self.wire.send(data)

    async def head(self) -> bytes:
        """Read a response head."""
        return await self.wire.until(b"\r\n\r\n")

    async def line(self) -> bytes:
        """Read a line."""
        return await self.wire.until(b"\r\n")

    async def read(self, count: int) -> bytes:
        """Read exactly `count` bytes."""
        return await self.wire.exactly(count)

    async def to_eof(self) -> bytes:
        """Read until the proxy ends."""
        return await self.wire.to_end()


async def wire_client(
    running: Proxy, name: str | None = "app.dev.local", *, context: ssl.SSLContext | None = None
) -> WireClient:
    """Open a verified TLS connection by hand; `name` None = no SNI, the leaf is for localhost."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    if context is None:
        context = running.client_context()
    # an IP address is verified and never sent as SNI (RFC 6066 3)
    wire = TlsWire(reader, writer, context, name or "127.0.0.1")
    try:
        await wire.handshake()
    except BaseException:
        writer.close()
        raise
    client = WireClient(wire)
    running.clients.append(client)
    return client


@contextlib.asynccontextmanager
async def tls_app(context: ssl.SSLContext, conversation: Callable[[TlsWire], Awaitable[None]]) -> AsyncIterator[int]:
    """Run a scripted app behind TLS; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        wire = TlsWire(reader, writer, context, None)
        try:
            await wire.handshake()
            await conversation(wire)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def server_context(running: Proxy) -> ssl.SSLContext:
    """Return a context with a certificate of the proxy's own CA: any will do for `verify = false`."""
    context = running.contexts.for_hello(ClientHello("app.localhost", None))
    assert isinstance(context, ssl.SSLContext)
    return context
