"""Accepting: within a limit, a few in each turn, and politely when the process may open no more files."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from devtls.net import listener
from devtls.net.admission import ConnectionTable
from devtls.net.bind import bind
from devtls.net.listener import Listener
from tests.net.harness import until


async def test_what_is_written_goes_out_at_once() -> None:
    """Nagle's algorithm holds a second small write back until the first is acknowledged: 40 ms later."""
    nodelay: list[int] = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            sock = transport.get_extra_info("socket")
            nodelay.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.abort()  # type: ignore[attr-defined]  # uvloop's transports are none of asyncio's classes

    listening = Listener(bound := bind(0), Accepted)
    await listening.start()
    for host in ("127.0.0.1", "::1"):
        _, writer = await asyncio.open_connection(host, bound.port)
        await until(lambda: len(nodelay) == (1 if host == "127.0.0.1" else 2))  # noqa: B023
        writer.transport.abort()
    listening.stop()
    assert all(nodelay)
    await asyncio.sleep(0)


async def test_a_listener_that_stopped_takes_no_more_but_keeps_what_is_open() -> None:
    got: list[bytes] = []

    class Keep(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            got.append(data)

    bound = bind(0)
    listening = Listener(bound, Keep)
    await listening.start()
    _, writer = await asyncio.open_connection("::1", bound.port)
    listening.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", bound.port)
    writer.write(b"still here")
    await until(lambda: got == [b"still here"])
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.01)


class Silent(asyncio.Protocol):
    """A connection that counts, and is idle from its begin on."""

    def __init__(self, places: ConnectionTable) -> None:
        self.places = places
        self.idle_since: float | None = asyncio.get_running_loop().time()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.places.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.places.discard(self)

    def yield_place(self) -> None:
        self.transport.abort()


class Crowded:
    """A listener with so many places, and clients that say nothing."""

    def __init__(self, most: int, **options: Any) -> None:
        self.places = ConnectionTable(lambda: most)
        self.made: list[Silent] = []
        self.busy = False
        self.bound = bind(0)
        self.listening = Listener(self.bound, self._make, self.places, **options)
        self.clients: list[socket.socket] = []

    def _make(self) -> Silent:
        self.made.append(Silent(self.places))
        if self.busy:
            self.made[-1].idle_since = None
        return self.made[-1]

    async def come(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            client = socket.socket()
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", self.bound.port))
            self.clients.append(client)

    async def end(self) -> None:
        self.listening.stop()
        for client in self.clients:
            client.close()
        for one in self.made:
            one.transport.abort()
        await until(lambda: not len(self.places))
        await asyncio.sleep(0)


async def test_no_more_descriptors_are_held_than_there_are_places() -> None:
    crowd = Crowded(20)
    most = 0
    for one in (crowd,):
        await one.listening.start()
        await one.come(200)
        async with asyncio.timeout(5):
            while len(one.made) < 200:
                most = max(most, len(one.places) + one.places.leaving)
                await asyncio.sleep(0)
    await until(lambda: not crowd.places.leaving)
    assert len(crowd.places) == 20
    assert most <= 20 + 2 * listener.PER_TURN
    assert [one.transport.is_closing() for one in crowd.made] == [True] * 180 + [False] * 20
    await crowd.end()


async def test_one_turn_accepts_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "PER_TURN", 3)
    crowd = Crowded(100)
    await crowd.come(10)
    await crowd.listening.start()
    crowd.listening._accept(crowd.bound.sockets[0])
    assert crowd.places.accepting == 3
    await until(lambda: len(crowd.made) == 10)
    await crowd.end()


async def test_where_all_are_busy_new_clients_wait_or_are_turned_away() -> None:
    for turns_away in (False, True):
        told: list[str] = []
        crowd = Crowded(2, turns_away=turns_away, report=told.append)
        crowd.busy = True
        await crowd.listening.start()
        await crowd.come(2)
        await until(lambda: len(crowd.places) == 2)  # noqa: B023
        await crowd.come(3)
        loop = asyncio.get_running_loop()
        if turns_away:
            for client in crowd.clients[2:]:
                assert await asyncio.wait_for(loop.sock_recv(client, 1), 5) == b""
            assert set(told) == {"as many clients are connected as may be, and all are busy: new ones are turned away."}
        else:
            await asyncio.sleep(0.15)
            assert len(crowd.made) == 3  # one is accepted before it is known that nobody gives way
            for one in crowd.made[:3]:
                one.transport.abort()
            await until(lambda: len(crowd.made) == 5)  # noqa: B023
            assert told == []
        await crowd.end()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EPROTO])
async def test_a_process_that_may_open_no_more_files_closes_who_is_idle_and_tries_again(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    crowd = Crowded(5, report=told.append)
    await crowd.listening.start()
    await crowd.come(1)
    await until(lambda: crowd.made and crowd.made[0] in crowd.places)

    class Full:
        """A socket that cannot accept."""

        def accept(self) -> tuple[socket.socket, object]:
            raise OSError(number, "Too many open files")

    paused: list[object] = []
    monkeypatch.setattr(crowd.listening, "_pause", paused.append)
    full: Any = Full()
    crowd.listening._accept(full)
    assert paused == [full]
    if number == errno.EPROTO:
        assert not told
        assert len(crowd.places) == 1
    else:
        assert told == ["new connections have to wait: Too many open files."]
        await until(lambda: not len(crowd.places))
    monkeypatch.undo()
    await crowd.end()


async def test_a_loop_that_cannot_watch_a_socket_keeps_the_limit_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows without winloop."""

    def add_reader(sock: socket.socket, callback: Callable[..., None], *args: object) -> None:
        raise NotImplementedError

    crowd = Crowded(2)
    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", add_reader, raising=False)
    try:
        await crowd.listening.start()
    except AttributeError:  # uvloop's methods cannot be replaced
        pytest.skip("not on this loop")
    monkeypatch.undo()
    crowd.busy = True
    await crowd.come(2)
    await until(lambda: len(crowd.places) == 2)
    await crowd.come(1)
    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(crowd.clients[-1], 1), 5) == b""
    crowd.made[0].idle_since = 1.0
    await crowd.come(1)
    await until(lambda: len(crowd.made) == 3 and len(crowd.places) == 2)
    await crowd.end()
