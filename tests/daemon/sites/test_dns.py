"""The DNS server of a running proxy: when it opens, what a reload changes, what is said of a port that is taken."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.message
import dns.rcode
import pytest

from devtls.daemon import run
from devtls.daemon.console.style import TerminalStyle
from devtls.daemon.sites import auxiliary_listener
from devtls.daemon.sites import dns as dns_site
from devtls.daemon.sites.dns import zones_of
from devtls.errors import PortInUse
from devtls.names import Hostname
from devtls.net import dns as net_dns
from devtls.net.bind import bind
from devtls.system.machine.port_holder import Holder, find_holder
from devtls.system.storage.keystore import Keystore

Start = Callable[..., Awaitable[Any]]
Wait = Callable[..., Awaitable[None]]
CONFIG = "[dns]\nport = {}\n[routes]\napp = 9\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "devtls.toml"
    path.write_text(CONFIG.format(0))
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """Return a port that somebody else has."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


async def resolve(port: int, name: str = "app.dev.local", rdtype: str = "A") -> dns.message.Message:
    return await dns.asyncquery.udp(dns.message.make_query(name, rdtype), "127.0.0.1", timeout=5, port=port)


def port_of(running: Any) -> Any:
    return running.daemon.dns.port


def lines_with(running: Any, text: str) -> int:
    return sum(text in line for line in running.lines)


async def test_nothing_is_answered_before_it_is_started(start: Start, file: Path) -> None:
    running = await start(file=file)
    assert port_of(running) is None
    file.write_text(CONFIG.format(0) + "more = 9\n[limits]\nmax_fields = 99\n")
    await running.daemon.reload()
    assert port_of(running) is None
    await running.daemon.dns.start()
    answer = await resolve(port_of(running))
    assert answer.rcode() == dns.rcode.NOERROR
    assert answer.answer[0].to_text() == "app.dev.local. 5 IN A 127.0.0.1"
    assert running.lines == []


async def test_it_is_reported_at_the_level_verbose(start: Start, file: Path) -> None:
    running = await start(file=file, level="verbose")
    await running.daemon.dns.start()
    port = port_of(running)
    told = f"DNS for dev.local, localhost, test is answered on port {port}, UDP and TCP."
    assert running.lines == [told]


async def test_programs_are_always_told(start: Start, file: Path) -> None:
    running = await start(file=file)
    running.daemon.log.as_json = True
    await running.daemon.dns.start()
    assert '"event": "dns"' in running.lines[0]
    assert f'"port": {port_of(running)}, "zones": ["dev.local", "localhost", "test"]' in running.lines[0]


