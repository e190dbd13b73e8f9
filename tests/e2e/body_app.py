"""An app for clients that move bodies: uploads are measured, downloads are as long as asked for, trailers come back.

Owns raw HTTP/1.1, since the frameworks have no trailers. Refuses to be clever: one answer per connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PIECE = bytes(range(256)) * 256


@dataclass
class BodyApp:
    """What it saw: field names and values of the latest request, and how many callers went away from /wait."""

    port: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    waiting: int = 0
    given_up: int = 0

    def field(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


@contextlib.asynccontextmanager
async def body_app() -> AsyncIterator[BodyApp]:
    """Serve on a free port: /count, /octets/N, /trailers, /wait."""
    app = BodyApp()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await _answer(app, reader, writer)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    app.port = server.sockets[0].getsockname()[1]
    try:
        yield app
    finally:
        server.close()


def digest(octets: int) -> str:
    """Return the SHA-256 of what /octets/N sends."""
    whole, rest = divmod(octets, len(PIECE))
    found = hashlib.sha256()
    for _ in range(whole):
        found.update(PIECE)
    found.update(PIECE[:rest])
    return found.hexdigest()


async def _answer(app: BodyApp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.rstrip().split("\r\n")
    app.fields = _fields(lines)
    path = start.split(" ")[1]
    if path == "/wait":
        await _wait(app, reader)
        return
    octets, sha256, trailers = await _read_body(app, reader)
    text = f'{{"octets": {octets}, "sha256": "{sha256}"}}'.encode()
    start_line = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
    if path.startswith("/octets/"):
        await _send_bytes(writer, start_line, int(path.removeprefix("/octets/")))
    elif path == "/trailers":
        back = "".join(f"x-back-{name}: {value}\r\n" for name, value in trailers) + "x-end: yes\r\n"
        body = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(text), text, back.encode())
        writer.write(start_line + b"Transfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n" + body)
    else:
        writer.write(start_line + b"Content-Length: %d\r\n\r\n%b" % (len(text), text))
    await writer.drain()


async def _wait(app: BodyApp, reader: asyncio.StreamReader) -> None:
    """Say nothing until the proxy ends the connection: that is how an HTTP/1.1 app hears of a reset stream."""
    app.waiting += 1
    try:
        while await reader.read(4096):
            continue
    finally:
        app.waiting -= 1
        app.given_up += 1


async def _send_bytes(writer: asyncio.StreamWriter, start_line: bytes, octets: int) -> None:
    writer.write(start_line + b"Content-Length: %d\r\n\r\n" % octets)
    while octets > 0:
        writer.write(PIECE[:octets])
        octets -= len(PIECE)
        await writer.drain()


async def _read_body(app: BodyApp, reader: asyncio.StreamReader) -> tuple[int, str, list[tuple[str, str]]]:
    found, octets = hashlib.sha256(), 0
    trailers: list[tuple[str, str]] = []
    if app.field("transfer-encoding"):
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            found.update(await reader.readexactly(size))
            octets += size
            await reader.readexactly(2)
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            trailers += _fields([line.decode("latin-1").rstrip()])
    for length in app.field("content-length"):
        while octets < int(length):
            piece = await reader.readexactly(min(len(PIECE), int(length) - octets))
            found.update(piece)
            octets += len(piece)
    return octets, found.hexdigest(), trailers


def _fields(lines: list[str]) -> list[tuple[str, str]]:
    pairs = [line.partition(":") for line in lines]
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]
