"""Processes that join a proxy: what is served for them, what is refused, what each of the two is told."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.control_commands import ControlCommands
from devtls.daemon.joined.project import JoinedProject
from devtls.daemon.run import Process
from devtls.errors import ExitCode
from devtls.web.control_messages import (
    AddRequest,
    JoinMessage,
    JoinRequest,
    MemberRequest,
    ReloadRequest,
    RemoveRequest,
    StopRequest,
)

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]


class Joined:
    """A process that joined, as its terminal shows it."""

    def __init__(self, lease: JoinedProject) -> None:
        self.lease = lease
        self.messages: list[JoinMessage] = []
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while found := await self.lease.messages():
            self.messages += found

    @property
    def shown(self) -> str:
        return "\n".join(message.text for message in self.messages if message.kind == "line")


def commands_of(running: Any) -> ControlCommands:
    process = Process(running.daemon, TerminalStyle())
    return ControlCommands(
        process.daemon, process.since, process.reloader, process.shutdown, lambda: process.state_watch
    )


def request(running: Any, *arguments: str, **more: Any) -> JoinRequest:
    daemon = running.daemon
    return JoinRequest(
        pid=4711,
        directory="/b",
        arguments=arguments,
        state_dir=str(daemon.source.paths.state_dir),
        ca_sha256=daemon.generation.authority.fingerprint,
        **more,
    )


async def joined(commands: ControlCommands, asked: JoinRequest) -> Joined:
    lease = await commands.join(asked)
    assert lease.answer.error is None, lease.answer.error
    assert isinstance(lease, JoinedProject)
    return Joined(lease)


async def refused(commands: ControlCommands, asked: JoinRequest) -> tuple[str, int]:
    lease = await commands.join(asked)
    assert lease.answer.error is not None
    assert await lease.messages() == ()
    await lease.end()
    return lease.answer.error.message, lease.answer.error.exit_code


async def test_routes_are_served_for_as_long_as_their_process_stays(start: Start, app: App, wait_until: Wait) -> None:
    running = await start(f"app={await app(b'own')}")
    commands, port = commands_of(running), await app(b"shop")
    one = await joined(commands, request(running, f"shop={port}"))
    assert (await running.get("shop.dev.local")).body == b"shop"
    assert (await running.get("app.dev.local")).body == b"own"
    await wait_until(lambda: f"127.0.0.1:{port}  up" in one.shown)
    assert f"Joined devtls serve (process {os.getpid()})" in one.shown
    await wait_until(lambda: "-> 127.0.0.1:" in one.shown.split("GET")[-1] and "shop.dev.local" in one.shown)
    # Each sees what is its own.
    assert "app.dev.local" not in one.shown
    own = "\n".join(running.lines)
    assert "has joined: shop" in own
    assert "https://shop.dev.local" not in own
    assert "https://app.dev.local/" in own
    await one.lease.end()
    assert (await running.get("shop.dev.local")).status == 404
    assert "has left: shop" in "\n".join(running.lines)
    # The observer of a proxy that nobody joined is its log: no request pays for what is over.
    assert running.daemon.service.observer is running.daemon.log


async def test_a_name_that_is_served_already_is_refused_with_its_owner(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text("[routes]\napp = 9\n")
    running = await start("api=9", file=file)
    commands = commands_of(running)
    message, code = await refused(commands, request(running, "app=1"))
    assert message.startswith(f"app is served already by devtls serve (process {os.getpid()})")
    assert f"{file}:2" in message
    assert code == ExitCode.ALREADY_SERVED
    # A name in full is one of the names that a short one stands for.
    for argument in ("app.dev.local=1", "api=1", "api.test=1"):
        assert (await refused(commands, request(running, argument)))[1] == ExitCode.ALREADY_SERVED
    one = await joined(commands, request(running, "shop=9", "*.app=9", "app/admin=9"))
    assert "has joined: shop, *.app, app/admin" in "\n".join(running.lines)
    message, _ = await refused(commands, request(running, "shop.localhost=1"))
    assert "devtls serve (process 4711 in /b)" in message
    # Neither the proxy's own file nor `devtls add` may take a joined name.
    file.write_text("[routes]\napp = 9\nshop = 9\n")
    done = await commands.reload(ReloadRequest(why="devtls reload"))
    assert done.error is not None
    assert "devtls serve (process 4711 in /b)" in done.error.message
    done = await commands.add(AddRequest(name="shop", value=8, directory="/"))
    assert done.error is not None
    assert done.error.exit_code == ExitCode.ALREADY_SERVED
    await one.lease.end()
    assert (await commands.reload(ReloadRequest(why="devtls reload"))).error is None


async def test_a_directory_that_becomes_a_link_is_not_followed_when_the_file_is_read_again(
    start: Start, tmp_path: Path
) -> None:
    site, other, file = tmp_path / "site", tmp_path / "other", tmp_path / "devtls.toml"
    site.mkdir()
    other.mkdir()
    (other / "secret").write_text("secret")
    file.write_text("[routes]\nshop = 9\n")
    running = await start("app=9")
    commands = commands_of(running)
    one = await joined(commands, request(running, f"docs={site}", config_file=str(file)))
    site.rmdir()
    site.symlink_to(other)
    file.write_text("[routes]\nshop = 8\n")
    assert (await commands.rejoin(MemberRequest(id=one.lease.answer.id))).error is None
    assert (await running.get("docs.dev.local", "/secret")).status == 404
    await one.lease.end()


@pytest.mark.parametrize(
    ("arguments", "more", "told"),
    [
        (["shop=0"], {}, "0 is no port"),
        (["shop"], {}, "is no route"),
        (["shop.com=1"], {}, "none of the CA's zones"),
        (["shop=unix:RUN/control-1.sock"], {}, "it is never behind a route"),
        (["shop=STATE"], {}, "it is never served"),
        (["shop=1"], {"flags": {"redirect": True}}, "--no-redirect (true here, false there)"),
        (["shop=1"], {"flags": {"http_port": 81}}, "--http-port (81 here"),
        (["shop=1"], {"config_file": "FILE"}, "limits.max_fields (77 here, 256 there)"),
        (["shop=1"], {"config_file": "FILE"}, "serve.http2 (false here, true there)"),
    ],
)
async def test_what_the_proxy_could_not_have_itself_is_refused(
    start: Start, tmp_path: Path, arguments: list[str], more: dict[str, Any], told: str
) -> None:
    running = await start("app=9")
    file, paths = tmp_path / "devtls.toml", running.daemon.source.paths
    file.write_text("[serve]\nhttp2 = false\nlog_format = 'json'\n[limits]\nmax_fields = 77\nmax_streams = 128\n")
    arguments = [
        each.replace("RUN", str(paths.runtime_dir)).replace("STATE", f"{paths.state_dir}/") for each in arguments
    ]
    more = {name: str(file) if value == "FILE" else value for name, value in more.items()}
    message, found = await refused(commands_of(running), request(running, *arguments, **more))
    assert told in message
    assert found == ExitCode.CONFIG
    assert running.daemon.joined == ()
    # The first terminal is not told of another one's mistakes.
    assert not [line for line in running.lines if "cannot be used" in line]


async def test_another_ca_or_state_directory_is_refused(start: Start, tmp_path: Path) -> None:
    running = await start("app=9")
    commands, asked = commands_of(running), request(running, "shop=1")
    other = JoinRequest(pid=1, directory="/b", arguments=("shop=1",), state_dir=str(tmp_path), ca_sha256="ab")
    message, code = await refused(commands, other)
    assert str(tmp_path) in message
    assert code == ExitCode.STATE
    other = JoinRequest(pid=1, directory="/b", arguments=("shop=1",), state_dir=asked.state_dir, ca_sha256="ab")
    message, code = await refused(commands, other)
    assert "another CA" in message
    assert code == ExitCode.STATE


async def test_a_file_that_was_found_needs_its_permission_here_too(start: Start, tmp_path: Path) -> None:
    running = await start("app=9")
    file = tmp_path / "devtls.toml"
    file.write_text('[routes]\nshop = "unix:/run/app.sock"\n')
    message, _ = await refused(commands_of(running), request(running, config_file=str(file)))
    assert "needs your word for that" in message
    one = await joined(commands_of(running), request(running, config_file=str(file), named=True))
    assert [route.target for route in one.lease.merged.config.routes]


async def test_the_same_file_is_served_once(start: Start, app: App, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text(f"[routes]\napp = {await app(b'app')}\n")
    running = await start(file=file)
    commands = commands_of(running)
    message, code = await refused(commands, request(running, config_file=str(file)))
    assert message.endswith(f"serves {file} already.")
    assert code == ExitCode.ALREADY_SERVED
    # What was typed besides is served; the file's routes are there already.
    one = await joined(commands, request(running, f"more={await app(b'more')}", config_file=str(file)))
    assert (await running.get("more.dev.local")).body == b"more"
    assert f"{file} is served there already." in one.shown or await _comes(one, "is served there already")
    other = tmp_path / "other.toml"
    other.write_text("[routes]\nshop = 9\n")
    await joined(commands, request(running, config_file=str(other)))
    message, code = await refused(commands, request(running, config_file=str(other)))
    assert "devtls serve (process 4711 in /b)" in message


async def _comes(one: Joined, text: str) -> bool:
    async with asyncio.timeout(5):
        while text not in one.shown:
            await asyncio.sleep(0.01)
    return True


async def test_its_own_file_is_read_again_by_word_and_by_command(start: Start, app: App, tmp_path: Path) -> None:
    running = await start("app=9")
    commands, file = commands_of(running), tmp_path / "devtls.toml"
    file.write_text(f"[routes]\nshop = {await app(b'one')}\n")
    one = await joined(commands, request(running, config_file=str(file)))
    key = one.lease.answer.id
    file.write_text(f"[routes]\nshop = {await app(b'two')}\nmore = 9\n")
    done = await commands.rejoin(MemberRequest(id=key))
    assert [route.name for route in done.routes if route.joined == 4711] == ["shop", "more"]
    assert (await running.get("shop.dev.local")).body == b"two"
    assert await _comes(one, "devtls.toml changed: 2 routes now.")
    # A mistake is told in its own terminal, and the routes from before go on.
    file.write_text("[routes]\nshop = -1\n")
    done = await commands.reload(ReloadRequest(why="devtls reload", config_file=str(file)))
    assert done.error is not None
    assert f"{file}:2" in done.error.message
    assert await _comes(one, "the routes from before go on")
    assert (await running.get("shop.dev.local")).body == b"two"
    (told,) = (await commands.status()).serve.joined
    assert told.reload_error is not None
    assert f"{file}:2" in told.reload_error.message
    assert not [line for line in running.lines if "cannot be used" in line]
    # Our own reload goes on as ever, whatever the other file looks like.
    assert (await commands.add(AddRequest(name="extra", value=9, directory="/"))).error is None
    file.write_text("[routes]\napp = 9\n")
    done = await commands.rejoin(MemberRequest(id=key))
    assert done.error is not None
    assert done.error.exit_code == ExitCode.ALREADY_SERVED
    done = await commands.rejoin(MemberRequest(id="0"))
    assert done.error is not None


async def test_a_file_that_is_allowed_later_is_taken(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devtls.daemon.joined.projects._ALLOWED_S", 0.02)
    running = await start("app=9")
    commands, file = commands_of(running), tmp_path / "devtls.toml"
    file.write_text("[routes]\nshop = 9\n")
    one = await joined(commands, request(running, config_file=str(file)))
    file.write_text('[routes]\nshop = "unix:/run/app.sock"\n')
    assert (await commands.rejoin(MemberRequest(id=one.lease.answer.id))).error is not None
    one.lease.asked = request(running, config_file=str(file), named=True)
    assert await _comes(one, "devtls.toml was allowed: 1 route now.")
    assert one.shown.count("cannot be used") == 1


async def test_the_end_frees_the_listeners_before_requests_have_ended(start: Start, app: App, wait_until: Wait) -> None:
    running = await start(f"app={await app(delay_s=1)}")
    one = await joined(commands_of(running), request(running, "shop=9"))
    asking = asyncio.ensure_future(running.get("app.dev.local"))
    await wait_until(lambda: running.daemon.busy_connections() == 1)
    stopping = asyncio.ensure_future(running.daemon.stop(5.0))
    await one.reading
    assert one.messages[-1].kind == "free"
    assert not stopping.done()
    # The port is to be had while the last request runs.
    other = await start("shop=9", https_port=running.port)
    assert other.port == running.port
    assert (await asking).body == b"app"
    await stopping


async def test_stop_ends_a_joined_process_and_leaves_the_proxy(start: Start) -> None:
    running = await start("app=9")
    commands = commands_of(running)
    one = await joined(commands, request(running, "shop=9"))
    assert (await commands.stop(StopRequest(pid=1))).error is not None
    assert (await commands.stop(StopRequest(pid=4711))).error is None
    await one.reading
    assert one.messages[-1].kind == "end"


async def test_status_and_remove_say_whose_route_it_is(start: Start) -> None:
    running = await start("app=9")
    commands = commands_of(running)
    await joined(commands, request(running, "shop=9"))
    told = (await commands.status()).serve
    assert [(route.name, route.joined, route.source) for route in told.routes] == [
        ("app", 0, "command line"),
        ("shop", 4711, "command line"),
    ]
    (process,) = told.joined
    assert (process.pid, process.directory, process.config_file) == (4711, "/b", None)
    assert [each.pid for each in commands.about().joined] == [4711]
    assert not (await commands.remove(RemoveRequest(name="shop"))).removed
    assert (await commands.leave(MemberRequest(id="x"))).error is not None


async def test_its_log_has_the_form_that_it_asked_for(start: Start, app: App) -> None:
    running = await start("app=9", level="quiet")
    commands, port = commands_of(running), await app(b"x")
    one = await joined(commands, request(running, f"shop={port}", as_json=True))
    await running.get("shop.dev.local")
    assert await _comes(one, '"request"')
    events = [json.loads(line) for line in one.shown.splitlines()]
    assert events[0]["event"] == "joined"
    assert events[0]["routes"][0]["name"] == "shop"
    assert [each["host"] for each in events if each["event"] == "request"] == ["shop.dev.local"]
    silent = await joined(commands, request(running, f"still={port}", level="quiet"))
    await running.get("still.dev.local")
    assert (silent.shown, "still" in one.shown) == ("", False)


async def test_lines_that_nobody_reads_are_dropped_and_counted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtls.daemon.joined.project._MOST_WAITING", 3)
    running = await start("app=9")
    lease = await commands_of(running).join(request(running, "shop=9"))
    assert isinstance(lease, JoinedProject)
    for number in range(10):
        lease.log.say(f"line {number}")
    found = await lease.messages()
    assert len(found) == 4
    assert "lines were not written" in found[-1].text


async def test_no_more_than_a_bound_may_join(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devtls.daemon.joined.projects._MOST_PROJECTS", 1)
    running = await start("app=9")
    commands = commands_of(running)
    await joined(commands, request(running, "shop=9"))
    message, _ = await refused(commands, request(running, "more=9"))
    assert "have joined already" in message


async def test_a_proxy_that_ends_takes_nobody(start: Start) -> None:
    running = await start("app=9")
    process = Process(running.daemon, TerminalStyle())
    commands = ControlCommands(
        process.daemon, process.since, process.reloader, process.shutdown, lambda: process.state_watch
    )
    process.shutdown.end()
    message, _ = await refused(commands, request(running, "shop=9"))
    assert "about to end" in message
    assert commands.about().stopping
