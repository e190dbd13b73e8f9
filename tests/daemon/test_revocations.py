"""A running proxy notices what is revoked, and shows a name with another key from then on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from devtls.daemon import state_watch
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.control_commands import ControlCommands
from devtls.daemon.run import Process
from devtls.names import DEFAULT_ZONES
from devtls.pki.certify import CertificateTemplate
from devtls.pki.leaf import TRANSIENT
from devtls.pki.register import serial_text
from devtls.pki.revocation import load_crl
from devtls.system.machine.randomness import new_leaf_key
from devtls.system.storage import keystore as keystore_module
from devtls.system.storage.ca_directory import REGISTER
from devtls.system.storage.keystore import Keystore
from devtls.system.storage.register import Register
from devtls.web.control_messages import LeavesRequest, RevokedRequest

Start = Callable[..., Awaitable[Any]]
Wait = Callable[..., Awaitable[None]]


class Killed(Exception):
    """A process that ends between two steps."""


def register_of(running: Any) -> Register:
    store = Keystore(running.daemon.source.paths.state_dir)
    return Register(store, store.load(datetime.now(UTC)))


async def revoke(running: Any, *serials: int) -> None:
    texts = [serial_text(serial) for serial in serials]
    await asyncio.to_thread(lambda: register_of(running).revoke(texts, "key-compromise", datetime.now(UTC)))


async def shown(running: Any, host: str) -> x509.Certificate:
    _, writer = await running.connect(host)
    connection = writer.get_extra_info("ssl_object")
    assert isinstance(connection, ssl.SSLObject)
    der = connection.getpeercert(binary_form=True)
    writer.close()
    assert der is not None
    return x509.load_der_x509_certificate(der)


def commands_of(running: Any) -> ControlCommands:
    process = Process(running.daemon, TerminalStyle())
    return ControlCommands(
        process.daemon, process.since, process.reloader, process.shutdown, lambda: process.state_watch
    )


async def test_a_revoked_leaf_is_dropped_at_once_and_another_key_takes_its_place(start: Start) -> None:
    running = await start("app=9")
    commands = commands_of(running)
    first, other = await shown(running, "app.test"), await shown(running, "other.test")
    answer = await commands.leaves(LeavesRequest(name="app.test"))
    assert answer.serials == (f"{first.serial_number:x}",)
    assert answer.sha256 == running.daemon.generation.authority.fingerprint
    assert first.serial_number & TRANSIENT
    await revoke(running, first.serial_number)
    assert (await commands.revoked(RevokedRequest())).dropped == ("app.test",)
    second = await shown(running, "app.test")
    assert second.public_key() != first.public_key()
    assert second.serial_number != first.serial_number
    assert await shown(running, "other.test") == other
    assert (await commands.revoked(RevokedRequest())).dropped == ()
    assert sum("certificate for app.test was revoked" in line for line in running.lines) == 1


async def test_the_leaf_for_clients_that_name_nobody_is_found_by_each_of_its_names(start: Start) -> None:
    running = await start("app=9")
    commands = commands_of(running)
    default = await shown(running, "127.0.0.1")
    for name in ("localhost", "127.0.0.1", "::1"):
        assert (await commands.leaves(LeavesRequest(name=name))).serials == (f"{default.serial_number:x}",)
    await revoke(running, default.serial_number)
    await commands.revoked(RevokedRequest())
    assert (await shown(running, "127.0.0.1")).public_key() != default.public_key()


async def test_it_is_noticed_also_when_nobody_tells(
    start: Start, wait_until: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `devtls revoke` that was killed after its line was written, or on Windows."""
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.01)
    running = await start("app=9")
    first = await shown(running, "app.test")
    looking = asyncio.ensure_future(Process(running.daemon, TerminalStyle()).state_watch.run())
    await revoke(running, first.serial_number)
    await wait_until(lambda: running.daemon.contexts.serials_of("app.test") == [])
    assert first.serial_number in running.daemon.revocations.serials
    looking.cancel()


