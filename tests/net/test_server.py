"""One client connection through the whole data plane."""

from __future__ import annotations

from tests.net.harness import Proxy, answering, app


async def test_a_request_reaches_the_app_and_its_answer_comes_back(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get(b"/a%2Fb//c/../d;v=1?x=1&q[]=%zz")
    assert reply.status == 200
    assert reply.body == b"hello"


async def test_requests_on_one_connection_reuse_one_upstream_connection(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        for _ in range(3):
            await client.request()
            assert (await client.reply()).body == b"hello"
        client.close()
        assert len(backend.connections) == 1


async def test_pipelined_requests_are_answered_in_order(running: Proxy) -> None:
    async with app(answering(b"hello")) as backend:
        running.route(f"app = {backend.port}")
        client = await running.connect()
        await client.send(b"GET /1 HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" * 3)
        for _ in range(3):
            assert (await client.reply()).status == 200
        client.close()
