"""A running proxy while one CA follows the other, and while the clock jumps."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from devtls.daemon import assembly, issuer
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.run import Process
from devtls.daemon.sites import pki as pki_site
from devtls.daemon.sites import pki_app
from devtls.names import DEFAULT_ZONES, Hostname, parse_zone
from devtls.pki.authority import Authority
from devtls.pki.imported import ImportBundle, validate_import
from devtls.pki.revocation import load_crl
from devtls.system.storage.keystore import Keystore
from tests.pki.elsewhere import make, mkcert, step_ca

Start = Callable[..., Awaitable[Any]]
App = Callable[..., Awaitable[int]]
Wait = Callable[..., Awaitable[None]]

REQUEST = b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n"


def renew(keystore: Keystore, now: datetime | None = None, zones: tuple[Hostname, ...] = DEFAULT_ZONES) -> Authority:
    following = keystore.prepare_next(zones, now or datetime.now(UTC))
    keystore.switch_to_next(following)
    return following


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Return a function that sets the clock of everything that signs so far ahead (or back)."""

    def jump(ahead: timedelta) -> None:
        class Jumped(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return datetime.now(tz) + ahead

        for module in (assembly, issuer, pki_site, pki_app):
            monkeypatch.setattr(module, "datetime", Jumped)

    return jump


async def test_the_next_ca_is_taken_over_and_an_open_connection_goes_on(
    start: Start, app: App, wait_until: Wait
) -> None:
    running = await start(f"app={await app(b'hello')}")
    reader, writer = await running.connect("app.dev.local")
    writer.write(REQUEST)
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    following = await asyncio.to_thread(renew, running.daemon.keystore)
    process = Process(running.daemon, TerminalStyle())
    assert await asyncio.to_thread(running.daemon.authority_replaced)
    assert await process.reloader.reload("The CA was replaced", by_itself=True) is None
    assert running.daemon.generation.authority.fingerprint == following.fingerprint
    writer.write(REQUEST)
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")  # the same connection, under the old root
    writer.close()
    assert (await running.get("app.dev.local")).body == b"hello"  # verified under the new root alone
    assert any(f"devtls root {following.id}" in line for line in running.lines)


async def test_a_preparation_changes_nothing_for_what_runs(start: Start) -> None:
    running = await start("app=9")
    await asyncio.to_thread(running.daemon.keystore.prepare_next, DEFAULT_ZONES, datetime.now(UTC))
    assert not await asyncio.to_thread(running.daemon.authority_replaced)


async def test_both_lists_are_published_until_the_old_ca_is_retired(start: Start) -> None:
    running = await start("app=9")
    keystore, old = running.daemon.keystore, running.daemon.generation.authority
    new = await asyncio.to_thread(renew, keystore)
    await running.daemon.reload()
    documents = await running.daemon.pki.content().documents()
    paths = {each.root_crl_path for each in (old, new)} | {each.intermediate_crl_path for each in (old, new)}
    assert paths <= set(documents)
    await asyncio.to_thread(keystore.retire, {old.fingerprint})
    assert old.intermediate_crl_path not in await running.daemon.pki.content().documents()


async def test_a_clock_that_jumps_ahead_gets_a_new_leaf_and_a_new_list(
    start: Start, app: App, set_clock: Callable[[timedelta], None]
) -> None:
    running = await start(f"app={await app(b'x')}")
    await running.get("app.dev.local")
    path = running.daemon.generation.authority.intermediate_crl_path
    minted, first = running.daemon.contexts.minted, (await running.daemon.pki.content().documents())[path].content
    set_clock(timedelta(days=59))  # two thirds of 90 days are 60
    await running.get("app.dev.local")
    assert running.daemon.contexts.minted == minted
    set_clock(timedelta(days=61))
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):  # the clock of this client did not jump
        await running.get("app.dev.local")
    assert running.daemon.contexts.minted == minted + 1
    second = (await running.daemon.pki.content().documents())[path].content
    assert load_crl(second).last_update_utc - load_crl(first).last_update_utc >= timedelta(days=60)
    set_clock(timedelta())  # and back: what was signed in the future is no good
    assert (await running.get("app.dev.local")).body == b"x"
    third = load_crl((await running.daemon.pki.content().documents())[path].content)
    assert third.last_update_utc <= datetime.now(UTC)


async def test_a_clock_before_the_ca_mints_nothing_until_it_is_right_again(
    start: Start, app: App, set_clock: Callable[[timedelta], None]
) -> None:
    running = await start(f"app={await app(b'x')}")
    set_clock(-timedelta(days=1))
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        await running.get("app.dev.local")
    assert any("The clock says" in line for line in running.lines)
    set_clock(timedelta())
    assert (await running.get("app.dev.local")).body == b"x"


