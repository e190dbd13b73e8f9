"""Orders over the control socket: what they change, what they leave, what is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.control_commands import ControlCommands
from devtls.daemon.run import Process
from devtls.errors import ExitCode
from devtls.names import DEFAULT_ZONES
from devtls.web.control_messages import AddRequest, RefreshRequest, ReloadRequest, RemoveRequest, StopRequest

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devtls.toml"
    path.write_text("[routes]\napp = 9\n")
    return path


def commands_of(running: Any) -> ControlCommands:
    return commands_in(Process(running.daemon, TerminalStyle()))


def commands_in(process: Process) -> ControlCommands:
    return ControlCommands(
        process.daemon, process.since, process.reloader, process.shutdown, lambda: process.state_watch
    )


async def test_a_temporary_route_answers_at_once_and_outlives_a_reload(start: Start, app: App, file: Path) -> None:
    running = await start(file=file)
    commands = commands_of(running)
    port = await app(b"lent")
    done = await commands.add(AddRequest(name="api", value=port, directory="/"))
    assert done.error is None
    assert [(route.name, route.source) for route in done.routes] == [("app", "file"), ("api", "temporary")]
    assert (await running.get("api.dev.local")).body == b"lent"
    file.write_text("[routes]\napp = 9\nmore = 9\n")
    done = await commands.reload(ReloadRequest(why="devtls reload"))
    assert [route.name for route in done.routes] == ["app", "more", "api"]
    done = await commands.remove(RemoveRequest(name="API"))
    assert (done.removed, [route.name for route in done.routes]) == (True, ["app", "more"])
    assert (await running.get("api.dev.local")).status == 404


async def test_a_temporary_directory_that_becomes_a_link_is_not_followed_at_a_reload(
    start: Start, file: Path, tmp_path: Path
) -> None:
    site, other = tmp_path / "site", tmp_path / "other"
    site.mkdir()
    other.mkdir()
    (other / "secret").write_text("secret")
    running = await start(file=file)
    commands = commands_of(running)
    assert (await commands.add(AddRequest(name="docs", value="./site", directory=str(tmp_path)))).error is None
    site.rmdir()
    site.symlink_to(other)
    file.write_text("[routes]\napp = 9\nmore = 9\n")
    assert (await commands.reload(ReloadRequest(why="devtls.toml changed"))).error is None
    assert (await running.get("docs.dev.local", "/secret")).status == 404


async def test_a_temporary_route_wins_and_gives_back_what_it_covered(start: Start, app: App, file: Path) -> None:
    running = await start("own=9", file=file)
    commands = commands_of(running)
    for name in ("app", "own"):
        await commands.add(AddRequest(name=name, value=await app(name.encode()), directory="/"))
        await commands.add(AddRequest(name=name, value=await app(name.encode() * 2), directory="/"))
        assert (await running.get(f"{name}.dev.local")).body == name.encode() * 2
        assert (await commands.remove(RemoveRequest(name=name))).removed
        assert not (await commands.remove(RemoveRequest(name=name))).removed
    assert [route.source for route in (await commands.reload(ReloadRequest(why="x"))).routes] == [
        "file",
        "command line",
    ]


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("app", 0, "0 is no port"),
        ("a b", 1, "is not a host name"),
        ("app.com", 1, "none of the CA's zones"),
        ("app", {"target": "unix:RUN/control-1.sock"}, "it is never behind a route"),
    ],
)
async def test_what_the_file_could_not_have_is_refused(start: Start, name: str, value: Any, told: str) -> None:
    running = await start("app=9")
    directory = str(running.daemon.source.paths.runtime_dir)
    if isinstance(value, dict):
        value = {"target": value["target"].replace("RUN", directory)}
    done = await commands_of(running).add(AddRequest(name=name, value=value, directory="/"))
    assert done.error is not None
    assert told in done.error.message
    assert done.error.exit_code == ExitCode.CONFIG
    assert running.daemon.source.temporary == ()


async def test_a_mistake_in_the_file_is_told_until_it_is_corrected(start: Start, file: Path) -> None:
    running = await start(file=file)
    commands = commands_of(running)
    file.write_text("[routes]\napp = -1\n")
    done = await commands.reload(ReloadRequest(why="devtls reload"))
    assert done.error is not None
    assert f"{file}:2" in done.error.message
    told = (await commands.status()).serve
    assert told.reload_error is not None
    assert (told.reload_error.message, bool(told.reload_error.at)) == (done.error.message, True)
    assert [route.name for route in told.routes] == ["app"]
    file.write_text("[serve]\nhttp_port = 8081\n[routes]\napp = 9\n")
    assert (await commands.reload(ReloadRequest(why="devtls reload"))).error is None
    told = (await commands.status()).serve
    assert told.reload_error is None
    assert any(one.message.startswith("serve.http_port changed") for one in told.warnings)


async def test_status_tells_of_connections_certificates_and_apps(start: Start, app: App, tmp_path: Path) -> None:
    running = await start(f"app={await app()}", "down=1", f"docs={tmp_path}", f"gone={tmp_path}/gone")
    await running.get("app.dev.local")
    await running.get("down.dev.local")
    await running.get("other.dev.local")
    _, writer = await running.connect("app.dev.local")
    told = (await commands_of(running).status()).serve
    routes = {route.name: route for route in told.routes}
    assert {name: route.health for name, route in routes.items()} == {
        "app": "up",
        "down": "down",
        "docs": "up",
        "gone": "down",
    }
    assert (routes["app"].idle, routes["app"].active, routes["app"].source) == (1, 0, "command line")
    assert routes["down"].last_error
    assert routes["gone"].target == f"{tmp_path}/gone"
    assert routes["app"].urls[0] == f"https://app.dev.local:{running.port}"
    assert (told.clients.open, told.clients.http2) == (1, 0)
    assert (told.certificates.pinned, told.certificates.others, told.certificates.minted) == (2, 1, 3)
    assert (told.https_port, told.http_port, told.config_file) == (running.port, None, None)
    assert told.ca.sha256 == running.daemon.generation.authority.fingerprint
    assert any(one.hint == "devtls trust" for one in told.warnings)
    writer.close()


async def test_connections_that_speak_http2_are_counted(start: Start, wait_until: Wait) -> None:
    running = await start("app=9")
    context = ssl.create_default_context(cadata=running.daemon.generation.authority.root_pem.decode())
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context, server_hostname="app.dev.local")
    _, other = await running.connect("app.dev.local")
    await wait_until(lambda: running.daemon.busy_connections() == 2)
    told = (await commands_of(running).status()).serve
    assert (told.clients.open, told.clients.http2) == (2, 1)
    writer.close()
    other.close()


async def test_about_needs_no_look_at_anything(start: Start, file: Path) -> None:
    running = await start(file=file)
    told = commands_of(running).about()
    assert (told.https_port, told.config_file) == (running.port, str(file))


@pytest.mark.parametrize(("now", "grace_s"), [(False, 5.0), (True, 0.0)])
async def test_stop_answers_first(start: Start, wait_until: Wait, now: bool, grace_s: float) -> None:
    running = await start("app=9")
    process = Process(running.daemon, TerminalStyle())
    commands = commands_in(process)
    done = await commands.stop(StopRequest(now=now))
    assert (done.grace_s, process.shutdown.has_begun) == (grace_s, False)
    await wait_until(lambda: process.shutdown.has_begun)
    await commands.stop(StopRequest())
    await asyncio.sleep(0)
    assert process.shutdown.cutting.is_set() is now
    done = await commands.add(AddRequest(name="api", value=1, directory="/"))
    assert done.error is not None
    assert "about to end" in done.error.message


async def test_a_look_takes_the_next_ca_over_once_or_says_why_not(start: Start, file: Path) -> None:
    running = await start(file=file)
    process = Process(running.daemon, TerminalStyle())
    commands, keystore = commands_in(process), running.daemon.keystore
    following = await asyncio.to_thread(keystore.prepare_next, DEFAULT_ZONES, datetime.now(UTC))
    await asyncio.to_thread(keystore.switch_to_next, following)
    file.write_text("[routes]\napp = no\n")
    done = await commands.look(RefreshRequest())
    assert done.error is not None
    assert "devtls.toml" in done.error.message
    file.write_text("[routes]\napp = 9\n")
    for done in await asyncio.gather(commands.look(RefreshRequest()), commands.look(RefreshRequest())):
        assert (done.error, [route.name for route in done.routes]) == (None, ["app"])
    assert running.daemon.generation.authority.fingerprint == following.fingerprint
    assert sum(f"devtls root {following.id}" in line for line in running.lines) == 1
