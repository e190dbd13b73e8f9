"""The tunnel: every byte both ways, each direction's own end, and nothing left open."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

import pytest

from devtls.net.tunnel import Tunnel
from tests.net.harness import until


@dataclass
class Far:
    """One far end: the client's or the app's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read(self, count: int) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), 5)

    async def to_eof(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 5)


class Ends:
    def __init__(self) -> None:
        self.closed = 0
        self.client: Far
        self.app: Far
        self.near: list[asyncio.Transport] = []

    def note(self) -> None:
        self.closed += 1

    async def far(self) -> Far:
        near, far = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
        transport.pause_reading()
        self.near.append(transport)
        return Far(*await asyncio.open_connection(sock=far))

    async def join(
        self,
        *,
        from_client: bytes = b"",
        from_upstream: bytes = b"",
        idle_timeout_s: float = 60.0,
        grace_s: float = 5.0,
    ) -> Tunnel:
        self.client, self.app = await self.far(), await self.far()
        made = Tunnel(self.near[0], self.near[1], idle_timeout_s, grace_s)
        made.start(from_client, from_upstream, self.note)
        return made

    async def end(self) -> None:
        for far in (self.client, self.app):
            far.writer.close()
        await until(lambda: self.closed == 1)
        await asyncio.sleep(0.01)


@pytest.fixture
async def ends() -> Ends:
    return Ends()


async def test_bytes_that_were_read_too_far_come_first(ends: Ends) -> None:
    await ends.join(from_client=b"frame 1 ", from_upstream=b"hello ")
    await ends.client.send(b"frame 2")
    await ends.app.send(b"there")
    assert await ends.app.read(15) == b"frame 1 frame 2"
    assert await ends.client.read(11) == b"hello there"
    await ends.end()


@pytest.mark.parametrize("first", ["client", "app"])
async def test_the_end_of_one_direction_leaves_the_other_open(ends: Ends, first: str) -> None:
    await ends.join()
    one, other = (ends.client, ends.app) if first == "client" else (ends.app, ends.client)
    await one.send(b"last words")
    one.writer.write_eof()
    assert await other.to_eof() == b"last words"
    await other.send(b"answer")
    assert await one.read(6) == b"answer"
    assert ends.closed == 0
    other.writer.write_eof()
    assert await one.to_eof() == b""
    await ends.end()


async def test_the_open_direction_gets_a_grace_of_silence_and_no_more(
    ends: Ends,
) -> None:
    grace_s = 0.4
    await ends.join(grace_s=grace_s)
    ends.client.writer.write_eof()
    assert await ends.app.to_eof() == b""
    loop = asyncio.get_running_loop()
    ended_at, sent = loop.time(), 0
    while loop.time() < ended_at + 2 * grace_s:  # as long as something comes, the grace starts anew
        await ends.app.send(b".")
        assert await ends.client.read(1) == b"."
        sent += 1
        await asyncio.sleep(0.02)
    assert sent > 2
    assert await ends.client.to_eof() == b""
    await ends.end()


async def test_an_idle_tunnel_ends(ends: Ends) -> None:
    await ends.join(idle_timeout_s=0.03)
    assert await ends.client.to_eof() == b""
    assert await ends.app.to_eof() == b""
    await ends.end()


@pytest.mark.parametrize("lost", [0, 1], ids=["client", "app"])
async def test_a_connection_that_is_lost_on_one_side_frees_the_other(ends: Ends, lost: int) -> None:
    await ends.join()
    ends.near[lost].abort()
    assert await ends.client.to_eof() == b""
    assert await ends.app.to_eof() == b""
    assert ends.near[1 - lost].is_closing()
    await ends.end()


async def test_a_tunnel_that_was_aborted_is_closed_once(ends: Ends) -> None:
    made = await ends.join()
    made.close(abort=True)
    made.close()
    assert ends.closed == 1
    assert all(transport.is_closing() for transport in ends.near)
    await ends.end()


async def test_a_reader_that_stops_bounds_what_its_writer_can_send(ends: Ends) -> None:
    await ends.join()
    ends.client.reader._limit = 1024  # type: ignore[attr-defined]  # read no further by itself than this
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await ends.app.send(b"x" * 65536)
            sent += 65536

    flooding = asyncio.create_task(flood())
    previous = -1
    while sent != previous:
        previous = sent
        await asyncio.sleep(0.05)
    assert 0 < sent < 4_000_000
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)
    await ends.client.read(sent)
    assert ends.closed == 0
    ends.app.writer.close()
    ends.client.writer.close()
    await ends.end()
