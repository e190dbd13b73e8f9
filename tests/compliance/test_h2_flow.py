"""HTTP/2 flow control and backpressure: RFC 9113 5.2 and 6.9, rules 76-78, down and up."""

from __future__ import annotations

import asyncio

import pytest

from tests.compliance.h2wire import (
    CANCEL,
    INITIAL_WINDOW,
    MAX_FRAME,
    MAX_WINDOW,
    WireH2,
    data,
    h2_client,
    rst_stream,
    settings,
    window_update,
)
from tests.net.harness import AppConnection, Proxy, answering, app, until, until_still

BIG = bytes(range(256)) * 1200  # 300 KiB that are not all alike


async def _settled(client: WireH2) -> None:
    """Read until nothing comes for a moment."""
    before = -1
    while before != (now := sum(seen.size for seen in client.streams.values())):
        before = now
        await client.read_for(0.05)


async def test_6_9_2_the_initial_window_bounds_what_is_sent(running: Proxy) -> None:
    """RFC 9113 6.9.1, 6.9.2: not a byte more, and the rest when the window opens."""
    async with app(answering(BIG)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 1000), credit=False)
        stream = await client.request()
        seen = client.seen(stream)
        await client.until(lambda: seen.size == 1000)
        await _settled(client)
        assert seen.size == 1000
        await client.send(window_update(stream, 1))
        await client.until(lambda: seen.size == 1001)
        await client.send(window_update(stream, MAX_WINDOW - 1), window_update(0, len(BIG)))
        assert (await client.reply(stream)).body == BIG
        client.close()


async def test_6_9_1_the_connections_window_bounds_all_streams_together(running: Proxy) -> None:
    """RFC 9113 6.9.1: 65,535 bytes over all streams, whatever theirs allow."""
    async with app(answering(BIG)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 10_000_000), credit=False)
        streams = [await client.request() for _ in range(3)]
        await client.until(lambda: sum(client.seen(stream).size for stream in streams) == 65535)
        await _settled(client)
        assert sum(client.seen(stream).size for stream in streams) == 65535
        await client.send(window_update(0, 3 * len(BIG)))
        for stream in streams:
            assert (await client.reply(stream)).body == BIG
        client.close()


async def test_6_9_2_a_smaller_initial_window_makes_windows_negative(running: Proxy) -> None:
    """RFC 9113 6.9.2: what was sent counts against the new window; credit must first make good for it."""
    async with app(answering(BIG)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 20_000), credit=False)
        stream = await client.request()
        seen = client.seen(stream)
        await client.until(lambda: seen.size == 20_000)
        await client.send(settings((INITIAL_WINDOW, 5_000)), window_update(stream, 15_000))
        await client.settle()
        await _settled(client)
        assert seen.size == 20_000
        await client.send(window_update(stream, 7))
        await client.until(lambda: seen.size == 20_007)
        await client.send(settings((INITIAL_WINDOW, 6_000)))
        await client.until(lambda: seen.size == 21_007)
        client.close()


async def test_6_9_2_the_initial_window_may_be_zero_and_streams_without_bodies_pass(running: Proxy) -> None:
    """RFC 9113 6.9: only DATA is flow-controlled; an empty frame with END_STREAM always goes."""

    async def talk(connection: AppConnection) -> None:
        while b"/empty" in await connection.head():
            await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        await connection.answer(b"body")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0), credit=False)
        blocked = await client.request()
        assert (await client.head_of(blocked)).status == 200
        assert (await client.get(b"/empty")).status == 200
        assert client.seen(blocked).size == 0
        await client.send(window_update(blocked, 3))
        await client.until(lambda: client.seen(blocked).size == 3)
        await client.send(settings((INITIAL_WINDOW, 1)))
        assert (await client.reply(blocked)).body == b"body"
        client.close()


@pytest.mark.parametrize("allowed", [None, 16_384, 20_000, 1_000_000])
async def test_4_2_no_frame_is_larger_than_the_client_takes(running: Proxy, allowed: int | None) -> None:
    """RFC 9113 4.2, 6.5.2: MAX_FRAME_SIZE, for DATA and for HEADERS."""
    cookie = b"Set-Cookie: %b\r\n" % (b"c" * 40_000)
    async with app(answering(BIG, fields=cookie)) as backend:
        running.route(f"app = {backend.port}")
        pairs = [(INITIAL_WINDOW, 1_000_000)] + ([] if allowed is None else [(MAX_FRAME, allowed)])
        client = await h2_client(running, "app.dev.local", *pairs)
        seen = await client.get()
        assert seen.body == BIG
        assert max(seen.frames) <= (allowed or 16_384)
        assert len(seen.values(b"set-cookie")[0]) == 40_000
        client.close()


