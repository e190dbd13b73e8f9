"""The demo app: each of its answers, nothing unescaped, and a prompt end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime

import aiohttp
import pytest
from aiohttp import web

from devtls.demo import make_app, page, start
from devtls.demo.app import _received


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    runner, port = await start("127.0.0.1")
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_the_page_has_the_elements_that_browsers_tests_look_for(
    origin: str, client: aiohttp.ClientSession
) -> None:
    async with client.get(origin) as answer:
        text = await answer.text()
    assert answer.content_type == "text/html"
    for element in ("secure", "ws", "sse", "headers"):
        assert f'id="{element}"' in text


async def test_the_page_loads_nothing_from_elsewhere(origin: str, client: aiohttp.ClientSession) -> None:
    for path in ("/", "/page.css", "/page.js"):
        async with client.get(origin + path) as answer:
            text = await answer.text()
            assert answer.status == 200
        assert "//" not in text.replace("://${location.host}", "").replace("http://www.w3.org/2000/svg", "")


async def test_headers_are_escaped_on_the_page(origin: str, client: aiohttp.ClientSession) -> None:
    async with client.get(origin + "/?q=<b>", headers={"X-Evil": "<script>alert(1)</script>"}) as answer:
        text = await answer.text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>?" not in text


def test_a_header_name_is_escaped_too() -> None:
    assert "<i>" not in page.render("GET /<i>", [("<i>", '"<i>"')])


def test_headers_that_proxies_add_are_marked() -> None:
    text = page.render("GET /", [("X-Forwarded-For", "127.0.0.1"), ("Host", "app.dev.local")])
    assert text.count('<tr class="added">') == 1


async def test_headers_come_as_json_in_order_and_spelling(origin: str, client: aiohttp.ClientSession) -> None:
    sent = [("X-One", "1"), ("x-TWO", "2"), ("X-One", "3")]
    async with client.get(origin + "/headers?a=b", headers=sent) as answer:
        got = await answer.json()
    assert got["method"] == "GET"
    assert got["target"] == "/headers?a=b"
    assert [tuple(pair) for pair in got["headers"] if pair[0].lower().startswith("x-")] == sent


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    class Fake:
        raw_headers = ((b"X", b"\xff\xc3\xa9"),)

    assert _received(Fake()) == [("X", "\\xff\u00e9")]  # type: ignore[arg-type]  # only raw_headers is read


async def test_the_echo_returns_text_and_bytes(origin: str, client: aiohttp.ClientSession) -> None:
    async with client.ws_connect(origin + "/echo") as socket:
        await socket.send_str("héllo")
        assert await socket.receive_str(timeout=5) == "héllo"
        await socket.send_bytes(b"\x00\xff")
        assert await socket.receive_bytes(timeout=5) == b"\x00\xff"


async def test_the_echo_tells_a_plain_request_what_it_is(origin: str, client: aiohttp.ClientSession) -> None:
    async with client.get(origin + "/echo") as answer:
        assert answer.status == 426


async def test_the_clock_sends_its_first_event_at_once_and_keeps_ticking(client: aiohttp.ClientSession) -> None:
    runner = web.AppRunner(make_app(tick_s=0.01), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with client.get(f"http://127.0.0.1:{runner.addresses[0][1]}/clock") as answer:
        assert answer.content_type == "text/event-stream"
        for _ in range(3):
            line = await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5)
            event = json.loads(line.removeprefix(b"data: "))
            assert datetime.fromisoformat(event["time"]).tzinfo is not None
    await runner.cleanup()


async def test_it_says_when_it_is_ready(origin: str, client: aiohttp.ClientSession) -> None:
    async with client.get(origin + "/ready") as answer:
        assert await answer.text() == "ready\n"


async def test_it_ends_at_once_although_a_tab_is_open(client: aiohttp.ClientSession) -> None:
    runner, port = await start("127.0.0.1")
    origin = f"http://127.0.0.1:{port}"
    async with client.ws_connect(origin + "/echo") as socket, client.get(origin + "/clock") as clock:
        await clock.content.readuntil(b"\n\n")
        async with asyncio.timeout(2):
            stopped = asyncio.ensure_future(runner.cleanup())
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            await stopped


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind() -> None:
    runner, port = await start("127.0.0.1")
    with pytest.raises(OSError, match="address already in use"):
        await start("127.0.0.1", port)
    await runner.cleanup()