async def test_after_the_end_of_the_ca_nothing_is_minted_and_its_successor_goes_on(
    start: Start, app: App, set_clock: Callable[[timedelta], None]
) -> None:
    running = await start(f"app={await app(b'x')}")
    set_clock(timedelta(days=3651))
    with pytest.raises(ssl.SSLError, match=r"(?i)internal.error"):
        await running.get("app.dev.local")
    assert any("The CA ended" in line for line in running.lines)
    following = await asyncio.to_thread(renew, running.daemon.keystore, datetime.now(UTC) + timedelta(days=3651))
    await running.daemon.reload()
    assert running.daemon.generation.authority.fingerprint == following.fingerprint
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):  # minted, for clocks that jumped
        await running.get("app.dev.local")


async def test_a_zone_that_came_with_the_next_ca_is_served(start: Start, app: App) -> None:
    running = await start(f"app={await app(b'x')}")
    await asyncio.to_thread(renew, running.daemon.keystore, None, (*DEFAULT_ZONES, Hostname("shop.internal")))
    await running.daemon.reload()
    assert (await running.get("app.shop.internal")).body == b"x"


async def test_the_end_is_told_by_the_watch_on_the_state(
    start: Start, monkeypatch: pytest.MonkeyPatch, wait_until: Wait, set_clock: Callable[[timedelta], None]
) -> None:
    from devtls.daemon import state_watch

    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=3600)

    running = await start("app=9")
    process = Process(running.daemon, TerminalStyle())
    monkeypatch.setattr(state_watch, "_LOOK_S", 0.01)
    monkeypatch.setattr(state_watch, "datetime", Late)
    looking = asyncio.get_running_loop().create_task(process.state_watch.run())
    await wait_until(lambda: any("The CA ends on" in line and "devtls ca renew" in line for line in running.lines))
    looking.cancel()
    assert sum("The CA ends on" in line for line in running.lines) == 1


async def test_a_ca_that_signs_no_lists_publishes_none_neither_now_nor_as_the_older_one(start: Start, app: App) -> None:
    running = await start(f"app={await app(b'x')}")
    keystore, now = running.daemon.keystore, datetime.now(UTC)
    made = mkcert()
    brought = ImportBundle(made.certificate, made.key)
    parse = partial(parse_zone, is_public_suffix=lambda _name: False)
    imported = validate_import(brought, zones=(), parse_zone=parse, now=now, pki_port=20443).authority
    await asyncio.to_thread(keystore.adopt, imported, now)
    await asyncio.to_thread(keystore.switch_to_next, imported)
    await running.daemon.reload()
    assert (await running.get("app.dev.local")).body == b"x"  # under mkcert's root, which signed the leaf itself
    crl_paths = {imported.root_crl_path, imported.intermediate_crl_path}
    assert not crl_paths & set(await running.daemon.pki.content().documents())
    following = await asyncio.to_thread(renew, keystore)
    await running.daemon.reload()
    documents = set(await running.daemon.pki.content().documents())
    assert {following.root_crl_path, following.intermediate_crl_path} <= documents
    assert not crl_paths & documents


async def test_another_intermediate_of_the_same_root_is_noticed(start: Start, app: App) -> None:
    running = await start(f"app={await app(b'x')}")
    keystore, now = running.daemon.keystore, datetime.now(UTC)
    root, first = step_ca()
    second = make("Smallstep Intermediate CA", by=root, path_length=0)
    parse = partial(parse_zone, is_public_suffix=lambda _name: False)
    for made in (first, second):
        brought = ImportBundle(made.certificate, made.key, (root.certificate,))
        authority = validate_import(brought, zones=(), parse_zone=parse, now=now, pki_port=20443).authority
        await asyncio.to_thread(keystore.adopt, authority, now)
        await asyncio.to_thread(keystore.switch_to_next, authority)
        assert await asyncio.to_thread(running.daemon.authority_replaced)
        await running.daemon.reload()
        assert not await asyncio.to_thread(running.daemon.authority_replaced)
        assert running.daemon.generation.authority.intermediate_pem == authority.intermediate_pem
        assert (await running.get("app.dev.local")).body == b"x"


async def test_two_intermediates_of_one_root_publish_a_list_each(start: Start) -> None:
    running = await start("app=9")
    keystore, now = running.daemon.keystore, datetime.now(UTC)
    root, first = step_ca()
    second = make("Smallstep Intermediate CA 2", by=root, path_length=0)
    parse = partial(parse_zone, is_public_suffix=lambda _name: False)
    for made in (first, second):
        brought = ImportBundle(made.certificate, made.key, (root.certificate,))
        authority = validate_import(brought, zones=(), parse_zone=parse, now=now, pki_port=20443).authority
        await asyncio.to_thread(keystore.adopt, authority, now)
        await asyncio.to_thread(keystore.switch_to_next, authority)
    await running.daemon.reload()
    older = next(each for each in await asyncio.to_thread(keystore.load_older, now) if each.imported)
    documents = await running.daemon.pki.content().documents()
    issuers = {
        each.certificate: load_crl(documents[path].content).issuer
        for each, path in ((first, older.intermediate_crl_path), (second, authority.intermediate_crl_path))
    }
    assert all(issuer == certificate.subject for certificate, issuer in issuers.items())
