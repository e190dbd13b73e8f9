"""The slow app answers what it says, and in its own time."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.bench import slow_app


@pytest.mark.parametrize(
    ("path", "size", "least_s"),
    [
        ("/", slow_app.SMALL_BYTES, 0),
        ("/delayed", slow_app.SMALL_BYTES, slow_app.DELAY_S),
        ("/trickle", slow_app.TRICKLE_BYTES, slow_app.DELAY_S),
        ("/large", slow_app.LARGE_BYTES, 0),
    ],
)
async def test_each_path_has_its_size_and_time(path: str, size: int, least_s: float) -> None:
    async with await slow_app.start(0) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for _ in range(2 if size == slow_app.SMALL_BYTES else 1):  # The connection is kept.
            began = time.monotonic()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: app\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head == f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode()
            left = size
            while left:
                left -= len(await reader.read(min(left, 2**20)))
            assert time.monotonic() - began >= least_s * 0.9
        writer.close()
        await writer.wait_closed()
