"""HTTP/2 with the clients that developers have: curl, nghttp, Node and httpx, each under the proxy's own root."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import RequireTool
from tests.e2e.body_app import PIECE, BodyApp, body_app, digest
from tests.e2e.clients import run
from tests.e2e.serving import Serving, serving
from tests.e2e.waiting import until

pytestmark = pytest.mark.e2e

NAME = "app.dev.local"
LARGE = 50 * 1024 * 1024
AT_ONCE = 100
SESSION = Path(__file__).with_name("http2_session.mjs")


@dataclass(frozen=True)
class Scene:
    app: BodyApp
    proxy: Serving

    def requests(self) -> list[dict[str, object]]:
        """Return what the log says of each request."""
        events = [json.loads(line) for line in self.proxy.program.output().splitlines() if line.startswith("{")]
        return [event for event in events if event["event"] == "request"]


@pytest.fixture
async def scene(home: Path) -> AsyncIterator[Scene]:
    """The app under a name of its own, and as localhost for clients that cannot be told where a name is."""
    async with (
        body_app() as app,
        serving(home, f"app={app.port}", f"localhost={app.port}", "--log-format", "json") as proxy,
    ):
        yield Scene(app, proxy)


class Curl:
    """curl with HTTP/2, the root of one proxy, and nothing else."""

    def __init__(self, tool: str, proxy: Serving) -> None:
        root = ("--cacert", str(proxy.root), "--resolve", f"{NAME}:{proxy.port}:127.0.0.1")
        self._start = (tool, "--http2", "--silent", "--show-error", "--max-time", "60", *root)
        self._proxy = proxy

    async def __call__(self, path: str, *options: str) -> str:
        done = await run((*self._start, *options, self._proxy.url(NAME, path)))
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def curl_tool(require_tool: RequireTool) -> str:
    return require_tool("curl", "sudo apt-get install curl")


async def test_curl_downloads_and_uploads_large_bodies(curl_tool: str, scene: Scene, tmp_path: Path) -> None:
    curl, body = Curl(curl_tool, scene.proxy), tmp_path / "body"
    with body.open("wb") as file:
        for _ in range(LARGE // len(PIECE)):
            file.write(PIECE)
    got = tmp_path / "got"
    shown = await curl(f"/octets/{LARGE}", "--output", str(got), "--write-out", "%{http_version} %{size_download}")
    assert shown == f"2 {LARGE}"
    assert got.read_bytes() == body.read_bytes()
    for options in (("--upload-file", str(body)), ("--data-binary", f"@{body}", "-H", "Content-Length:")):
        assert json.loads(await curl("/count", *options)) == {"octets": LARGE, "sha256": digest(LARGE)}


async def test_curl_shows_trailers(curl_tool: str, scene: Scene) -> None:
    shown = await Curl(curl_tool, scene.proxy)("/trailers", "--dump-header", "-", "--output", "/dev/null")
    assert shown.startswith("HTTP/2 200")
    assert "x-end: yes" in shown.partition("\n\n")[2]


async def test_curl_puts_parallel_transfers_on_one_connection(curl_tool: str, scene: Scene) -> None:
    many = ("--parallel", "--parallel-max", "30", "--write-out", "%{http_version} %{num_connects}\n")
    shown = await Curl(curl_tool, scene.proxy)("/octets/[0-29]", *many, "--output", "/dev/null")
    lines = shown.split("\n")[:-1]
    assert {line.split()[0] for line in lines} == {"2"}
    assert sorted(line.split()[1] for line in lines) == [*["0"] * 29, "1"]
    await until(lambda: len(scene.requests()) == 30, lambda: str(scene.requests()))
    assert {request["protocol"] for request in scene.requests()} == {"HTTP/2"}


async def test_http2_false_leaves_http_1_1(curl_tool: str, home: Path) -> None:
    async with body_app() as app:
        (home / "devtls.toml").write_text(f"[serve]\nhttp2 = false\n[routes]\napp = {app.port}\n")
        async with serving(home, "--log-format", "json") as proxy:
            shown = await Curl(curl_tool, proxy)("/count", "--write-out", " %{http_version}", "--output", "/dev/null")
            assert shown.strip() == "1.1"
            scene = Scene(app, proxy)
            await until(scene.requests, proxy.program.output)
            assert [request["protocol"] for request in scene.requests()] == ["HTTP/1.1"]


async def test_nghttp_sees_the_frames_of_a_server(scene: Scene, require_tool: RequireTool) -> None:
    """It sends PRIORITY frames and a tree of dependencies, as old clients do."""
    nghttp = require_tool("nghttp", "sudo apt-get install nghttp2-client")
    url = scene.proxy.url("localhost", "/trailers")
    done = await run(
        (nghttp, "--verbose", "--timeout=20", url, "--multiply=5"), {"SSL_CERT_FILE": str(scene.proxy.root)}
    )
    shown = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
    assert "The negotiated protocol: h2" in shown
    assert "verification failed" not in shown
    assert re.search(r"\(0x08\):1\b", shown), "SETTINGS_ENABLE_CONNECT_PROTOCOL"
    received = re.findall(r"recv (\w+) frame <length=\d+, flags=0x(\w+), stream_id=(\d+)>", shown)
    kinds = [kind for kind, _, _ in received]
    assert kinds[0] == "SETTINGS"
    assert ("SETTINGS", "01", "0") in received, "no acknowledgement"
    assert {"RST_STREAM", "GOAWAY", "PUSH_PROMISE"}.isdisjoint(kinds)
    ends = [kind for kind, flags, stream in received if stream != "0" and int(flags, 16) & 1]
    assert ends == ["HEADERS"] * 5, "each answer ends with its trailers"
    assert shown.count("x-end: yes") == 5


async def test_nodes_http2_streams_trailers_and_aborts(scene: Scene, require_tool: RequireTool) -> None:
    node = require_tool("node", "sudo apt-get install nodejs")
    done = await run((node, str(SESSION), f"https://{NAME}:{scene.proxy.port}", str(scene.proxy.root)))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["alpn"], seen["pushed"], seen["goaway"]) == ("h2", 0, None)
    assert seen["settings"]["enableConnectProtocol"] is True
    assert seen["sizes"] == [number * 1000 for number in range(AT_ONCE)]
    assert seen["statuses"] == [200]
    assert json.loads(seen["trailers"]["text"])["octets"] == len("body")
    assert seen["trailers"]["trailers"] == {"x-back-x-sum": "12", "x-end": "yes"}
    assert (seen["rst"], seen["after"]) == (8, 200)
    await until(lambda: scene.app.given_up == 1, lambda: "the app was not told of the abort")
    assert scene.app.waiting == 0


async def test_httpx_shares_a_connection_and_streams_in_both_directions(scene: Scene) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield PIECE

    async with httpx.AsyncClient(http2=True, verify=scene.proxy.context(), timeout=30, trust_env=False) as client:
        answers = await asyncio.gather(*[client.get(scene.proxy.url("localhost", "/octets/1000")) for _ in range(50)])
        assert {(answer.http_version, answer.status_code) for answer in answers} == {("HTTP/2", 200)}
        assert {answer.content for answer in answers} == {PIECE[:1000]}
        crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("grpc-timeout", "1234567u"), ("te", "trailers")]
        answer = await client.post(scene.proxy.url("localhost", "/count"), content=pieces(), headers=crumbs)
        assert answer.json() == {"octets": 16 * len(PIECE), "sha256": digest(16 * len(PIECE))}
    assert scene.app.field("cookie") == ["a=1; b=2"]
    assert scene.app.field("host") == [f"localhost:{scene.proxy.port}"]
    assert scene.app.field("grpc-timeout") == ["1234567u"]
