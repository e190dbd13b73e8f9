"""Ports 443 and 80 for a user without rights: sockets from systemd, and what `devtls setup ports` does, for real.

Each test has a network namespace of its own, so port 443 is nobody's, whatever runs on this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtls.errors import ExitCode
from devtls.names import DEFAULT_ZONES
from devtls.system.storage.keystore import Keystore
from tests.e2e.clients import Ended, RequireTool
from tests.e2e.network import SITE, Network, network
from tests.e2e.serving import DEVTLS

pytestmark = pytest.mark.e2e

SERVE = (*DEVTLS, "serve", "docs=./site")
URL = "https://docs.dev.local/"
BOTH = ("127.0.0.1", "::1")
CHANGE = """\
import json, sys
from pathlib import PurePath
from devtls.system.machine.execute import ProcessRunner, execute
from devtls.system.changes.ports.discovery import find_changes
from devtls.system.changes.change import User, DesiredState
from devtls.system.machine.machine import Machine

method, action, previous_state = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
machine = Machine.here()
runner = ProcessRunner(machine.elevation)
(change,) = find_changes(machine, runner, methods=(method,))
desired = DesiredState(User("user", 65534, 65534, PurePath("/")), ("dev.local",), ())
facts = change.probe()
plan = change.apply_plan(facts, desired) if action == "install" else change.revert_plan(facts, previous_state)
outcome = execute(plan, runner)
print(json.dumps({
    "done": outcome.done, "detail": outcome.detail, "steps": len(plan.steps),
    "before": dict(change.previous_state(facts, desired)),
    "was": change.state(facts, desired).status.value, "is": change.state(change.probe(), desired).status.value,
}))
"""
EVERYWHERE = """\
import asyncio, json
from devtls.daemon.run import loop_factory
from devtls.net.listener import Listener
from devtls.net.bind import bind_all_addresses

