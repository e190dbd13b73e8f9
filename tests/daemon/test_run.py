"""The process around the proxy, without a process: reloads, what is said, how it ends."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from devtls.daemon import run, state_watch
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.source import Source
from devtls.errors import ExitCode
from devtls.system.machine.paths import Paths
from devtls.system.storage.config_discovery import Found

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devtls.toml"
    path.write_text("[routes]\napp = 9\n")
    return path


async def test_an_error_is_shown_after_each_change_and_the_corrected_file_takes_over(start: Start, file: Path) -> None:
    running = await start(file=file)
    process = run.Process(running.daemon, TerminalStyle())
    file.write_text("[routes]\napp = -1\n")
    await process.reloader.reload("devtls.toml changed")
    await process.reloader.reload("The CA was replaced", by_itself=True)
    shown = "\n".join(running.lines)
    assert shown.count("the routes from before go on") == 1
    await process.reloader.reload("devtls.toml changed")
    assert "\n".join(running.lines).count("the routes from before go on") == 2
    assert f"{file}:2" in shown
    file.write_text("[routes]\napp = 9\nother = 9\n")
    await process.reloader.reload("devtls.toml changed")
    assert "devtls.toml changed: 2 routes now." in running.lines
    assert any("other.dev.local" in line for line in running.lines)
    assert "\n".join(running.lines).count("devtls trust") == 1
    file.write_text("[routes]\napp = 9\n")
    await process.reloader.reload("devtls.toml changed")
    assert "\n".join(running.lines).count("devtls trust") == 1


async def test_settings_that_need_a_restart_are_named(start: Start, file: Path) -> None:
    running = await start(file=file)
    file.write_text("[serve]\nhttp_port = 8081\n[limits]\nconnect_timeout_s = 1\n[routes]\napp = 9\n")
    await run.Process(running.daemon, TerminalStyle()).reloader.reload("devtls.toml changed")
    assert "! serve.http_port changed: that counts from the next start on." in running.lines
    assert running.daemon.service.pool.connect_timeout_s == 1
    assert not any("https://app" in line for line in running.lines)


async def test_a_setting_that_is_what_it_was_at_the_start_needs_no_restart(start: Start, file: Path) -> None:
    running = await start(file=file)
    process, before = run.Process(running.daemon, TerminalStyle()), file.read_text()
    file.write_text("[serve]\nhttp_port = 8081\n" + before)
    await process.reloader.reload("devtls.toml changed")
    file.write_text(before)
    await process.reloader.reload("devtls.toml changed")
    assert "\n".join(running.lines).count("counts from the next start on") == 1


async def test_a_file_that_is_allowed_later_takes_over(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.02)
    running = await start(file=file)
    daemon = running.daemon
    daemon.source = Source(daemon.source.paths, Found(file, explicit=False), (), daemon.source.flags)
    process = run.Process(daemon, TerminalStyle())
    file.write_text('[routes]\nsock = "unix:/run/app.sock"\n')
    looking = asyncio.ensure_future(process.state_watch.run())
    await process.reloader.reload("devtls.toml changed")
    assert any("devtls allow" in line for line in running.lines)
    daemon.source = Source(daemon.source.paths, Found(file, explicit=True), (), daemon.source.flags)
    await wait_until(lambda: any("was allowed" in line for line in running.lines))
    looking.cancel()


async def test_a_deleted_authority_is_mentioned_once(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.02)
    running = await start(file=file)
    looking = asyncio.ensure_future(run.Process(running.daemon, TerminalStyle()).state_watch.run())
    await asyncio.sleep(0.05)
    assert not any("deleted" in line for line in running.lines)
    await asyncio.to_thread(running.daemon.keystore.forget)
    await wait_until(lambda: any("The CA was deleted" in line for line in running.lines))
    await asyncio.sleep(0.05)
    assert "\n".join(running.lines).count("The CA was deleted") == 1
    looking.cancel()


async def test_the_process_serves_until_it_is_ended(
    start: Start, app: App, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    port = await app(b"x")
    file.write_text(f"[routes]\napp = {port}\n")
    running = await start(file=file)
    process = run.Process(running.daemon, TerminalStyle())

    async def already() -> None:
        return

    monkeypatch.setattr(running.daemon, "start", already)
    serving = asyncio.ensure_future(process.run())
    await wait_until(lambda: any(f"127.0.0.1:{port}  up" in line for line in running.lines))
    assert running.lines[0] == f"devtls serves https on port {running.port}. Ctrl-C ends it."
    assert f"Routes are in {file}, which is read again when it changes." in running.lines
    file.write_text(f"[routes]\napp = {port}\nmore = {port}\n")
    await wait_until(lambda: "devtls.toml changed: 2 routes now." in running.lines)
    process.shutdown.end()
    assert await serving is ExitCode.OK
    assert running.lines[-1] == "devtls has ended."


async def test_a_second_end_cuts(start: Start, app: App, monkeypatch: pytest.MonkeyPatch, wait_until: Wait) -> None:
    running = await start(f"app={await app(delay_s=30)}")
    process = run.Process(running.daemon, TerminalStyle())

    async def nothing() -> None:
        return

    monkeypatch.setattr(running.daemon, "start", nothing)
    serving = asyncio.ensure_future(process.run(nothing))
    _, writer = await running.connect("app.dev.local")
    writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    await wait_until(lambda: running.daemon.busy_connections() == 1)
    process.shutdown.end()
    await wait_until(lambda: any("Ctrl-C again cuts" in line for line in running.lines))
    process.shutdown.end()
    assert await serving is ExitCode.INTERRUPTED
    writer.close()


async def test_unchecked_certificates_are_reported_at_the_level_quiet_too(start: Start, file: Path) -> None:
    file.write_text('[routes]\napi = { target = "https://127.0.0.1:1", verify = false }\n')
    running = await start(file=file, level="quiet")
    process = run.Process(running.daemon, TerminalStyle())
    process._announce()
    await process.reloader.reload("SIGHUP")
    told = "! api: the certificate of https://127.0.0.1:1 is not checked (verify = false)."
    assert running.lines == [told, told]


async def test_the_watch_does_not_repeat_what_a_command_has_just_done(start: Start, file: Path) -> None:
    running = await start(file=file)
    process = run.Process(running.daemon, TerminalStyle())
    file.write_text("[routes]\napp = 9\nother = 9\n")
    assert await process.reloader.reload("devtls add other", by_command=True) is None
    await process.reloader._reload_watched()
    assert not any("changed" in line for line in running.lines)
    file.write_text("[routes]\napp = 9\n")
    await process.reloader._reload_watched()
    assert "devtls.toml changed: 1 route now." in running.lines
    assert await process.reloader.reload("devtls add other", by_command=True) is None
    file.write_text("[routes]\napp = -1\n")
    await process.reloader._reload_watched()
    assert any("the routes from before go on" in line for line in running.lines)


async def test_a_proxy_that_cannot_be_asked_says_so(start: Start, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    (home / "file").touch()
    monkeypatch.setenv("DEVTLS_RUNTIME_DIR", str(home / "file/run"))
    running = await start("app=9", level="quiet")
    await running.daemon.control.close()
    running.daemon.control = Daemon(Source(Paths.from_environment()), running.daemon.log).control
    await asyncio.to_thread(running.daemon.control.open)
    run.Process(running.daemon, TerminalStyle())._announce()
    assert any("cannot reach this serve: no control socket can be made" in line for line in running.lines)


async def test_modules_that_cannot_be_opened_now_are_loaded_later(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    """A crowd may hold every descriptor at the very moment when a start loads the rest of itself."""
    refused: list[str] = []

    def load(name: str) -> ModuleType:
        if name not in refused:
            refused.append(name)
            raise OSError(errno.EMFILE, "Too many open files")
        return import_module(name)

    monkeypatch.setattr(run, "import_module", load)
    monkeypatch.setattr(run, "_RETRY_S", 0.01)
    monkeypatch.setattr(run, "_SETTLE_S", 0.01)
    late = {f"devtls.daemon.{name}" for name in ("state_watch", "revocations", "sites.dns", "sites.pac")}
    running = await start(file=file)
    for name in late & sys.modules.keys():
        monkeypatch.delitem(sys.modules, name)
    after = asyncio.ensure_future(run.Process(running.daemon, TerminalStyle())._after_start())
    await wait_until(lambda: late <= sys.modules.keys())
    assert late <= set(refused)
    assert not after.done()
    assert not [line for line in running.lines if "a bug of devtls" in line]
    after.cancel()
    assert running.daemon.watch is not None
    await asyncio.to_thread(running.daemon.watch.close)


async def test_a_look_that_cannot_open_a_file_is_told_and_not_the_last(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.02)
    running = await start(file=file)

    async def full() -> list[str]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    running.daemon.drop_revoked_leaves = full
    looking = asyncio.ensure_future(run.Process(running.daemon, TerminalStyle()).state_watch.run())
    await wait_until(lambda: any("the state folder cannot be read: Too many open" in line for line in running.lines))
    del running.daemon.drop_revoked_leaves
    await asyncio.to_thread(running.daemon.keystore.forget)
    await wait_until(lambda: any("The CA was deleted" in line for line in running.lines))
    looking.cancel()


async def test_a_project_that_was_moved_is_to_be_served_from_its_new_place(start: Start, file: Path) -> None:
    running = await start(file=file)
    process = run.Process(running.daemon, TerminalStyle())
    file.rename(file.with_name("moved.toml"))
    await process.reloader.reload("devtls.toml changed")
    shown = "\n".join(running.lines)
    assert "devtls.toml changed: the new configuration cannot be used; the routes from before go on." in shown
    assert "devtls stop, then devtls serve in its new place" in shown