async def test_a_line_that_is_not_on_the_crl_is_put_there(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start("app=9")
    register = await asyncio.to_thread(lambda: register_of(running))

    def killed(*_: object) -> None:
        raise Killed

    async def listed() -> list[int]:
        return [entry.serial_number for entry in load_crl(await asyncio.to_thread(register.published_crl))]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("devtls.system.storage.register.current_crl", killed)
        await asyncio.to_thread(register.revoke, [serial_text(TRANSIENT)], "superseded", datetime.now(UTC))
    assert await listed() == []
    assert await running.daemon.revocations.look() == {TRANSIENT}
    assert await listed() == [TRANSIENT]


async def test_nothing_is_read_while_nothing_changes(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await start("app=9")
    loads: list[datetime] = []
    real = Keystore.load

    def load(store: Keystore, now: datetime) -> Any:
        loads.append(now)
        return real(store, now)

    monkeypatch.setattr(keystore_module.Keystore, "load", load)
    revocations = running.daemon.revocations
    for _ in range(3):
        assert await revocations.look() == frozenset()
    assert loads == []
    await revoke(running, 5)
    loads.clear()
    for _ in range(3):
        assert await revocations.look() == {5}
    assert len(loads) == 1


async def test_a_hold_that_was_lifted_counts_no_more(start: Start) -> None:
    running = await start("app=9")
    register = await asyncio.to_thread(lambda: register_of(running))
    await asyncio.to_thread(register.revoke, ["05"], "hold", datetime.now(UTC))
    assert await running.daemon.revocations.look() == {5}
    await asyncio.to_thread(register.release, ["05"], datetime.now(UTC))
    assert await running.daemon.revocations.look() == frozenset()


async def test_a_register_that_cannot_be_read_is_reported_once_and_changes_nothing(start: Start) -> None:
    running = await start("app=9")
    await revoke(running, 5)
    assert await running.daemon.revocations.look() == {5}
    path = (await asyncio.to_thread(lambda: register_of(running))).path
    path.write_bytes(b'{"event":"moved","format":2}\n')
    for _ in range(2):
        assert await running.daemon.revocations.look() == {5}
    assert sum("later devtls" in line for line in running.lines) == 1


async def test_another_ca_has_its_own_revocations(start: Start) -> None:
    running = await start("app=9")
    await revoke(running, 5)
    assert await running.daemon.revocations.look() == {5}
    store = Keystore(running.daemon.source.paths.state_dir)
    await asyncio.to_thread(lambda: store.create(DEFAULT_ZONES, datetime.now(UTC)))
    assert await running.daemon.revocations.look() == {5}
    await running.daemon.reload()
    assert await running.daemon.revocations.look() == frozenset()


async def test_what_an_older_ca_revoked_counts_as_long_as_it_is_trusted(start: Start) -> None:
    running = await start("app=9")
    store, now = Keystore(running.daemon.source.paths.state_dir), datetime.now(UTC)
    old = await asyncio.to_thread(lambda: register_of(running))
    await asyncio.to_thread(lambda: store.switch_to_next(store.prepare_next(DEFAULT_ZONES, now)))
    await running.daemon.reload()
    assert await running.daemon.revocations.look() == frozenset()
    await asyncio.to_thread(old.revoke, ["05"], "superseded", now)
    await revoke(running, 6)
    assert await running.daemon.revocations.look() == {5, 6}


async def test_leaves_name_the_responder_when_the_configuration_wants_that(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text("[routes]\napp = 9\n")
    running = await start(file=file)
    before = await shown(running, "app.test")
    file.write_text("[ca]\nocsp = true\n[routes]\napp = 9\n")
    await running.daemon.reload()
    after = await shown(running, "app.test")
    named = [
        any(isinstance(e.value, x509.AuthorityInformationAccess) for e in one.extensions) for one in (before, after)
    ]
    assert named == [False, True]


async def test_issuing_makes_a_register_that_is_no_news(start: Start) -> None:
    running = await start("app=9")
    register = await asyncio.to_thread(lambda: register_of(running))
    key = new_leaf_key().public_key()
    order = CertificateTemplate(("a.test",))
    await asyncio.to_thread(
        lambda: register.issue(order, key, by="cert", place="x", now=datetime.now(UTC)),
    )
    assert register.path.name == REGISTER
    assert await running.daemon.drop_revoked_leaves() == []
