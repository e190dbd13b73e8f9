"""Dialling: the race of addresses, what each one said, and apps that are there but speak something else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from devtls.http.actions import DialFailed
from devtls.net.upstream.dial import Dialler
from devtls.routing import Upstream, UpstreamTls
from tests.net.harness import client_context, until


class Dialled(asyncio.Protocol):
    """A connection: ready when it is told so."""

    made: list[Dialled] = []  # noqa: RUF012 - emptied by the fixture

    def __init__(self) -> None:
        self.closed = False
        self.answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.BaseTransport | None = None
        Dialled.made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    async def ready(self) -> str | None:
        return await self.answer

    def abort(self) -> None:
        self.closed = True
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
        elif self.transport is not None:  # uvloop's are none of asyncio's classes
            self.transport.abort()  # type: ignore[attr-defined]


class ReadyAtOnce(Dialled):
    """A Dialled that waits for nothing."""

    async def ready(self) -> str | None:
        return None


@pytest.fixture(autouse=True)
async def no_leftovers() -> AsyncIterator[None]:
    yield
    for each in Dialled.made:
        each.abort()
    Dialled.made.clear()
    await asyncio.sleep(0.01)


class Accepting:
    """What a server does with its connections: hold them, and end them with itself."""

    def __init__(self) -> None:
        self._writers: list[asyncio.StreamWriter] = []

    def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    async def end(self, server: asyncio.Server) -> None:
        await asyncio.sleep(0.01)  # what is in the backlog is accepted, or it would outlive the loop
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[tuple[str, int]]:
    """A port that accepts and says nothing."""
    accepting = Accepting()
    server = await asyncio.start_server(accepting, host, 0)
    try:
        yield server.sockets[0].getsockname()[:2]
    finally:
        await accepting.end(server)


def closed_port() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return "127.0.0.1", int(port)


def upstream(*addresses: tuple[str, int], host: str = "", unix: str = "") -> Upstream:
    port = addresses[0][1] if addresses else 80
    return Upstream(addresses, host, port, unix, None, f"http://test:{port}")


def connecting(target: Upstream, make: type[Dialled] = ReadyAtOnce) -> Dialler[Dialled]:
    return Dialler(target, make, client_context)


async def test_the_first_address_that_answers_is_taken_and_remembered() -> None:
    async with listening() as address:
        attempt = connecting(upstream(closed_port(), address))
        assert isinstance(await attempt.connect(2, None), Dialled)
        assert attempt.answered == address


async def test_the_preferred_address_is_tried_first() -> None:
    async with listening() as first, listening() as second:
        attempt = connecting(upstream(first, second))
        await attempt.connect(2, second)
        assert attempt.answered == second
        stranger = connecting(upstream(first, second))
        await stranger.connect(2, ("127.0.0.1", 1))
        assert stranger.answered == first


async def test_every_address_says_why_it_was_not_taken() -> None:
    first, second = closed_port(), closed_port()
    outcome = await connecting(upstream(first, second)).connect(2, None)
    assert outcome == DialFailed(
        ((f"127.0.0.1:{first[1]}", "connection refused"), (f"127.0.0.1:{second[1]}", "connection refused")),
        refused=True,
    )


async def test_a_connection_that_never_becomes_ready_runs_out_of_time_and_is_aborted() -> None:
    async with listening() as address:
        outcome = await connecting(upstream(address), Dialled).connect(0.05, None)
        assert isinstance(outcome, DialFailed)
        assert outcome.timed_out
        assert outcome.tried[-1][1] == "no answer within 0.05 s"
        await until(lambda: Dialled.made and all(each.closed for each in Dialled.made))


async def test_an_app_that_does_not_suit_says_why_and_the_next_address_is_tried() -> None:
    async with listening() as wrong, listening() as right:
        attempt = connecting(upstream(wrong, right), Dialled)
        dialling = asyncio.create_task(attempt.connect(2, None))
        await until(lambda: len(Dialled.made) == 1 and Dialled.made[0].transport)
        Dialled.made[0].answer.set_result("it speaks Gopher")
        await until(lambda: len(Dialled.made) == 2 and Dialled.made[1].transport)
        assert Dialled.made[0].closed
        Dialled.made[1].answer.set_result(None)
        assert await dialling is Dialled.made[1]
        assert attempt.answered == right


async def test_the_next_address_does_not_wait_for_one_that_is_slow() -> None:
    async with listening() as slow, listening() as quick:
        attempt = connecting(upstream(slow, quick), Dialled)
        begun = time.monotonic()
        dialling = asyncio.create_task(attempt.connect(2, None))
        await until(lambda: len(Dialled.made) == 2 and Dialled.made[1].transport)
        assert time.monotonic() - begun < 1
        Dialled.made[1].answer.set_result(None)
        assert await dialling is Dialled.made[1]
        await until(lambda: Dialled.made[0].closed)


async def test_one_that_was_closed_before_anybody_listened_is_a_failure() -> None:
    class Closed(ReadyAtOnce):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.closed = True

    async with listening() as address:
        outcome = await connecting(upstream(address), Closed).connect(2, None)
        assert isinstance(outcome, DialFailed)
        assert outcome.tried[-1][1] == "the app took the connection and closed it at once"


async def test_a_unix_socket_is_dialled_by_its_path(tmp_path: Path) -> None:
    path = str(tmp_path / "app.sock")
    missing = await connecting(upstream(unix=path)).connect(2, None)
    assert missing == DialFailed((("http://test:80", "the socket does not exist"),), refused=True)
    accepting = Accepting()
    server = await asyncio.start_unix_server(accepting, path)
    try:
        assert isinstance(await connecting(upstream(unix=path)).connect(2, None), Dialled)
    finally:
        await accepting.end(server)


async def test_a_name_that_does_not_resolve_or_leads_to_a_link_local_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = Upstream((), "metadata.test", 80, "", None, "http://metadata.test")
    loop = asyncio.get_running_loop()

    async def nowhere(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def link_local(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]

    outcomes = []
    for resolver in (nowhere, link_local):

        class Resolving:
            getaddrinfo = staticmethod(resolver)

            def __getattr__(self, name: str) -> object:
                return getattr(loop, name)

        monkeypatch.setattr("devtls.net.upstream.dial.asyncio.get_running_loop", lambda made=Resolving(): made)  # noqa: B008
        outcomes.append(await connecting(target).connect(2, None))
        monkeypatch.undo()
    first, second = outcomes
    assert isinstance(first, DialFailed)
    assert isinstance(second, DialFailed)
    assert first.tried == (("metadata.test", "the name does not resolve (name or service not known)"),)
    assert second.tried == (("metadata.test (169.254.169.254)", "addresses of cloud metadata services are never used"),)


async def test_a_handshake_that_fails_says_so() -> None:
    async def not_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(not_tls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    target = Upstream(
        (("127.0.0.1", port),), "", port, "", UpstreamTls("localhost", None, True), f"https://test:{port}"
    )
    attempt: Dialler[Dialled] = Dialler(target, ReadyAtOnce, lambda _: ssl.create_default_context())
    outcome = await attempt.connect(2, None)
    server.close()
    assert isinstance(outcome, DialFailed)
    assert "handshake" in outcome.tried[-1][1].lower()
    await asyncio.sleep(0.02)


async def test_a_socket_that_became_a_link_is_not_dialled(tmp_path: Path) -> None:
    """A `git checkout` can put a link to Docker's socket in the place of the app's."""
    path, other = tmp_path / "s", tmp_path / "other"
    permitted = replace(upstream(unix=str(path)), unix_real=os.path.realpath(path))
    accepting = Accepting()
    server = await asyncio.start_unix_server(accepting, other)
    try:
        path.symlink_to(other)
        failed = await connecting(permitted).connect(2, None)
        assert isinstance(failed, DialFailed)
        assert "has become a link" in failed.tried[0][1]
        path.unlink()
        other.rename(path)
        assert isinstance(await connecting(permitted).connect(2, None), Dialled)
    finally:
        await accepting.end(server)
