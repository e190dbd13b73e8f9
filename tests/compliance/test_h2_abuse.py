"""HTTP/2 abuse, by the names of the attacks: each one beside an ordinary client that is still answered.

RFC 9113 10.5: what a peer may do without end is bounded, and a bound that is passed ends that connection only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from devtls.http.terms import ExchangeLimits
from devtls.net.client.service import ClientLimits
from devtls.pki.authority import Authority
from tests.compliance.h2wire import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    ENHANCE_YOUR_CALM,
    HEADERS,
    INITIAL_WINDOW,
    MAX_STREAMS,
    NO_ERROR,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    SETTINGS_TIMEOUT,
    WireH2,
    bare_h2,
    data,
    frame,
    h2_client,
    rst_stream,
    settings,
    window_update,
)
from tests.net.harness import AppConnection, Proxy, answering, app, proxy, until


@contextlib.asynccontextmanager
async def beside_an_ordinary_client(running: Proxy) -> AsyncIterator[None]:
    """Ask every few milliseconds on a connection of its own: every request is answered, none waits for long."""
    ordinary = await h2_client(running)
    over = False
    slowest_s = 0.0
    loop = asyncio.get_running_loop()

    async def ask() -> int:
        nonlocal slowest_s
        answered = 0
        while not over:
            begun = loop.time()
            assert (await ordinary.get()).status == 200
            slowest_s = max(slowest_s, loop.time() - begun)
            answered += 1
            await asyncio.sleep(0.01)
        return answered

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        over = True
        answered = await asking
        ordinary.close()
    assert answered >= 1
    # Ordinary is 0.1 s, and what was mended 5 s and more; in between lies how busy the machine is.
    assert slowest_s < 2.5


async def _flood(client: WireH2, frames: bytes, times: int) -> None:
    """Send the same again and again, reading nothing, until the proxy closes."""
    for _ in range(times):
        if client.closed:
            break
        try:
            async with asyncio.timeout(0.5):
                await client.try_to_send(frames)
        except TimeoutError:
            break  # it is not read any more
        await asyncio.sleep(0)


async def _silent(connection: AppConnection) -> None:
    """Answer GET /, and nothing else."""
    while True:
        if (await connection.head()).startswith(b"GET / "):
            await connection.answer()
        else:
            await connection.to_eof()
            return


async def test_cve_2023_44487_rapid_reset_ends_the_connection_and_starts_few_requests(running: Proxy) -> None:
    """3,000 requests, each taken back at once: 200 of them at most."""
    async with app(_silent) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(60):
            frames = []
            for _ in range(50):
                stream = client.stream()
                frames += [client.head(stream, path=b"/slow"), rst_stream(stream)]
            await client.try_to_send(*frames)
        await client.to_end()
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
        client.close()
    slow = [connection for connection in backend.connections if any(b"/slow" in head for head in connection.heads)]
    assert len(slow) <= client.settings[MAX_STREAMS]


async def test_cve_2023_44487_streams_that_were_reset_count_until_the_app_is_rid_of_them(running: Proxy) -> None:
    """An app that is slow to notice is not given ever more requests; what is too much is REFUSED_STREAM."""
    async with app(_silent) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        frames = []
        streams = [client.stream() for _ in range(200)]
        for stream in streams:
            frames += [client.head(stream, path=b"/slow"), rst_stream(stream)]
        await client.send(*frames)
        await client.settle()
        assert len(backend.connections) <= client.settings[MAX_STREAMS]
        assert (await client.get()).status == 200  # and they are free again
        client.close()


async def test_5_1_2_streams_above_the_limit_are_refused(running: Proxy) -> None:
    """RFC 9113 5.1.2: REFUSED_STREAM, so that the client may ask again."""
    async with app(_silent) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        limit = client.settings[MAX_STREAMS]
        streams = [await client.request(path=b"/slow") for _ in range(limit + 3)]
        await client.settle()
        assert [stream for stream in streams if client.seen(stream).over] == streams[limit:]
        assert {client.seen(stream).reset for stream in streams[limit:]} == {REFUSED_STREAM}
        await client.send(rst_stream(streams[0]))
        async with asyncio.timeout(2):
            while (await client.get()).reset == REFUSED_STREAM:  # the app is rid of it now, or in a moment
                await asyncio.sleep(0.01)
        client.close()


MADE_YOU_RESET = {
    "WINDOW_UPDATE by 0": lambda stream: window_update(stream, 0),
    "a window too large": lambda stream: window_update(stream, 2**31 - 1),
    "PRIORITY of four bytes": lambda stream: frame(PRIORITY, 0, stream, bytes(4)),
    "HEADERS behind the end": lambda stream: frame(HEADERS, END_HEADERS, stream, b"\x82"),
    "DATA behind the end": lambda stream: data(stream, b"x"),
}


@pytest.mark.parametrize("how", MADE_YOU_RESET)
async def test_cve_2025_8671_made_you_reset_is_counted_too(running: Proxy, how: str) -> None:
    """2,000 streams that we have to reset: after 200 the connection ends."""
    async with app(_silent) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(40):
            frames = []
            for _ in range(50):
                stream = client.stream()
                frames += [client.head(stream, path=b"/slow"), MADE_YOU_RESET[how](stream)]
            await client.try_to_send(*frames)
        await client.to_end()
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
        client.close()


async def test_three_quick_reloads_of_600_modules_are_no_attack(running: Proxy) -> None:
    """A browser that takes back what it has asked for, as many as may be open, three times at once."""

    async def talk(connection: AppConnection) -> None:
        while True:
            await connection.head()
            await connection.answer(b"m" * 200)

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        limit = client.settings[MAX_STREAMS]
        for _ in range(3):
            left = 600
            running_streams: list[int] = []
            while left:
                batch = [client.stream() for _ in range(min(left, limit - len(running_streams)))]
                left -= len(batch)
                await client.send(*[client.head(stream, path=b"/module.js") for stream in batch])
                running_streams += batch
                if left > 200:
                    await client.until(lambda: any(client.seen(stream).over for stream in running_streams))  # noqa: B023
                    running_streams = [stream for stream in running_streams if not client.seen(stream).over]
                else:
                    await client.send(*[rst_stream(stream) for stream in running_streams])
                    running_streams = []
                    await client.settle()
        assert (await client.get()).status == 200
        assert not client.goaways
        client.close()


async def test_cve_2024_27316_a_continuation_flood_ends_the_connection(running: Proxy) -> None:
    """The whole family (24549, 28182, 30255, 27983, 45288): 64 frames, 64 KiB, and no more."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        async with beside_an_ordinary_client(running):
            for piece in (b"", b"\x00\x01a\x01b", b"\x00\x01a\x7f\x81\x7e" + b"z" * 16_253):
                client = await h2_client(running)
                await client.send(frame(HEADERS, 0, 1, b"\x82"))
                await _flood(client, frame(CONTINUATION, 0, 1, piece) * 10, 100)
                await client.to_end()
                assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
                client.close()


