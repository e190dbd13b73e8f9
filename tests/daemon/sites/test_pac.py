"""The PAC port of a running proxy: when it opens, what a reload changes, what is said of a port that is taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtls.daemon import run
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.run import Process
from devtls.daemon.sites import auxiliary_listener
from devtls.daemon.sites.pac import scope_of
from devtls.daemon.status import introduce
from devtls.names import Hostname
from devtls.net.bind import Bound, bind
from devtls.system.machine.port_holder import Holder
from devtls.system.storage.keystore import Keystore
from tests.daemon.sites.test_dns import lines_with

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]
CONFIG = "[dns]\nenabled = false\n[pac]\nport = {}\n[routes]\napp = {}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devtls.toml"
    path.write_text(CONFIG.format(0, 9))
    return path


async def exchange(port: int, sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def script(running: Any) -> str:
    answer = await exchange(running.daemon.pac.port, b"GET /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return answer.decode()


async def through(running: Any, port: int) -> bytes:
    """Fetch app.dev.local through a tunnel to `port`; return what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.daemon.pac.port)
    writer.write(b"CONNECT app.dev.local:%d HTTP/1.1\r\nHost: app.dev.local\r\n\r\n" % port)
    answer = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " in answer:
        _, direct = await running.connect("app.dev.local")  # its context trusts the CA
        await writer.start_tls(direct.get_extra_info("sslcontext"), server_hostname="app.dev.local")
        direct.close()
        writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


async def test_both_ports_lead_to_the_app_and_no_start_waits_for_it(start: Start, file: Path, app: App) -> None:
    file.write_text(CONFIG.format(0, await app(b"hello")))
    running = await start(file=file)
    assert "pac" not in vars(running.daemon)
    assert running.daemon.pac.port is None
    await running.daemon.pac.start()
    assert (await through(running, 443)).endswith(b"hello")
    assert (await through(running, running.port)).endswith(b"hello")
    assert b" 403 " in await through(running, running.port + 1)
    assert lines_with(running, "PAC") == lines_with(running, "Browsers") == 0
    assert introduce(running.daemon).pac_port == running.daemon.pac.port


async def test_the_process_opens_it_when_the_first_answer_is_out(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(run, "_SETTLE_S", 0.02)
    running = await start(file=file, level="verbose")
    after = asyncio.ensure_future(Process(running.daemon, TerminalStyle())._after_start())
    await wait_until(lambda: running.daemon.pac.port is not None)
    url = f"http://127.0.0.1:{running.daemon.pac.port}/proxy.pac"
    assert lines_with(running, f"Browsers may use devtls as their proxy: {url}") == 1
    after.cancel()
    await asyncio.to_thread(running.daemon.watch.close)


async def test_a_reload_moves_it_and_switches_it_off(start: Start, file: Path) -> None:
    running = await start(file=file)
    await running.daemon.pac.start()
    old = running.daemon.pac.port
    assert f"PROXY 127.0.0.1:{old}" in await script(running)
    spare = bind(0)
    spare.close()
    file.write_text(CONFIG.format(spare.port, 9))
    await running.daemon.reload()
    assert running.daemon.pac.port == spare.port
    assert f"PROXY 127.0.0.1:{spare.port}" in await script(running)
    file.write_text("[pac]\nenabled = false\n")
    await running.daemon.reload()
    assert running.daemon.pac.port is None
    assert introduce(running.daemon).pac_trouble == ""


async def test_the_zones_of_another_ca_are_led_here_on_the_same_port(start: Start, file: Path) -> None:
    running = await start(file=file)
    await running.daemon.pac.start()
    port = running.daemon.pac.port
    assert '["dev.local", "localhost", "test"]' in await script(running)
    keystore = Keystore(running.daemon.source.paths.state_dir)
    await asyncio.to_thread(keystore.create, (Hostname("shop.internal"),), datetime.now(UTC))
    await running.daemon.reload()
    assert running.daemon.pac.port == port
    assert '["shop.internal"]' in await script(running)
    assert b" 403 " in await through(running, 443)


@pytest.mark.parametrize("holder", ["nginx (process 5)", "devtls (process 6)"])
async def test_a_port_that_is_taken_is_told_once_and_tried_again(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait, holder: str
) -> None:
    monkeypatch.setattr(auxiliary_listener, "find_holder", lambda _, **__: Holder(holder))
    monkeypatch.setattr(auxiliary_listener, "_RETRY_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(CONFIG.format(port, 9))
        running = await start(file=file)
        await running.daemon.pac.start()
        await asyncio.sleep(0.05)
        told = f"PAC port {port} belongs to {holder}"
        assert lines_with(running, f"! {told}: devtls hands out no PAC file. `port` in [pac]") == (holder[0] == "n")
        assert introduce(running.daemon).pac_trouble.startswith(told)
    await wait_until(lambda: running.daemon.pac.port == port)
    assert introduce(running.daemon).pac_trouble == ""
    assert lines_with(running, "PAC") == lines_with(running, "Browsers may") == (holder[0] == "n")


def test_the_usual_port_is_always_led_here() -> None:
    assert scope_of((Hostname("test"),), Bound(8443, [])).https_ports == {443, 8443}
    assert scope_of((Hostname("test"),), Bound(443, [])).https_ports == {443}
    assert scope_of((Hostname("test"),), Bound(9000, [], redirected_from=9443)).https_ports == {443, 9000, 9443}
