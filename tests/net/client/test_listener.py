"""The ways of a client: TLS, refusals by alert, and who gives way when there are too many."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from tests.net.harness import AppConnection, Proxy, answering, app, until


async def refused(running: Proxy, name: str, context: ssl.SSLContext) -> str:
    """Return what a blocking client says when our port refuses it: asyncio's own sends no alerts."""

    def visit() -> str:
        with socket.create_connection(("127.0.0.1", running.port)) as sock, pytest.raises(ssl.SSLError) as caught:
            context.wrap_socket(sock, server_hostname=name)
        return str(caught.value.reason)

    return await asyncio.wait_for(asyncio.to_thread(visit), 5)


async def test_a_name_outside_the_zones_is_refused_by_an_alert_on_the_wire(running: Proxy) -> None:
    reason = await refused(running, "evil.example.com", running.client_context())
    assert reason == "TLSV1_UNRECOGNIZED_NAME"
    assert running.contexts.minted == 0
    assert [failure.reason for failure in running.noted.failures] == ["unrecognized name"]


async def test_a_client_of_another_protocol_is_refused_by_an_alert_on_the_wire(running: Proxy) -> None:
    context = running.client_context()
    context.set_alpn_protocols(["h3"])
    # None: Python 3.11 has no word for this alert.
    assert await refused(running, "app.dev.local", context) in ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "None")
    assert running.contexts.minted == 0
    assert [failure.reason for failure in running.noted.failures] == ["no application protocol"]


async def test_a_client_that_lacks_our_root_is_noted_with_the_name_it_asked_for(running: Proxy) -> None:
    assert await refused(running, "app.dev.local", ssl.create_default_context()) == "CERTIFICATE_VERIFY_FAILED"
    await until(lambda: running.noted.failures)
    (failure,) = running.noted.failures
    assert failure.refused_certificate
    assert (failure.sni, failure.client_ip) == ("app.dev.local", "127.0.0.1")


async def test_a_client_without_a_name_gets_the_leaf_for_the_loopback_addresses(running: Proxy) -> None:
    _, writer = await asyncio.open_connection(
        "127.0.0.1", running.port, ssl=running.client_context(), server_hostname="127.0.0.1"
    )
    names = {value for _, value in writer.get_extra_info("peercert")["subjectAltName"]}
    assert names == {"localhost", "127.0.0.1", "0:0:0:0:0:0:0:1"}
    writer.close()


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
async def test_at_the_limit_the_longest_idle_client_gives_way(running: Proxy, alpn: str) -> None:
    running.service.limits = type(running.service.limits)(max_connections=3)
    async with app(answering(b"here")) as backend:
        running.route(f"app = {backend.port}")
        clients = [await running.connect(alpn=alpn) for _ in range(3)]
        await until(lambda: len(running.service.connections) == 3)
        new = await running.connect()
        await new.request()
        assert (await new.reply()).body == b"here"
        await asyncio.wait_for(clients[0].reader.read(), 5)  # to its end: HTTP/2 says goodbye
        await until(lambda: len(running.service.connections) == 3)
        assert not clients[1].reader.at_eof()
        for client in clients:
            client.close()
    assert not running.noted.failures


async def test_who_works_for_a_client_is_never_closed_and_the_new_one_is_turned_away(running: Proxy) -> None:
    running.service.limits = type(running.service.limits)(max_connections=1)
    go_on = asyncio.Event()

    async def talk(connection: AppConnection) -> None:
        await connection.head()
        await go_on.wait()
        await connection.answer(b"whole")

    async with app(talk) as backend:
        running.route(f"app = {backend.port}")
        busy = await running.connect()
        await busy.request()
        await until(lambda: backend.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        go_on.set()
        assert (await busy.reply()).body == b"whole"
        busy.close()
        await until(lambda: not running.service.connections)
        (await running.connect()).close()


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\nHost: app.dev"])
async def test_handshakes_and_heads_that_never_end_count_and_yield_place(running: Proxy, sent: bytes) -> None:
    """Of plain HTTP as well, which is redirected on the port of TLS."""
    running.service.limits = type(running.service.limits)(max_connections=4)
    silent = []
    for _ in range(40):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(sent)
        silent.append((reader, writer))
    client = await running.connect()
    await client.request(host=b"none.test")
    assert (await client.reply()).status == 421
    await until(lambda: sum(reader.at_eof() or reader.exception() is not None for reader, _ in silent) >= 37)
    assert not running.noted.failures
    client.close()
    for _, writer in silent:
        writer.close()