class Greeter(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")
        transport.close()

async def visit(address, port):
    try:
        reader, writer = await asyncio.open_connection(address, port)
        answer = await reader.read()
    except ConnectionResetError:
        return ""
    writer.close()
    return answer.decode()

async def main():
    bound = bind_all_addresses(443)
    await Listener(bound, Greeter).start()
    addresses = ("127.0.0.1", "::1", "127.9.9.9", "192.0.2.1")  # the last is this machine's as others see it
    print(json.dumps({address: await visit(address, 443) for address in addresses}))

with asyncio.Runner(loop_factory=loop_factory()) as runner:
    runner.run(main())
"""
CURL_REFUSED = 7
BORDER = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


@pytest.fixture
def net(home: Path, require_tool: RequireTool) -> Iterator[Network]:
    require_tool("curl", "sudo apt-get install curl")
    with network(home, require_tool) as made:
        yield made


async def change(
    net: Network, method: str, action: str, previous_state: dict[str, str] | None = None
) -> dict[str, Any]:
    """Let a measure do its plan as root, and return what came of it."""
    told = json.loads(await net.python(CHANGE, method, action, json.dumps(previous_state or {})))
    assert told["done"], told
    assert isinstance(told, dict)
    return told


async def status(net: Network) -> dict[str, Any]:
    (serve,) = json.loads((await net.devtls("status", "--json")).stdout)["serves"]
    assert isinstance(serve, dict)
    return serve


def is_site(answer: Ended) -> bool:
    return answer.returncode == 0 and answer.stdout.endswith(SITE)


async def assert_served(net: Network) -> None:
    """The site is there on 443, with a certificate that its client checked, in both families."""
    for answer in await net.curl(URL, *BOTH):
        assert is_site(answer), answer


async def assert_redirected(net: Network) -> None:
    for answer in await net.curl(URL.replace("https", "http"), *BOTH):
        assert answer.returncode == 0, answer
        assert f"location: {URL}" in answer.stdout.lower(), answer


# -- sockets from systemd ---------------------------------------------------------------------------------------------


def activated(net: Network, tool: str, *options: str) -> tuple[str, ...]:
    """Return systemd's own stand-in for a socket unit: root listens, and gives up its rights with the same process."""
    names = [name for name in os.environ if name.startswith(("DEVTLS_", "XDG_"))]  # it passes on what it is told to
    return (tool, *(f"--setenv={name}" for name in names), *options, *net.as_user(SERVE))


async def test_sockets_from_systemd_give_443_to_a_user_and_outlive_reloads(
    net: Network, require_tool: RequireTool
) -> None:
    tool = require_tool("systemd-socket-activate", "sudo apt-get install systemd")
    # The names are those of FileDescriptorName= in a unit; the order is not one that a position could explain.
    addresses = ("-l", "127.0.0.1:80", "-l", "127.0.0.1:443", "-l", "[::1]:80", "-l", "[::1]:443")
    async with net.started(activated(net, tool, *addresses), as_user=False) as serve:
        await serve.wait_for("Listening on [::1]:443")
        await assert_served(net)
        assert "serves https on port 443, redirects from port 80" in serve.output()
        await assert_redirected(net)
        serve.process.send_signal(signal.SIGHUP)
        await serve.wait_for("SIGHUP: 1 route now.")
        await assert_served(net)
        await net.devtls("reload")
        await assert_served(net)
        await assert_redirected(net)
        told = await status(net)
        assert (told["https_port"], told["https_origin"], told["http_origin"]) == (443, "inherited", "inherited")
        assert sorted(told["listen"]) == sorted(BOTH)
        assert told["warnings"] == [] or all("Port" not in each["message"] for each in told["warnings"])
        assert await serve.end() == ExitCode.OK


async def test_a_name_makes_any_port_the_one_for_https(net: Network, require_tool: RequireTool) -> None:
    tool = require_tool("systemd-socket-activate", "sudo apt-get install systemd")
    argv = activated(net, tool, "-l", "127.0.0.1:700", "--fdname=https")
    async with net.started(argv, as_user=False) as serve:
        await serve.wait_for("Listening on 127.0.0.1:700")
        (answer,) = await net.curl("https://docs.dev.local:700/", "127.0.0.1")
        assert is_site(answer), answer
        assert "Port 80 is closed to this user" in serve.output()


async def test_a_socket_that_other_machines_reach_is_refused(net: Network, require_tool: RequireTool) -> None:
    tool = require_tool("systemd-socket-activate", "sudo apt-get install systemd")
    async with net.started(activated(net, tool, "-l", "0.0.0.0:443"), as_user=False) as serve:
        await serve.wait_for("Listening on 0.0.0.0:443")
        await net.curl(URL, "127.0.0.1")
        await serve.wait_for("The socket 0.0.0.0:443 that was handed over is open to other machines")
        assert await serve.ended() == ExitCode.REFUSED


# -- the sysctl -------------------------------------------------------------------------------------------------------


async def test_the_sysctl_gives_443_and_80_to_a_user_and_is_reverted(net: Network) -> None:
    async with net.started(SERVE) as serve:
        await serve.wait_for("Port 443 is closed to this user, so it is 8443. To get it: devtls setup ports")
        assert await serve.end() == ExitCode.OK
    installed = await change(net, "sysctl", "install")
    assert (installed["was"], installed["is"], installed["before"]) == ("absent", "applied", {"value": "1024"})
    assert (await change(net, "sysctl", "install"))["steps"] == 0
    async with net.started(SERVE) as serve:
        await serve.wait_for("serves https on port 443, redirects from port 80")
        await assert_served(net)
        await assert_redirected(net)
        await net.devtls("reload")
        await assert_served(net)
        assert (await status(net))["https_origin"] == "bound"
        # What is bound stays bound, when the ports are taken back while it runs.
        removed = await change(net, "sysctl", "remove", installed["before"])
        assert removed["is"] == "absent"
        await assert_served(net)
        assert await serve.end() == ExitCode.OK
    assert (await net.run("cat", BORDER)).stdout == "1024\n"
    assert (await net.run("ls", "/etc/sysctl.d")).stdout == ""


async def test_a_serve_that_runs_takes_443_and_80_as_soon_as_it_may(net: Network) -> None:
    async with net.started(SERVE) as serve:
        await serve.wait_for("Port 443 is closed to this user, so it is 8443. To get it: devtls setup ports")
        # What `devtls setup ports` does, without its file in /etc.
        await net.run("sh", "-c", f"echo 80 > {BORDER}")
        await serve.wait_for("devtls serves ports 80 and 443 too: the system lets this user have them now.")
        await assert_served(net)
        await assert_redirected(net)
        # Bookmarks and open pages from before go on.
        (former,) = await net.curl("https://docs.dev.local:8443/", "127.0.0.1")
        assert former.returncode == 0, former
        assert (await status(net))["https_port"] == 443
        assert await serve.end() == ExitCode.OK


# -- the redirect by nft ----------------------------------------------------------------------------------------------


async def test_the_redirect_leads_443_and_80_to_a_user_and_is_reverted(net: Network, require_tool: RequireTool) -> None:
    require_tool("nft", "sudo apt-get install nftables")
    installed = await change(net, "nft", "install")
    assert (installed["was"], installed["is"]) == ("absent", "applied")
    assert (await change(net, "nft", "install"))["steps"] == 0
    async with net.started(SERVE) as serve:
        await serve.wait_for("serves https on port 443, redirects from port 80")
        await assert_served(net)
        await assert_redirected(net)
        await net.devtls("reload")
        await assert_served(net)
        told = await status(net)
        assert (told["https_origin"], told["http_port"]) == ("redirected", 80)
        assert "https://docs.dev.local" in told["routes"][0]["urls"]
        # A user, who may not list rules, finds the same while the port is in use.
        assert (await redirected(net)) == [80, 443]
        # What this machine has for others is not redirected.
        (other,) = await net.curl("https://docs.dev.local/", "192.0.2.1")
        assert other.returncode == CURL_REFUSED, other
        removed = await change(net, "nft", "remove")
        assert removed["is"] == "absent"
        (gone,) = await net.curl(URL, "127.0.0.1")
        assert gone.returncode == CURL_REFUSED, gone
        assert await serve.end() == ExitCode.OK
    assert (await net.run("nft", "list", "ruleset")).stdout == ""
    assert await redirected(net) == []


async def redirected(net: Network) -> list[int]:
    """Return which ports are redirected, as far as the user can see."""
    script = "from devtls.system.changes.ports.nft import redirected_ports as r\nprint(sorted(r((443, 80), 8443)))"
    ports = json.loads((await net.run(sys.executable, "-c", script, as_user=True)).stdout)
    assert isinstance(ports, list)
    return ports


# -- a socket on every address, as macOS gives it ---------------------------------------------------------------------


async def test_a_socket_on_every_address_serves_this_machine_and_drops_others(net: Network) -> None:
    assert json.loads(await net.python(EVERYWHERE)) == {
        "127.0.0.1": "hello", "::1": "hello", "127.9.9.9": "hello", "192.0.2.1": "",
    }  # fmt: skip


# -- without a namespace ----------------------------------------------------------------------------------------------


async def test_a_client_that_comes_between_two_serves_is_served_by_the_second(home: Path) -> None:
    """The socket is its giver's: an end closes our descriptor of it and no more, as a restart by systemd needs it."""
    (home / "site").mkdir()
    (home / "site/index.html").write_text(SITE)
    context = client_context()
    with socket.create_server(("127.0.0.1", 0)) as given:
        async with serve_activated_with(given, home) as first:
            assert (await fetch(given, context)).endswith(SITE.encode())
            first.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.wait, 15) == ExitCode.OK
        waiting = asyncio.create_task(fetch(given, context))
        async with serve_activated_with(given, home):
            assert (await waiting).endswith(SITE.encode())


@asynccontextmanager
async def serve_activated_with(given: socket.socket, directory: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run a serve that gets `given` as a service manager would hand it over."""
    script = f'exec 3<&{given.fileno()}; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=https exec "$@"'
    process = subprocess.Popen(
        ("bash", "-c", script, "bash", *SERVE, "--no-redirect"), cwd=directory, pass_fds=[given.fileno()]
    )
    try:
        yield process
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def fetch(given: socket.socket, context: ssl.SSLContext) -> bytes:
    """Return the answer to a client that waits as long as it takes to start a serve."""
    name = "docs.dev.local"
    reader, writer = await asyncio.open_connection(
        *given.getsockname(), ssl=context, server_hostname=name, ssl_handshake_timeout=30
    )
    writer.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def client_context() -> ssl.SSLContext:
    authority = Keystore(Path(os.environ["DEVTLS_STATE_DIR"])).create(DEFAULT_ZONES, datetime.now(UTC))
    return ssl.create_default_context(cadata=authority.root_pem.decode())