async def test_cve_2016_6581_an_hpack_bomb_is_not_unpacked(running: Proxy) -> None:
    """One entry of 4 KiB, named 16,000 times in one block: 64 MB, and no field of it reaches an app."""
    async with app(answering()) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for _ in range(2):
            client.block([(b"x", b"y" * 4000)])
        stream = client.stream()
        block = client.block([(b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/bomb")])
        bomb = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 12_000
        await client.try_to_send(frame(HEADERS, END_HEADERS, stream, block + bomb))
        await client.until(lambda: client.seen(stream).over or client.closed)
        assert client.seen(stream).status == 431 or client.goaways
        client.close()
    assert not any(b"/bomb" in head for connection in backend.connections for head in connection.heads)


async def test_cve_2026_49975_the_http_2_bomb_with_a_held_window_is_reaped(authority: Authority) -> None:
    """Large answers whose windows stay at zero: each stream is ended when nothing was taken for too long."""
    limits = ClientLimits(exchange=ExchangeLimits(body_idle_timeout_s=0.2))
    async with proxy(authority, limits=limits) as running, app(answering(b"b" * 200_000)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0))
        streams = [await client.request((b"cookie", b"a=b")) for _ in range(20)]
        async with asyncio.timeout(8):
            while not all(client.seen(stream).over for stream in streams):
                assert await client.read_frame()
        assert {client.seen(stream).reset for stream in streams} == {CANCEL}
        assert all(client.seen(stream).size == 0 for stream in streams)
        await until(lambda: all(connection.writer.is_closing() for connection in backend.connections))
        client.close()


async def test_a_window_of_one_byte_at_a_time_does_not_keep_the_loop_busy(running: Proxy) -> None:
    """CVE-2019-9511, data dribble: one byte for each WINDOW_UPDATE, and others are answered."""
    async with app(answering(b"d" * 100_000)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0), credit=False)
        stream = await client.request()
        async with beside_an_ordinary_client(running):
            for _ in range(20):
                await client.send(window_update(stream, 1) * 50)
                await client.settle()
        assert client.seen(stream).size == 1000
        client.close()


FLOODS = {
    "CVE-2019-9512 PING": frame(PING, 0, 0, bytes(8)),
    "CVE-2019-9515 SETTINGS": settings((INITIAL_WINDOW, 1000)),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_acknowledgements_that_nobody_reads_are_bounded(running: Proxy, what: str) -> None:
    """Whoever asks for answers and does not read them is not answered without end."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        async with beside_an_ordinary_client(running):
            await _flood(client, FLOODS[what] * 1000, 400)
        connection = next(c for c in running.service.connections if c.id == _oldest(running))
        assert connection.extra_info("ssl_object") is not None  # type: ignore[attr-defined]  # an H2ClientConnection
        client.close()


def _oldest(running: Proxy) -> int:
    return min(connection.id for connection in running.service.connections)


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood_that_is_read_is_answered_frame_by_frame(running: Proxy, what: str) -> None:
    """900 frames from a client that reads: each has its acknowledgement."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        async with beside_an_ordinary_client(running):
            for _ in range(9):
                await client.send(FLOODS[what] * 100)
                await client.settle()
        assert len(client.pings) + client.settings_acks >= 900
        assert not client.goaways
        client.close()


ENDLESS = {
    **FLOODS,
    "CVE-2019-9513 PRIORITY": frame(PRIORITY, 0, 5, b"\0\0\0\0\x10"),
    "WINDOW_UPDATE": window_update(0, 1),
    "frames of an unknown type": frame(0xBB, 0xFF, 0),
    "acknowledgements of SETTINGS": frame(SETTINGS, ACK),
    "acknowledgements of PING": frame(PING, ACK, 0, bytes(8)),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_a_flood_that_is_read_ends_its_connection(running: Proxy, what: str) -> None:
    """RFC 9113 10.5: 100,000 frames that carry no message, in pieces of 5,000; the budget is one or two thousand."""
    async with app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        async with beside_an_ordinary_client(running):
            reading = asyncio.create_task(client.to_end())
            await _flood(client, ENDLESS[what] * 5_000, 20)
            await reading
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
        client.close()


async def test_credit_for_all_that_is_read_is_no_flood(running: Proxy) -> None:
    """Two WINDOW_UPDATEs for each DATA of 20 MB, some 2,500: they are paid for by the DATA."""
    async with app(answering(bytes(20_000_000))) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 2**20))
        seen = client.seen(await client.request())
        await client.until(lambda: seen.over, within_s=30)
        assert seen.size == 20_000_000
        assert not client.goaways
        client.close()


async def test_pings_with_each_answer_are_no_flood(running: Proxy) -> None:
    """What gRPC does to measure its bandwidth: a PING for each read, as long as there is something to read."""
    async with app(answering(b"x" * 100)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for turn in range(1_500):
            assert (await client.get()).status == 200
            await client.send(frame(PING, 0, 0, b"%8d" % turn))
        assert not client.goaways
        client.close()


@pytest.mark.parametrize("padded", [False, True], ids=["empty", "padding only"])
async def test_cve_2019_9518_empty_data_without_end_ends_the_connection(running: Proxy, padded: bool) -> None:
    """100 in a row without END_STREAM, and no more."""
    async with app(_silent) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request(method=b"POST", path=b"/slow", end=False)
        empty = frame(DATA, PADDED, stream, b"\x00") if padded else data(stream, b"")
        await client.send(empty * 100)
        await client.settle()
        assert not client.goaways
        await _flood(client, empty * 100, 150)
        await client.to_end()
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
        client.close()


async def test_cve_2019_9513_priority_frames_of_a_browser_cost_nothing_but_their_reading(running: Proxy) -> None:
    """1,500 PRIORITY frames: no tree is kept, and the connection still serves."""
    async with app(answering()) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        for turn in range(3):
            priorities = [frame(PRIORITY, 0, 2 * n + 1, b"\0\0\0\0\x10") for n in range(turn * 500, turn * 500 + 500)]
            await client.send(*priorities)
        await client.settle()
        assert (await client.get()).status == 200
        client.close()


async def test_cve_2019_9516_empty_names_are_a_stream_error_each(running: Proxy) -> None:
    """Fields without name and value: malformed, counted as resets."""
    async with app(answering()) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = client.stream()
        await client.send(frame(HEADERS, END_HEADERS, stream, b"\x82\x87\x84" + b"\x00\x00\x00" * 200))
        assert (await client.reply(stream)).reset == PROTOCOL_ERROR
        client.close()


async def test_cve_2019_9517_answers_that_are_not_read_are_not_kept(running: Proxy) -> None:
    """Internal data buffering: windows wide open, TCP closed: the apps are held back instead."""
    async with app(answering(b"i" * 500_000)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 2**31 - 1))
        await client.send(window_update(0, 2**31 - 1 - 65535))
        async with beside_an_ordinary_client(running):
            for _ in range(10):
                await client.send(*[client.head(client.stream(), path=b"/big") for _ in range(10)])
                await asyncio.sleep(0.01)
            connection = min(running.service.connections, key=lambda c: c.id)
            kept = connection._transport.get_write_buffer_size()  # type: ignore[attr-defined]  # an H2ClientConnection
            assert kept < 2_000_000
        client.close()


# -- promptness -------------------------------------------------------------------------------------------------------


async def test_a_client_that_never_sends_its_preface_is_let_go(hasty: Proxy) -> None:
    """Rule 75: TLS is done, nothing comes."""
    client = await bare_h2(hasty)
    await client.to_end(within_s=2)
    assert client.wire.saw_close_notify
    client.close()


async def test_6_5_3_settings_that_are_not_acknowledged_end_the_connection(authority: Authority) -> None:
    """RFC 9113 6.5.3: SETTINGS_TIMEOUT, though requests are answered meanwhile."""
    limits = ClientLimits(head_timeout_s=0.1)
    async with proxy(authority, limits=limits) as running, app(_silent) as backend:
        running.route(f"app = {backend.port}")
        client = await bare_h2(running, polite=False)
        stream = client.stream()
        await client.send(PREFACE, settings(), client.head(stream, path=b"/slow"))
        await client.to_end(within_s=3)
        assert [code for _, code in client.goaways] == [SETTINGS_TIMEOUT]
        client.close()


async def test_a_field_block_that_is_never_completed_ends_the_connection(authority: Authority) -> None:
    """Slow loris by CONTINUATION: the time for a head is absolute."""
    limits = ClientLimits(head_timeout_s=0.2)
    async with proxy(authority, limits=limits) as running, app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200
        await client.send(frame(HEADERS, 0, client.stream(), b"\x82"))

        async def dribble() -> None:
            while not client.closed:
                await client.try_to_send(frame(CONTINUATION, 0, 3, b"\x84"))
                await asyncio.sleep(0.1)

        dribbling = asyncio.create_task(dribble())
        await client.to_end(within_s=3)
        assert client.goaways[-1][1] == ENHANCE_YOUR_CALM
        await dribbling
        client.close()


async def test_an_idle_connection_ends_with_a_goaway(authority: Authority) -> None:
    """RFC 9113 9.1, 6.8: NO_ERROR and the last stream that was served."""
    limits = ClientLimits(keep_alive_s=0.15)
    async with proxy(authority, limits=limits) as running, app(answering()) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        assert (await client.get()).status == 200
        assert (await client.get()).status == 200
        await client.to_end(within_s=2)
        assert client.goaways[-1] == (3, NO_ERROR)
        assert client.wire.saw_close_notify
        client.close()


async def test_a_settings_ack_without_end_is_harmless(running: Proxy) -> None:
    """Acknowledgements ask for nothing."""
    async with app(answering()) as backend, beside_an_ordinary_client(running):
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        await client.send(frame(SETTINGS, ACK) * 5000)
        assert (await client.get()).status == 200
        client.close()