async def test_rule_77_a_client_with_closed_windows_holds_the_app_back(running: Proxy) -> None:
    """One stream: at most 12 MB are taken from the app, kernel buffers included."""
    sent = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal sent
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while True:
            await connection.send(bytes(65536))
            sent += 65536

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0))
        stream = await client.request()
        await client.head_of(stream)
        await until_still(lambda: sent)
        assert 0 < sent < 12_000_000
        client.close()


async def test_rule_77_a_hundred_stalled_streams_are_bounded_too(running: Proxy) -> None:
    """100 streams: what we hold of each is its queue, 64 KiB and one read more."""

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while True:
            await connection.send(bytes(16384))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0))
        streams = [await client.request() for _ in range(100)]
        for stream in streams:
            await client.head_of(stream)
        connection = next(iter(running.service.connections))
        codec = connection._codec  # type: ignore[attr-defined]  # an H2ClientConnection
        await until_still(lambda: sum(codec.queued(stream) for stream in streams))
        held = [codec.queued(stream) for stream in streams]
        assert min(held) > 0
        assert max(held) <= 65_536 + 262_144
        assert sum(held) < 33_000_000
        client.close()


async def test_rule_77_a_client_that_reads_nothing_at_all_is_bounded(running: Proxy) -> None:
    """Windows wide open, TCP not read: our buffer ends, and the app is held back."""
    sent = 0

    async def talk(connection: AppConnection) -> None:
        nonlocal sent
        await connection.head()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        while True:
            await connection.send(bytes(65536))
            sent += 65536

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, MAX_WINDOW), credit=False)
        await client.send(window_update(0, MAX_WINDOW - 65535))
        stream = await client.request()
        await until_still(lambda: sent)
        assert 0 < sent < 16_000_000  # the client's own kernel buffer holds some of it
        await client.send(rst_stream(stream))
        await until(lambda: backend.errors, within_s=1)
        client.close()


@pytest.mark.parametrize("stall", ["zero window", "held window"])
async def test_rule_78_a_stalled_download_does_not_stall_its_siblings(running: Proxy, stall: str) -> None:
    """RFC 9113 5.2: the stalled stream keeps its own window closed and no other's."""
    async with app(answering(BIG)) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 0 if stall == "zero window" else 30_000))
        client.credit = False
        stalled = [await client.request() for _ in range(2)]
        for stream in stalled:
            await client.head_of(stream)
        await _settled(client)
        other = await client.request()
        await client.send(window_update(other, len(BIG)), window_update(0, len(BIG)))
        assert (await client.reply(other)).body == BIG
        assert not any(client.seen(stream).over for stream in stalled)
        client.close()


async def test_two_large_downloads_are_interleaved_fairly(running: Proxy) -> None:
    """Neither waits for the other: halfway through, both have had their share."""
    async with app(answering(bytes(4_000_000))) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 1_000_000))
        await client.send(window_update(0, 1_000_000))
        streams = [await client.request() for _ in range(2)]
        first, second = (client.seen(stream) for stream in streams)
        await client.until(lambda: first.size + second.size >= 4_000_000)
        assert min(first.size, second.size) > 1_000_000
        await client.reply(streams[0])
        await client.reply(streams[1])
        assert (first.size, second.size) == (4_000_000, 4_000_000)
        client.close()


async def test_a_small_answer_does_not_wait_behind_a_large_one(running: Proxy) -> None:
    """A page beside a download: it comes long before that ends."""

    async def talk(connection: AppConnection) -> None:
        large = b"/large" in await connection.head()
        await connection.answer(bytes(8_000_000) if large else b"small")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 500_000))
        await client.send(window_update(0, 500_000))
        large = await client.request(path=b"/large")
        await client.until(lambda: client.seen(large).size > 100_000)
        before = client.seen(large).size
        assert (await client.get(b"/small")).body == b"small"
        assert client.seen(large).size - before < 4_000_000
        client.close()


# -- up ---------------------------------------------------------------------------------------------------------------


class Upload:
    """What a client may still send: DATA as far as the windows of the proxy allow."""

    def __init__(self, client: WireH2, stream: int) -> None:
        self.client, self.stream, self.sent = client, stream, 0

    @property
    def room(self) -> int:
        """Bytes of the stream's window."""
        return self.client.settings[INITIAL_WINDOW] + self.client.seen(self.stream).credit - self.sent

    async def run(self, most: int, *, end: bool = False) -> None:
        """Send up to `most` bytes in all, until no credit comes any more."""
        while self.sent < most:
            if self.room <= 0:
                await self.client.settle()
                if self.room <= 0:
                    await self.client.read_for(0.1)
                if self.room <= 0:
                    return
            size = min(self.room, 16_384, most - self.sent)
            self.sent += size
            await self.client.send(data(self.stream, bytes(size), end=end and self.sent == most))


