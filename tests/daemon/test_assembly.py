"""A running proxy, in this process: it serves, reloads, takes a new CA over, drains."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtls.errors import ConfigError, PortInUse
from devtls.http.frameworks.advice import FrameworkFinding
from devtls.http.frameworks.host_check import recognise
from devtls.names import DEFAULT_ZONES, Hostname
from devtls.system.storage.keystore import Keystore

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]

KEY = base64.b64encode(bytes(16))


async def test_serves_a_route_in_every_zone(start: Start, app: App) -> None:
    running = await start(f"app={await app(b'hello')}")
    for zone in DEFAULT_ZONES:
        answer = await running.get(f"app.{zone}")
        assert (answer.status, answer.body) == (200, b"hello")
    assert running.daemon.made_authority


async def test_an_unknown_name_gets_the_list_of_routes(start: Start) -> None:
    running = await start("app=9")
    answer = await running.get("other.dev.local")
    assert answer.status == 404
    assert f"https://app.dev.local:{running.port}".encode() in answer.body


async def test_an_app_that_is_down_is_named(start: Start, unused_port: int) -> None:
    running = await start(f"app={unused_port}")
    answer = await running.get("app.dev.local")
    assert answer.status == 502
    assert f"127.0.0.1:{unused_port}".encode() in answer.body


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_name_outside_the_zones_is_refused_before_a_key_is_made(start: Start) -> None:
    running = await start("app=9")
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        await running.get("evil.example.com")


async def test_a_static_directory_is_served_and_its_socket_goes_with_the_proxy(start: Start, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("static")
    running = await start(f"docs={tmp_path}")
    assert (await running.get("docs.dev.local")).body == b"static"
    runtime = running.daemon.source.paths.runtime_dir
    sockets = list(runtime.glob("serve-*/*.sock"))
    assert [path.stat().st_mode & 0o777 for path in sockets] == [0o600]
    assert sockets[0].parent.stat().st_mode & 0o777 == 0o700
    await running.daemon.stop(0.0)
    assert not list(runtime.glob("serve-*"))


async def test_a_reload_swaps_routes_and_keeps_the_connection(start: Start, app: App, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text(f"[routes]\napp = {await app(b'one')}\n")
    running = await start(file=file)
    reader, writer = await running.connect("app.dev.local")
    request = b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n"
    writer.write(request)
    assert (await reader.readuntil(b"one")).startswith(b"HTTP/1.1 200")
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("site")
    file.write_text(f'[routes]\napp = {await app(b"two")}\ndocs = {{ static = "site" }}\n')
    await running.daemon.reload()
    writer.write(request)
    assert (await reader.readuntil(b"two")).startswith(b"HTTP/1.1 200")
    writer.close()
    assert (await running.get("docs.dev.local")).body == b"site"
    file.write_text("[routes]\napp = 9\n")
    await running.daemon.reload()
    assert (await running.get("docs.dev.local")).status == 404
    assert not list(running.daemon.source.paths.runtime_dir.glob("serve-*/*.sock"))


@pytest.mark.parametrize(
    "broken", ["[routes", "[routes]\napp = 3000\nx.y.example.org = 1\n", '[routes]\n"app.example.org" = 3000\n']
)
async def test_a_broken_file_changes_nothing(start: Start, app: App, tmp_path: Path, broken: str) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text(f"[routes]\napp = {await app(b'good')}\n")
    running = await start(file=file)
    before = running.daemon.generation
    file.write_text(broken)
    with pytest.raises(ConfigError):
        await running.daemon.reload()
    assert running.daemon.generation is before
    assert (await running.get("app.dev.local")).body == b"good"


async def test_a_failed_reload_leaves_no_new_socket_behind(start: Start, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    file = tmp_path / "devtls.toml"
    file.write_text("[routes]\napp = 9\n")
    running = await start(file=file)
    file.write_text('[routes]\ndocs = { static = "site" }\n"app.example.org" = 3000\n')
    with pytest.raises(ConfigError):
        await running.daemon.reload()
    assert not list(running.daemon.source.paths.runtime_dir.glob("serve-*/*.sock"))


async def test_a_ca_file_that_is_missing_is_refused_when_it_is_read(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text('[routes]\napp = { target = "https://127.0.0.1:1", ca = "none.pem" }\n')
    with pytest.raises(ConfigError, match=r"none\.pem cannot be used"):
        await start(file=file)


async def test_a_ca_that_was_replaced_on_disk_is_picked_up(start: Start, app: App) -> None:
    running = await start(f"app={await app(b'x')}")
    old = running.daemon.generation.authority
    assert not await asyncio.to_thread(running.daemon.authority_replaced)
    keystore = Keystore(running.daemon.source.paths.state_dir)
    new = await asyncio.to_thread(keystore.create, (Hostname("dev.local"),), datetime.now(UTC))
    assert await asyncio.to_thread(running.daemon.authority_replaced)
    await running.daemon.reload()
    assert running.daemon.generation.authority.fingerprint == new.fingerprint != old.fingerprint
    assert (await running.get("app.dev.local")).body == b"x"  # verified under the new root
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        await running.get("app.test")  # no zone of the new CA
    documents = await running.daemon.pki.content().documents()
    assert new.root_crl_path in documents
    assert old.root_crl_path not in documents


async def test_a_deleted_ca_goes_on_serving(start: Start, app: App) -> None:
    running = await start(f"app={await app(b'x')}")
    await asyncio.to_thread(Keystore(running.daemon.source.paths.state_dir).forget)
    assert not await asyncio.to_thread(running.daemon.authority_replaced)
    await running.daemon.reload()
    assert (await running.get("app.dev.local")).body == b"x"


async def test_limits_of_the_file_count_after_a_reload(start: Start, app: App, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text(f"[routes]\napp = {await app()}\n")
    running = await start(file=file)
    file.write_text(f"[limits]\nmax_fields = 32\n[routes]\napp = {await app()}\n")
    await running.daemon.reload()
    assert running.daemon.service.limits.head.max_fields == 32
    many = "".join(f"X-{n}: 1\r\n" for n in range(40))
    assert (await running.get("app.dev.local", headers=many)).status == 431


async def test_stopping_lets_a_request_end(start: Start, app: App, wait_until: Wait) -> None:
    running = await start(f"app={await app(b'late', delay_s=0.15)}")
    asking = asyncio.ensure_future(running.get("app.dev.local"))
    await wait_until(lambda: running.daemon.busy_connections() == 1)
    await running.daemon.stop(5.0)
    assert (await asking).body == b"late"


async def test_stopping_cuts_what_does_not_end_in_time(start: Start, app: App, wait_until: Wait) -> None:
    running = await start(f"app={await app(b'never', delay_s=30)}")
    reader, writer = await running.connect("app.dev.local")
    writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    await wait_until(lambda: running.daemon.busy_connections() == 1)
    await running.daemon.stop(0.05)
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
    writer.close()


async def test_a_failed_start_closes_what_it_opened(start: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse) as caught:
            await start(f"docs={tmp_path}", https_port=taken.getsockname()[1])
    assert "process" in caught.value.holder
    assert not list(tmp_path.parent.glob("serve-*"))


async def test_an_alternative_below_localhost_is_offered(start: Start, wait_until: Wait) -> None:
    running = await start("app=9")
    refusal = recognise(403, b"text/plain", b"Blocked request. This host (")
    assert refusal is not None
    route = running.daemon.service.snapshot.routes.routes[0]
    running.daemon.log.framework("app.dev.local", route, FrameworkFinding(refusal))
    await wait_until(lambda: any(f"https://app.localhost:{running.port}" in line for line in running.lines))


async def test_websockets_and_certificates_survive_a_reload(start: Start, tmp_path: Path) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            key = head.lower().partition(b"sec-websocket-key: ")[2].split(b"\r\n")[0]
            assert key == KEY.lower()
            accept = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
            writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            while data := await reader.read(100):
                writer.write(data)
        except (asyncio.CancelledError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    file = tmp_path / "devtls.toml"
    file.write_text(f"[routes]\napp = {server.sockets[0].getsockname()[1]}\n")
    running = await start(file=file)
    reader, writer = await running.connect("app.dev.local")
    writer.write(
        b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    minted = running.daemon.contexts.minted
    file.write_text("[routes]\napp = 9\nother = 9\n")
    await running.daemon.reload()
    writer.write(b"still here")
    assert await reader.readexactly(10) == b"still here"
    assert (await running.get("app.dev.local")).status == 502
    assert running.daemon.contexts.minted == minted
    writer.close()
    server.close()
