"""curl as people use it: uploads that ask first, chunks from a pipe, old HTTP, an answer in the middle of an upload."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.e2e.clients import RequireTool, run
from tests.e2e.serving import Serving, serving

pytestmark = pytest.mark.e2e

SIZE = 5_000_000


async def count(request: web.Request) -> web.Response:
    octets = 0
    async for piece in request.content.iter_chunked(65536):
        octets += len(piece)
    return web.json_response({"octets": octets, "version": f"{request.version.major}.{request.version.minor}"})


async def too_big(_: web.Request) -> web.Response:
    return web.Response(status=413, text="too big")


@pytest.fixture
async def proxy(home: Path) -> AsyncIterator[Serving]:
    app = web.Application()
    app.router.add_route("*", "/count", count)
    app.router.add_route("*", "/early", too_big)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with serving(home, f"app={runner.addresses[0][1]}") as proxy:
        yield proxy
    await runner.cleanup()


@pytest.fixture
def body(tmp_path: Path) -> str:
    (tmp_path / "body").write_bytes(bytes(SIZE))
    return str(tmp_path / "body")


class Curl:
    """curl with the root of one proxy, one version of HTTP, and nothing else."""

    def __init__(self, tool: str, proxy: Serving, version: str) -> None:
        quiet = ("--silent", "--show-error", "--max-time", "20")
        self._start = (tool, f"--http{version}", *quiet, "--cacert", str(proxy.root))
        self._proxy = proxy

    async def __call__(self, path: str, *options: str) -> str:
        done = await run((*self._start, *options, self._proxy.url("app.localhost", path)))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["1.1", "2"])
def curl(request: pytest.FixtureRequest, require_tool: RequireTool, proxy: Serving) -> Curl:
    return Curl(require_tool("curl", "sudo apt-get install curl"), proxy, request.param)


@pytest.fixture
def old_curl(require_tool: RequireTool, proxy: Serving) -> Curl:
    return Curl(require_tool("curl", "sudo apt-get install curl"), proxy, "1.0")


async def test_uploads_arrive_whole(curl: Curl, body: str) -> None:
    """`-T` sends Expect: 100-continue; without a length come chunks."""
    for options in (("-T", body), ("-T", body, "-H", "Transfer-Encoding: chunked"), ("--data-binary", f"@{body}")):
        assert json.loads(await curl("/count", *options))["octets"] == SIZE, options


async def test_http_1_0_is_served(old_curl: Curl, body: str) -> None:
    assert json.loads(await old_curl("/count", "--data-binary", f"@{body}"))["octets"] == SIZE


@pytest.mark.parametrize("options", [(), ("-H", "Expect:")], ids=["asking first", "sending at once"])
async def test_an_answer_before_the_end_of_an_upload_comes_through(
    curl: Curl, body: str, options: tuple[str, ...]
) -> None:
    assert await curl("/early", "-T", body, *options, "-w", " %{http_code}") == "too big 413"


async def test_one_connection_serves_many_requests(curl: Curl, proxy: Serving) -> None:
    more = [proxy.url("app.localhost", "/count")] * 2
    shown = await curl(
        "/count", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", *more
    )
    assert shown == "100"
