"""Plain HTTP: to https for routed names, nothing for others, and no connection kept."""

from __future__ import annotations

import asyncio

import pytest

from devtls.net.client import plain_http as plain
from devtls.net.client.plain_http import PlainConnection
from devtls.routing import RouteTable
from tests.net.h2_stand_ins import NotingTransport
from tests.net.harness import Proxy, Reply


async def answer(port: int, sent: bytes) -> Reply:
    """Send bytes and return the one answer that comes before the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    data = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    head, _, body = data.partition(b"\r\n\r\n")
    return Reply(int(head.split(b" ")[1]), head, body)


@pytest.fixture
def ports(running: Proxy) -> tuple[int, int]:
    """The redirect port and the TLS port of a proxy with one route."""
    running.route("app = 1")
    return running.http_port, running.port


@pytest.mark.parametrize("which", [0, 1], ids=["port 80", "tls port"])
async def test_a_routed_name_is_sent_to_https_with_path_and_query(
    running: Proxy, ports: tuple[int, int], which: int
) -> None:
    reply = await answer(
        ports[which], b"POST /a%2Fb?x=1;y HTTP/1.1\r\nHost: APP.dev.local:80\r\nContent-Length: 0\r\n\r\n"
    )
    assert reply.status == 307
    assert reply.field(b"location") == [b"https://app.dev.local:%d/a%%2Fb?x=1;y" % running.service.https_port]
    assert reply.field(b"connection") == [b"close"]


async def test_the_usual_port_is_left_out(running: Proxy) -> None:
    running.route("app = 1")
    running.service.https_port = 443
    reply = await answer(running.http_port, b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    assert reply.field(b"location") == [b"https://app.dev.local/"]


@pytest.mark.parametrize("host", [b"evil.example.com", b"127.0.0.1", b"other.dev.local", b"app.dev.local.evil.com"])
async def test_another_name_learns_nothing(ports: tuple[int, int], host: bytes) -> None:
    reply = await answer(ports[0], b"GET / HTTP/1.1\r\nHost: %b\r\nAccept: text/html\r\n\r\n" % host)
    assert 400 <= reply.status < 500
    assert reply.field(b"location") == []
    assert b"app.dev.local" not in reply.body
    assert b"evil" not in reply.body


async def test_a_head_request_gets_a_head(ports: tuple[int, int]) -> None:
    reply = await answer(ports[0], b"HEAD / HTTP/1.1\r\nHost: evil.example.com\r\n\r\n")
    assert reply.body == b""


async def test_a_broken_request_is_answered(ports: tuple[int, int]) -> None:
    reply = await answer(ports[0], b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    assert reply.status == 400


async def test_only_the_first_request_is_answered(ports: tuple[int, int]) -> None:
    reply = await answer(ports[0], b"GET /1 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" * 2)
    assert reply.head.count(b"HTTP/1.1 ") == 1
    assert b"HTTP/1.1 " not in reply.body


async def test_a_body_that_is_still_on_its_way_does_not_destroy_the_answer(ports: tuple[int, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
    writer.write(b"POST / HTTP/1.1\r\nHost: app.dev.local\r\nContent-Length: 1000000\r\n\r\n")
    assert b" 307 " in await asyncio.wait_for(reader.readline(), 5)
    for _ in range(10):
        writer.write(bytes(100000))
        await writer.drain()
    assert await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_a_client_that_says_nothing_is_closed(ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_TIMEOUT_S", 0.02)
    reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
    with pytest.raises(ConnectionResetError):
        if await asyncio.wait_for(reader.read(), 5) == b"":
            raise ConnectionResetError
    writer.close()


async def test_a_connection_says_its_state() -> None:
    connection, transport = PlainConnection(RouteTable, 443), NotingTransport(peername=("127.0.0.1", 5))
    connection.connection_made(transport)
    assert repr(connection) == "<PlainConnection waiting>"
    connection.data_received(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert repr(connection) == "<PlainConnection responded>"
    connection.connection_lost(None)