async def test_the_process_opens_it_when_the_first_answer_is_out(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(run, "_SETTLE_S", 0.02)
    running = await start(file=file)
    after = asyncio.ensure_future(run.Process(running.daemon, TerminalStyle())._after_start())
    await wait_until(lambda: port_of(running) is not None)
    after.cancel()
    await asyncio.to_thread(running.daemon.watch.close)


async def test_switched_off_and_on_by_a_reload(start: Start, file: Path) -> None:
    file.write_text(CONFIG.format(0).replace("port = 0", "enabled = false"))
    running = await start(file=file)
    await running.daemon.dns.start()
    assert port_of(running) is None
    file.write_text(CONFIG.format(0))
    await running.daemon.reload()
    port = port_of(running)
    assert (await resolve(port)).answer
    file.write_text(CONFIG.format(0).replace("port = 0", "enabled = false"))
    await running.daemon.reload()
    assert port_of(running) is None
    await until_free(port)


async def until_free(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                net_dns.bind_dns(port).close()
                return
            except PortInUse:
                await asyncio.sleep(0.01)


async def test_a_new_port_is_opened_by_a_reload_and_the_old_one_closed(start: Start, file: Path) -> None:
    running = await start(file=file)
    await running.daemon.dns.start()
    old = port_of(running)
    spare = net_dns.bind_dns(0)
    spare.close()
    file.write_text(CONFIG.format(spare.port))
    await running.daemon.reload()
    assert port_of(running) == spare.port
    assert (await resolve(spare.port)).answer
    await until_free(old)


async def test_a_new_port_that_is_taken_leaves_the_old_one_open(start: Start, file: Path, taken: int) -> None:
    running = await start(file=file)
    await running.daemon.dns.start()
    old = port_of(running)
    file.write_text(CONFIG.format(taken))
    await running.daemon.reload()
    assert port_of(running) == old
    assert (await resolve(old)).answer
    assert lines_with(running, f"devtls goes on answering on port {old}. `port` in [dns] chooses another.") == 1


async def test_the_free_port_may_be_written_down_later(start: Start, file: Path) -> None:
    running = await start(file=file)
    await running.daemon.dns.start()
    port = port_of(running)
    file.write_text(CONFIG.format(port))
    await running.daemon.reload()
    assert port_of(running) == port
    assert (await resolve(port)).answer
    assert lines_with(running, "DNS") == 0


async def test_what_was_closed_stays_closed(start: Start, file: Path) -> None:
    running = await start(file=file)
    await running.daemon.dns.start()
    await running.daemon.dns.close()
    spare = net_dns.bind_dns(0)
    spare.close()
    file.write_text(CONFIG.format(spare.port))
    await running.daemon.reload()
    assert port_of(running) is None


async def test_the_zones_of_another_ca_are_answered_on_the_same_port(start: Start, file: Path) -> None:
    running = await start(file=file)
    await running.daemon.dns.start()
    port = port_of(running)
    keystore = Keystore(running.daemon.source.paths.state_dir)
    await asyncio.to_thread(keystore.create, (Hostname("shop.internal"),), datetime.now(UTC))
    await running.daemon.reload()
    assert port_of(running) == port
    assert (await resolve(port, "app.shop.internal")).answer
    assert (await resolve(port)).rcode() == dns.rcode.REFUSED


NOT_OURS = "! DNS port {} belongs to {}: devtls answers no DNS queries. `port` in [dns] chooses another."
OURS = "DNS port {} belongs to {}, which answers there."


@pytest.mark.parametrize(
    ("holder", "level", "told"),
    [
        ("nginx (process 5)", "normal", NOT_OURS),
        ("", "quiet", NOT_OURS),
        ("devtls (process 6)", "normal", ""),
        ("devtls (process 6)", "verbose", OURS),
    ],
)
async def test_a_port_that_is_taken_is_told_once_and_the_rest_goes_on(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, *, holder: str, level: str, told: str
) -> None:
    monkeypatch.setattr(auxiliary_listener, "find_holder", lambda _, **__: Holder(holder))
    monkeypatch.setattr(auxiliary_listener, "_RETRY_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(CONFIG.format(port))
        running = await start(file=file, level=level)
        await running.daemon.dns.start()
        await asyncio.sleep(0.05)
        assert port_of(running) is None
        assert (await running.get("none.test")).status == 404
    expected = [told.format(port, holder or "another program")] if told else []
    assert [line for line in running.lines if "DNS" in line] == expected


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
async def test_whose_a_port_is_is_looked_up_once_for_each_that_takes_it(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def look(port: int, **_: str) -> Holder:
        looks.append(port)
        return find_holder(port)

    monkeypatch.setattr(auxiliary_listener, "find_holder", look)
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as heir:
        port = taken.getsockname()[1]
        file.write_text(CONFIG.format(port))
        running = await start(file=file)
        site = running.daemon.dns
        await site.start()
        for _ in range(3):
            await site._apply()
        assert looks == [port]
        heir.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.close()
        heir.bind(("127.0.0.1", port))
        heir.listen()
        for _ in range(3):
            await site._apply()
        assert looks == [port] * 2
        assert lines_with(running, f"! DNS port {port} belongs to ") == 1


async def test_the_holder_of_the_datagram_port_is_found(start: Start, file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        file.write_text(CONFIG.format(holder.getsockname()[1]))
        running = await start(file=file)
        await running.daemon.dns.start()
        assert lines_with(running, "(process ") == 1


async def test_it_takes_the_port_over_when_the_other_program_ends(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(auxiliary_listener, "_RETRY_S", 0.01)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        file.write_text(CONFIG.format(port))
        running = await start(file=file)
        await running.daemon.dns.start()
        assert port_of(running) is None
    await wait_until(lambda: port_of(running) == port)
    assert (await resolve(port)).answer
    assert lines_with(running, f"is answered on port {port}") == 1


async def test_a_lack_of_descriptors_is_reported_and_repaired(
    start: Start, file: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    monkeypatch.setattr(auxiliary_listener, "_RETRY_S", 0.01)
    running = await start(file=file)

    def make_responder(_: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(dns_site, "Responder", make_responder)
        await running.daemon.dns.start()
    assert (
        lines_with(running, "! The DNS server cannot be opened: Too many open files. devtls answers no DNS queries.")
        == 1
    )
    await wait_until(lambda: port_of(running) is not None)


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        (("127.0.0.1", "::1"), ("127.0.0.1", "::1")),
        (("127.0.0.1",), ("127.0.0.1", None)),
        (("::1",), (None, "::1")),
        (("127.0.0.2", "127.0.0.3"), ("127.0.0.2", None)),
        (("127.0.0.2", "127.0.0.1"), ("127.0.0.1", None)),
    ],
)
def test_names_lead_to_where_the_proxy_listens(listen: tuple[str, ...], expected: tuple[str | None, ...]) -> None:
    bound = bind(0, listen)
    zones = zones_of((Hostname("test"),), bound)
    bound.close()
    assert (zones.ipv4, zones.ipv6) == expected


async def test_without_ipv6_there_is_no_aaaa(start: Start, file: Path) -> None:
    running = await start(file=file, listen=("127.0.0.1",))
    await running.daemon.dns.start()
    answer = await resolve(port_of(running), rdtype="AAAA")
    assert answer.rcode() == dns.rcode.NOERROR
    assert not answer.answer
    assert answer.authority