async def _upload_app(connection: AppConnection) -> None:
    if b"/stalled" in await connection.head():
        connection.reader._limit = 1024  # type: ignore[attr-defined]  # read no further by itself than this
        await asyncio.Event().wait()
    length = 3_000_000
    while length:
        length -= len(await connection.reader.read(min(length, 65536)))
    await connection.answer(b"all of it")


async def test_rule_78_an_upload_to_an_app_that_does_not_read_stalls_only_itself(running: Proxy) -> None:
    """RFC 9113 5.2: the connection's window is larger than a stream's, and is given back."""
    async with app(_upload_app) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stalled = [
            Upload(
                client,
                await client.request((b"content-length", b"90000000"), path=b"/stalled", method=b"PUT", end=False),
            )
            for _ in range(3)
        ]
        for upload in stalled:
            await upload.run(30_000_000)
            assert upload.sent < 12_000_000
        stream = await client.request((b"content-length", b"3000000"), method=b"PUT", end=False)
        upload = Upload(client, stream)
        await upload.run(3_000_000, end=True)
        assert upload.sent == 3_000_000
        assert (await client.reply(stream)).body == b"all of it"
        client.close()


async def test_rule_78_what_streams_that_were_reset_had_sent_is_given_back(running: Proxy) -> None:
    """RFC 9113 6.9: else the connection's window would shrink with each of them."""
    async with app(_upload_app) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        given = 65_535 + client.credit_of_connection
        sent = 0
        while sent < 2 * given:
            stream = await client.request((b"content-length", b"90000000"), path=b"/stalled", method=b"PUT", end=False)
            await client.send(*[data(stream, bytes(16_384)) for _ in range(16)], rst_stream(stream))
            sent += 16 * 16_384
            await client.settle()
            assert not client.goaways
        stream = await client.request((b"content-length", b"3000000"), method=b"PUT", end=False)
        upload = Upload(client, stream)
        await upload.run(3_000_000, end=True)
        assert (await client.reply(stream)).body == b"all of it"
        client.close()


async def test_rule_78_credit_is_given_for_bytes_that_were_consumed(running: Proxy) -> None:
    """RFC 9113 6.9.1: an app that reads gets everything, over and above any window."""
    async with app(_upload_app) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        stream = await client.request((b"content-length", b"3000000"), method=b"PUT", end=False)
        upload = Upload(client, stream)
        await upload.run(3_000_000, end=True)
        assert (await client.reply(stream)).body == b"all of it"
        assert client.seen(stream).credit > 3_000_000 - 2 * client.settings[INITIAL_WINDOW]
        client.close()


# -- aborts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close", "tcp reset"])
async def test_rule_76_an_abort_reaches_the_app_within_a_fifth_of_a_second(running: Proxy, how: str) -> None:
    """RST_STREAM of one stream, or the end of the connection for all."""
    ended: list[float] = []

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        try:
            await connection.to_eof()
        finally:
            ended.append(asyncio.get_running_loop().time())

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running)
        streams = [await client.request() for _ in range(3)]
        await until(lambda: len(backend.connections) == 3 and all(c.heads for c in backend.connections))
        begun = asyncio.get_running_loop().time()
        if how == "reset":
            await client.send(*[rst_stream(stream, CANCEL) for stream in streams])
        elif how == "close":
            client.close()
        else:
            client.wire.reset()
        await until(lambda: len(ended) == 3)
        assert max(ended) - begun < 0.2
        client.close()


async def test_rule_76_an_abort_while_the_app_is_dialled_or_answers(running: Proxy) -> None:
    """Wherever a request stands, taking it back ends it and leaves the connection usable."""

    async def talk(connection: AppConnection) -> None:
        if b"/ok" in await connection.head():
            await connection.answer()
            return
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while True:
            await connection.send(bytes(65536))

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        client = await h2_client(running, "app.dev.local", (INITIAL_WINDOW, 100_000))
        for _ in range(30):
            stream = client.stream()
            await client.send(client.head(stream), rst_stream(stream))
        for _ in range(10):
            stream = await client.request()
            await client.until(lambda: client.seen(stream).size)  # noqa: B023
            await client.send(rst_stream(stream))
        assert (await client.get(b"/ok")).status == 200
        await until(lambda: all(c.writer.is_closing() for c in backend.connections if b"/ok" not in b"".join(c.heads)))
        assert not client.goaways
        client.close()
