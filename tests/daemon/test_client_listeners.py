"""The listeners of a running proxy, and a port that comes later."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from devtls.daemon import state_watch
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.control_commands import ControlCommands
from devtls.daemon.listeners import BoundListeners
from devtls.daemon.run import Process
from devtls.net.bind import bind
from devtls.web.control_messages import JoinRequest, RefreshRequest

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]


async def fetch(running: Any, port: int, host: str) -> bytes:
    context = ssl.create_default_context(cadata=running.daemon.generation.authority.root_pem.decode())
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    return response


async def test_a_port_that_opens_later_is_served_beside_the_one_from_before(
    start: Start, app: App, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(f"app={await app(b'app')}")
    daemon, former = running.daemon, running.port
    # Ports below 1024 are the system's to give; these play them.
    usual, http = bind(0), bind(0)
    daemon.bound = replace(daemon.bound, notes=("Port 443 is closed to this user",), forbidden=frozenset({443}))

    def opened(bound: BoundListeners) -> BoundListeners:
        return replace(bound, https=usual, http=http, notes=(), former=bound.https, forbidden=frozenset())

    monkeypatch.setattr(state_watch, "bind_forbidden", opened)
    process = Process(daemon, TerminalStyle())
    commands = ControlCommands(
        process.daemon, process.since, process.reloader, process.shutdown, lambda: process.state_watch
    )
    lease = await commands.join(
        JoinRequest(
            pid=4711,
            directory="/b",
            arguments=("shop=9",),
            state_dir=str(daemon.source.paths.state_dir),
            ca_sha256=daemon.generation.authority.fingerprint,
        )
    )
    assert (await commands.look(RefreshRequest(setup=True))).error is None
    assert (daemon.bound.https_port, daemon.service.https_port) == (usual.port, usual.port)
    for port in (usual.port, former):
        assert (await fetch(running, port, "app.dev.local")).endswith(b"app")
        # Each client is shown the port that it is on.
        assert f":{port}".encode() in await fetch(running, port, "nobody.dev.local")
    reader, writer = await asyncio.open_connection("127.0.0.1", http.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    assert f"https://app.dev.local:{usual.port}/".encode() in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    shown = "\n".join(running.lines)
    assert f"devtls serves port 443 too: the system lets this user have it now. {former} goes on" in shown
    assert f"https://app.localhost:{usual.port}" in shown
    told = (await commands.status()).serve
    assert told.https_port == usual.port
    assert not [one for one in told.warnings if "is closed to this user" in one.message]
    joined = [message.text for message in await lease.messages()]
    await wait_until(lambda: True)
    assert any("Joined devtls serve" in text for text in joined)
    await lease.end()


async def test_a_redirect_of_the_systems_is_taken_over_after_setup(
    start: Start, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start(f"app={await app(b'app')}")
    daemon, port = running.daemon, running.port
    notes = ("Port 443 is closed to this user, so it is 8443.", "another")
    daemon.bound = replace(daemon.bound, notes=notes, forbidden=frozenset({443, 80}))
    monkeypatch.setattr(state_watch, "bind_forbidden", lambda bound: bound)
    monkeypatch.setattr(
        state_watch, "redirected_ports", lambda ports, target: frozenset(ports) if target == port else 0
    )
    process = Process(daemon, TerminalStyle())
    # Not by itself: it takes connections to find that out.
    await process.state_watch.take_ports()
    assert daemon.bound.https_port == port
    await process.state_watch.take_ports(set_up=True)
    bound = daemon.bound
    assert (bound.https_port, bound.https.port, bound.http_port, bound.notes) == (443, port, 80, ("another",))
    assert (bound.forbidden, daemon.service.https_port) == (frozenset(), 443)
    assert (await running.get("app.dev.local")).body == b"app"
    assert "https://app.localhost  ->" in "\n".join(running.lines)


async def test_status_says_what_a_running_proxy_cannot_follow(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start("app=9")
    daemon = running.daemon
    note = "Port 443 is closed to this user, so it is 8443. To get it: devtls setup ports"
    daemon.bound = replace(daemon.bound, notes=(note,), forbidden=frozenset({443}))
    process = Process(daemon, TerminalStyle())
    commands = ControlCommands(
        process.daemon, process.since, process.reloader, process.shutdown, lambda: process.state_watch
    )
    assert note in [one.message for one in (await commands.status()).serve.warnings]
    monkeypatch.setattr("devtls.daemon.control_commands._ports_are_set_up", lambda _: True)
    warnings = (await commands.status()).serve.warnings
    assert note not in [one.message for one in warnings]
    assert any(
        "the next start has them" in one.message and one.hint == "devtls stop, then devtls serve" for one in warnings
    )
