"""An app that takes its time, for the memory of the proxies in front of it: `python slow_app.py PORT`.

    /delayed   1 KiB after a while      /trickle   256 KiB, piece by piece
    /large     100 MiB at once          all else   1 KiB at once

Owns only that; it stands on its own, because it runs as a program. Every connection is kept.
"""

from __future__ import annotations

import asyncio
import sys

SMALL_BYTES = 1024
TRICKLE_BYTES = 256 * 2**10
LARGE_BYTES = 100 * 2**20
DELAY_S = 0.3
_PIECE_BYTES = 16 * 2**10
_CHUNK_BYTES = 256 * 2**10


async def start(port: int) -> asyncio.Server:
    return await asyncio.start_server(_converse, "127.0.0.1", port, backlog=1024)


async def _main(port: int) -> None:
    async with await start(port) as server:
        await server.serve_forever()


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await _answer(head.split(b" ", 2)[1].decode("ascii"), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()  # The proxy has left, which is the only way in which a conversation ends.


async def _answer(path: str, writer: asyncio.StreamWriter) -> None:
    match path:
        case "/delayed":
            await asyncio.sleep(DELAY_S)
            await _send(writer, SMALL_BYTES, SMALL_BYTES, 0)
        case "/trickle":
            await _send(writer, TRICKLE_BYTES, _PIECE_BYTES, DELAY_S * _PIECE_BYTES / TRICKLE_BYTES)
        case "/large":
            await _send(writer, LARGE_BYTES, _CHUNK_BYTES, 0)
        case _:
            await _send(writer, SMALL_BYTES, SMALL_BYTES, 0)


async def _send(writer: asyncio.StreamWriter, body_bytes: int, piece_bytes: int, pause_s: float) -> None:
    """Send an answer in pieces, with a pause before each, as fast as the other side takes them."""
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {body_bytes}\r\n\r\n".encode())
    piece = b"x" * piece_bytes
    for _ in range(body_bytes // piece_bytes):
        if pause_s:
            await asyncio.sleep(pause_s)
        writer.write(piece)
        await writer.drain()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
