"""Random frames, legal and illegal, in random pieces: no error escapes, the connection serves or ends, others live.

Everything is drawn from one seed, which stands in the test's name.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hpack import Encoder

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
    wire = PREFACE + settings()
    for _ in range(random.randrange(FRAMES)):
        wire += _any(random, client) if wild and random.random() < 0.08 else _legal(random, client)
    if random.random() < 0.2:
        wire = wire[: random.randrange(len(wire))]
    place = 0
    while place < len(wire) and not client.closed:
        size = random.choice([1, 9, 100, 5000])
        await client.try_to_send(wire[place : place + size])
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


def _from_app(random: Random, streams: list[int], encoder: Encoder) -> bytes:
    """Return what an app that has lost its mind might send, now and then something proper."""
    stream = random.choice(streams) if random.random() < 0.97 else random.choice([0, random.randrange(2**32)])
    match random.randrange(40):
        case kind if kind < 16:
            fields = [(b":status", random.choice([b"200", b"200", b"103", b"204", b"101", b"99"])), (b"x", b"y")]
            if random.random() < 0.2:
                fields.append(
                    random.choice([(b"content-length", b"5"), (b"X", b"y"), (b"connection", b"x"), (b"z", b"\0")])
                )
            return frame(HEADERS, random.choice([4] * 20 + [5] * 20 + [0]), stream, encoder.encode(fields))
        case kind if kind < 32:
            return data(stream, random.randbytes(random.choice([0, 1, 5, 16_384])), end=random.random() < 0.5)
        case kind if kind < 37:
            return rst_stream(stream, random.choice([0, 2, 7, 8, 11]))
        case 37:
            return frame(GOAWAY, 0, 0, random.choice([0, 1, 2**31 - 1]).to_bytes(4) + bytes(4))
        case _:
            return frame(random.choice(KINDS), random.randrange(256), stream, random.randbytes(random.randrange(12)))


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_an_app_with_http_2_sends_every_request_ends(running: Proxy, seed: int) -> None:
    """An answer, a page of ours or a reset, soon; no error goes unheard, and a route beside it is served."""
    random = Random(seed)
    loose: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: loose.append(context))

    async def talk(connection: AppConnection) -> None:
        encoder = Encoder()
        await connection.send(settings() if random.random() < 0.95 else _from_app(random, [1], encoder))
        while await connection.reader.read(65536):
            for _ in range(random.randrange(1, 5)):
                await connection.send(_from_app(random, list(range(1, 16, 2)), encoder))
        connection.close()

    async with app(talk) as wild, app(_answering) as calm:
        running.route(f'app = "h2c://127.0.0.1:{wild.port}"\ncalm = {calm.port}')
        ordinary = await h2_client(running, "calm.dev.local")
        for _ in range(8):
            client = await h2_client(running)
            streams = [await client.request(method=random.choice([b"GET", b"POST"])) for _ in range(8)]
            try:
                await client.until(lambda: all(client.seen(stream).over for stream in streams), within_s=0.1)  # noqa: B023
            except TimeoutError:  # the app has stopped to say anything; its end is theirs
                for connection in wild.connections:
                    connection.close()
                await client.until(lambda: all(client.seen(stream).over for stream in streams))  # noqa: B023
            assert not client.goaways
            client.close()
            assert (await ordinary.get(host=b"calm.dev.local")).status == 200
        ordinary.close()
        await until(lambda: all(state.active == 0 for state in running.service.pool._states.values()))
    assert not loose
