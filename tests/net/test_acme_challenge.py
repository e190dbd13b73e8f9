"""Proofs of ACME challenges: looked for on this machine, and passed on at port 80 while somebody may ask for them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pytest
from msgspec.structs import replace

from devtls.names import parse_hostname
from devtls.net import acme_challenge as challenge
from devtls.net.acme_challenge import Challenges, Fetched, Shown, fetch, local_port, perform_handshake
from devtls.routing import Upstream
from devtls.system.machine.randomness import new_leaf_key
from tests.net.harness import Proxy, Reply

PATH = b"/.well-known/acme-challenge/token"


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def no_contexts(_: Upstream) -> NoReturn:
    raise AssertionError("nothing here speaks TLS")


@asynccontextmanager
async def answering(said: bytes, *, close: bool = True) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Run a server that answers each connection with `said`; gives its port and the heads it was sent."""
    heads: list[bytes] = []
    answered: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answered.append(writer)
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said)
        if not close:
            await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        for writer in answered:
            with contextlib.suppress(ConnectionError):  # the client needs no more of an answer that is too long
                await writer.wait_closed()


async def test_a_proof_is_asked_for_by_its_name_and_never_resolved() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproof", close=False) as (port, heads):
        found = await fetch(local_port(port), "web.dev.local", PATH, no_contexts)
    assert found == Fetched(200, b"proof")
    assert heads[0].startswith(b"GET " + PATH + b" HTTP/1.1\r\nHost: web.dev.local\r\n")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Fetched(404, b"")),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", Fetched(200, b"until the end")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nproof\r\n0\r\n\r\n", Fetched(200, b"proof")),
        (b"HTTP/1.1 302 Found\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n", Fetched(302, b"")),
    ],
)
async def test_answers_as_they_come(said: bytes, found: Fetched) -> None:
    async with answering(said) as (port, _):
        assert await fetch(local_port(port), "web.dev.local", PATH, no_contexts) == found


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "closed the connection before answering"),
        (b"SSH-2.0-OpenSSH\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "in the middle"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, "longer than 4096"),
    ],
)
async def test_what_is_no_answer_is_told_in_words(said: bytes, words: str) -> None:
    async with answering(said) as (port, _):
        found = await fetch(local_port(port), "web.dev.local", PATH, no_contexts)
    assert isinstance(found, str) and words in found


async def test_nobody_there_is_told_for_both_families(unused_port: int) -> None:
    found = await fetch(local_port(unused_port), "web.dev.local", PATH, no_contexts)
    assert isinstance(found, str) and f"127.0.0.1:{unused_port}: connection refused" in found


async def test_silence_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(challenge, "TIMEOUT_S", 0.1)
    async with answering(b"", close=False) as (port, _):
        assert "did not answer within 0.1 s" in str(await fetch(local_port(port), "a.test", PATH, no_contexts))


async def test_an_app_that_speaks_http2_alone_has_no_proof() -> None:
    upstream = replace(local_port(1), http2=True)
    assert "HTTP/2 only" in str(await fetch(upstream, "a.test", PATH, no_contexts))


# -- port 80 ----------------------------------------------------------------------------------------------------------


async def plain(port: int, sent: bytes) -> Reply:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    return Reply(int(head.split(b" ")[1]), head, body)


def open_challenge(running: Proxy, place: Upstream | None) -> None:
    pending = frozenset({("app.dev.local", PATH)})
    running.service.challenges = Challenges(no_contexts, lambda _: place, pending)


@pytest.mark.parametrize("which", ["http_port", "port"])
async def test_the_proof_of_an_open_challenge_is_passed_on(running: Proxy, which: str) -> None:
    running.route("app = 1")
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\nproof") as (port, heads):
        open_challenge(running, local_port(port))
        ask = b"GET %b HTTP/1.1\r\nHost: App.dev.local:80\r\nCookie: secret\r\n\r\n" % PATH
        reply = await plain(getattr(running, which), ask + b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        assert (reply.status, reply.body) == (200, b"proof")
        assert reply.field(b"connection") == [b"close"]
        head = await plain(getattr(running, which), ask.replace(b"GET", b"HEAD"))
        assert (head.status, head.body) == (200, b"")
    # Nothing of the client's request reaches the app but the path, and nothing of the app's answer but the body.
    assert len(heads) == 2 and not any(b"secret" in one for one in heads)
    assert reply.field(b"set-cookie") == []


@pytest.mark.parametrize(
    "request_line",
    [
        b"POST %b HTTP/1.1\r\nContent-Length: 0\r\nHost: app.dev.local" % PATH,
        b"GET %b HTTP/1.1\r\nHost: app.test" % PATH,
        b"GET %b HTTP/1.1\r\nHost: app.dev.local" % (PATH + b"2"),
        b"GET %b HTTP/1.1\r\nHost: app.dev.local" % (PATH + b"?x"),
        b"GET /.well-known/acme-challenge/../../ HTTP/1.1\r\nHost: app.dev.local",
        b"GET / HTTP/1.1\r\nHost: app.dev.local",
    ],
)
async def test_everything_else_is_redirected_as_ever(running: Proxy, request_line: bytes) -> None:
    running.route("app = 1")
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproof") as (port, heads):
        open_challenge(running, local_port(port))
        assert (await plain(running.http_port, request_line + b"\r\n\r\n")).status == 307
    assert heads == []


async def test_a_challenge_without_a_place_is_redirected(running: Proxy) -> None:
    running.route("app = 1")
    open_challenge(running, None)
    assert (await plain(running.http_port, b"GET %b HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" % PATH)).status == 307


async def test_an_app_without_the_proof_is_a_502(running: Proxy, unused_port: int) -> None:
    running.route("app = 1")
    ask = b"GET %b HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" % PATH
    open_challenge(running, local_port(unused_port))
    assert (await plain(running.http_port, ask)).status == 502
    async with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecret") as (port, _):
        open_challenge(running, local_port(port))
        reply = await plain(running.http_port, ask)
    assert reply.status == 502 and b"secret" not in reply.body


async def test_a_client_that_leaves_is_fetched_for_no_more(running: Proxy) -> None:
    running.route("app = 1")
    gone = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        gone.set()
        writer.close()

    asked = asyncio.Event()
    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    open_challenge(running, local_port(server.sockets[0].getsockname()[1]))
    _, writer = await asyncio.open_connection("127.0.0.1", running.http_port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" % PATH)
    await asyncio.wait_for(asked.wait(), 5)
    writer.transport.abort()
    await asyncio.wait_for(gone.wait(), 5)
    server.close()


# -- tls-alpn-01 ------------------------------------------------------------------------------------------------------


@pytest.mark.may_block
async def test_a_handshake_shows_protocol_and_certificate(running: Proxy, tmp_path: Path) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, name = new_leaf_key(), parse_hostname("web.dev.local")
    (tmp_path / "pem").write_bytes(running.authority.issue(name, now=datetime.now(UTC), key=key, serial=5).pem)
    context.load_cert_chain(tmp_path / "pem")
    context.set_alpn_protocols(["acme-tls/1"])
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=context)
    shown = await perform_handshake(server.sockets[0].getsockname()[1], "web.dev.local", "acme-tls/1")
    assert isinstance(shown, Shown) and shown.alpn == "acme-tls/1" and shown.certificate[:1] == b"0"
    assert names == ["web.dev.local"]
    server.close()


async def test_no_server_for_a_handshake_is_told(unused_port: int) -> None:
    found = await perform_handshake(unused_port, "web.dev.local", "acme-tls/1")
    assert isinstance(found, str) and f"127.0.0.1 port {unused_port}" in found
