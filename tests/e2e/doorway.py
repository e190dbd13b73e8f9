"""A door in front of a proxy that counts who goes through: the honest number of a client's connections.

Owns one listener; hands on bytes both ways and refuses to read them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

_PIECE = 65536


@dataclass
class Doorway:
    """Where to go in, how many connections were made so far, and how many of them stand."""

    port: int
    connections: int = 0
    standing: int = 0


@contextlib.asynccontextmanager
async def doorway(towards: int) -> AsyncIterator[Doorway]:
    """Relay connections to a port of this machine until the block ends."""
    door = Doorway(0)
    ways: set[asyncio.Task[None]] = set()

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", towards)
        door.connections += 1
        door.standing += 1
        both = {asyncio.create_task(_hand_on(reader, back)), asyncio.create_task(_hand_on(there, writer))}
        ways.update(both)
        await asyncio.wait(both)
        ways.difference_update(both)
        door.standing -= 1

    server = await asyncio.start_server(enter, "127.0.0.1", 0)
    door.port = server.sockets[0].getsockname()[1]
    try:
        yield door
    finally:
        server.close()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on until the one side ends, then end the other."""
    try:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
