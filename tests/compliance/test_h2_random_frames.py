"""Random frames, legal and illegal, in random pieces: no error escapes, the connection serves or ends, others live.

Conformance 3.2, part 4. Everything is drawn from one seed, which stands in the test's name.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.compliance.h2wire import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    MAX_FRAME,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    TABLE_SIZE,
    WINDOW_UPDATE,
    WireH2,
    bare_h2,
    data,
    frame,
    h2_client,
    rst_stream,
    settings,
    window_update,
)
from tests.net.harness import AppConnection, Proxy, app, until

CONNECTIONS = 12
FRAMES = 40
KINDS = (
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
    0x0A,
    0xFF,
)


def _legal(random: Random, client: WireH2) -> bytes:
    """Return what an ordinary client might send now."""
    known = random.randrange(1, client.next_stream + 2, 2)
    match random.randrange(9):
        case 0 | 1:
            return client.head(client.stream(), path=random.choice([b"/", b"/big", b"/slow"]))
        case 2:
            stream = client.stream()
            body = random.randbytes(random.choice([0, 1, 1000]))
            return client.head(stream, method=b"POST", end=False) + data(stream, body, end=random.random() < 0.7)
        case 3:
            return rst_stream(known, random.randrange(16))
        case 4:
            return window_update(random.choice([0, known]), random.choice([1, 1000, 100_000]))
        case 5:
            return settings((random.choice([TABLE_SIZE, INITIAL_WINDOW]), random.choice([0, 1, 100, 65535])))
        case 6:
            return settings((MAX_FRAME, random.choice([16384, 20000, 2**24 - 1])))
        case 7:
            return frame(PING, 0, 0, random.randbytes(8))
        case _:
            return frame(PRIORITY, 0, known, random.randbytes(5))


def _any(random: Random, client: WireH2) -> bytes:
    """Return a frame of any kind that may make no sense at all."""
    stream = random.choice([0, 1, 2, client.next_stream, random.randrange(2**32)])
    payload = random.randbytes(random.choice([0, 1, 4, 5, 6, 8, 9, 100]))
    return frame(random.choice(KINDS), random.randrange(256), stream, payload)


async def _answering(connection: AppConnection) -> None:
    while True:
        head = await connection.head()
        if b"chunked" in head.lower():
            await connection.reader.readuntil(b"0\r\n\r\n")
        if b"/slow" in head:
            await asyncio.sleep(0.01)
        await connection.answer(bytes(200_000) if b"/big" in head else b"ok")


async def _storm(running: Proxy, random: Random) -> None:
    """Send on one connection until it ends or everything is sent; it must do one or the other in good time."""
    client = await bare_h2(running)
    wild = random.random() < 0.7
    octets = PREFACE + settings()
    for _ in range(random.randrange(FRAMES)):
        octets += _any(random, client) if wild and random.random() < 0.08 else _legal(random, client)
    if random.random() < 0.2:
        octets = octets[: random.randrange(len(octets))]
    place = 0
    while place < len(octets) and not client.closed:
        size = random.choice([1, 9, 100, 5000])
        await client.try_to_send(octets[place : place + size])
        place += size
        await asyncio.sleep(0)
    await client.read_for(0.05)
    if random.random() < 0.5:
        client.wire.reset()
    else:
        client.close()


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_a_client_sends_nothing_breaks_and_nothing_is_left(running: Proxy, seed: int) -> None:
    """The harness fails the test for any fault that the observer hears of."""
    random = Random(seed)
    async with app(_answering) as backend:
        running.route(f"app = {backend.port}")
        ordinary = await h2_client(running)
        storms = [asyncio.create_task(_storm(running, random)) for _ in range(CONNECTIONS)]
        while not all(storm.done() for storm in storms):
            assert (await ordinary.get()).status == 200
            await asyncio.sleep(0.005)
        for storm in storms:
            storm.result()
        ordinary.close()
        await until(lambda: not running.service.connections)
        pool = running.service.pool
        await until(lambda: all(state.active == 0 for state in pool._states.values()))
        assert not running.noted.faults
