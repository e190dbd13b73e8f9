"""One request on a shared connection: aborts, and the app's end of a tunnel. The app is `h2`."""

from __future__ import annotations

import asyncio

import h2.events

from devtls.http.events import Malformed
from tests.net.h2_stand_ins import NotingTransport, Shared


async def test_an_abort_is_a_reset_and_what_comes_late_is_for_nobody(shared: Shared) -> None:
    stream, user = shared.asked()
    await shared.settle()
    stream.abort()
    stream.abort()
    shared.answer(1, b"late", end=False)
    await shared.settle()
    assert [event.stream_id for event in shared.of_kind(h2.events.StreamReset)] == [1]
    assert user.bursts == []
    called: list[str] = []
    stream.when_lost(lambda: called.append("lost"))
    assert called == ["lost"]
    assert shared.connection.available


async def test_an_abort_before_anything_was_sent_concerns_nobody(shared: Shared) -> None:
    stream = shared.connection.open()
    stream.abort()
    await shared.settle()
    assert not shared.heard or not shared.of_kind(h2.events.StreamReset)
    assert stream.closed


async def test_a_websocket_is_not_asked_of_an_app_that_does_not_carry_them(shared: Shared) -> None:
    stream, user = shared.asked(upgrade=b"websocket")
    assert user.events == []
    await shared.settle()
    assert isinstance(user.events[0], Malformed)
    assert "WebSockets" in user.events[0].reason
    stream.abort()
    await shared.settle()
    assert not shared.of_kind(h2.events.RequestReceived)


async def test_the_last_words_of_a_tunnel_reach_an_app_that_leaves(shared: Shared) -> None:
    shared.connection.codec.carries_websockets = True
    stream, _ = shared.asked(upgrade=b"websocket")
    await shared.settle()
    shared.connection.data_received(b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0")
    stream.transport.write(b"good-bye")
    stream.transport.close()
    await asyncio.sleep(0)
    assert b"\0\0\x08\0\x01\0\0\0\x01good-bye" in shared.transport.taken()
    assert shared.connection.closed


async def test_a_stream_knows_what_its_connection_knows(shared: Shared) -> None:
    shared.transport = NotingTransport(peername=("127.0.0.1", 9))
    shared.connection.transport = shared.transport
    stream = shared.connection.open()
    assert stream.extra_info("peername") == ("127.0.0.1", 9)
    assert stream.transport is stream.transport
    assert stream.start_tunnel() == b""
    shared.connection.abort()
    assert shared.connection.closed
