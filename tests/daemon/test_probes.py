"""What the banner is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from devtls.daemon import probes
from devtls.system.changes.change import Part
from devtls.system.changes.record import AppliedChange, ChangeRecord
from devtls.system.changes.truststore import discovery
from devtls.system.machine.name_resolution import Resolves

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]


async def test_apps_names_and_trust_are_found_out(
    start: Start, app: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers = {"app.dev.local": "127.0.0.1", "app.localhost": "::1", "app.test": "192.0.2.7"}

    def resolve(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        if host not in answers:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(0, 0, 0, "", (answers[host], 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    port = await app()
    running = await start(
        f"app={port}", "down=1", "sock=unix:/nowhere.sock", "*.app=1", f"docs={tmp_path}", f"gone={tmp_path}/gone"
    )
    found = await probes.probe(running.daemon)
    assert found.apps == {
        f"127.0.0.1:{port}": "",
        "127.0.0.1:1": "nothing listens there",
        "unix:/nowhere.sock": "no such file or directory",
    }
    assert found.missing_directories == {f"{tmp_path}/gone"}
    assert found.names["app.dev.local"] is Resolves.HERE
    assert found.names["app.localhost"] is Resolves.HERE
    assert found.names["app.test"] is Resolves.ELSEWHERE
    assert found.names["down.test"] is Resolves.NOWHERE
    assert (found.trusted, found.authority_is_new) == (False, True)


async def test_a_root_counts_as_trusted_if_it_is_recorded_and_still_there(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: set[str] = set()
    monkeypatch.setattr(discovery, "root_is_trusted", lambda _machine, _runner, fingerprint: fingerprint in held)
    running = await start("app=1")
    authority = running.daemon.generation.authority
    record = ChangeRecord(running.daemon.source.paths.state_dir)
    await asyncio.to_thread(record.add, AppliedChange(Part.TRUST, "nss", {authority.fingerprint: authority.id}))
    assert not (await probes.probe(running.daemon)).trusted
    held.add(authority.fingerprint)
    assert (await probes.probe(running.daemon)).trusted
    record.path.write_text("damaged")
    assert not (await probes.probe(running.daemon)).trusted


async def test_a_resolver_that_hangs_is_not_waited_for(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    go_on = threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        go_on.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(probes, "_CAP_S", 0.05)
    running = await start("app=1")
    found = await probes.probe(running.daemon)
    assert set(found.names.values()) == {Resolves.UNKNOWN}
    go_on.set()
