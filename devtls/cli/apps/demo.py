"""`devtls demo`: a sample app behind the proxy, to see it work before anything is set up.

Owns the demo's lifetime: its CA lives in a temporary directory that goes with it, unless `--trust` asks for the real
one. `--check` is the same demo without a person: it fetches its own addresses and prints each result.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from devtls import demo as sample
from devtls.cli.terminal.output import folded
from devtls.cli.terminal.port_argument import PORT
from devtls.cli.trust import trust
from devtls.config import parse_route_argument
from devtls.daemon.assembly import Daemon
from devtls.daemon.console.libraries import in_our_words
from devtls.daemon.console.lines import LineWriter
from devtls.daemon.console.log import Log
from devtls.daemon.console.style import BOLD, CYAN, TerminalStyle
from devtls.daemon.run import Process, loop_factory
from devtls.daemon.source import Source
from devtls.errors import ExitCode
from devtls.system.machine.paths import Paths, refuse_sudo_for

NAME = "demo"
_USUAL_PORT = 8443
_CHECK_TIMEOUT_S = 10.0
_ROOT_FILE = "root.pem"


@click.command()
@click.option("--trust", "with_trust", is_flag=True, help="Use your own CA, and run devtls trust first.")
@click.option("--check", is_flag=True, help="Fetch the demo's own addresses, print the results, and end.")
@click.option("--https-port", type=PORT, help="Default: 8443 if it is free, else any.")
@click.pass_context
def command(ctx: click.Context, *, with_trust: bool, check: bool, https_port: int | None) -> int:
    """Run a sample app behind the proxy: a page with its headers, a WebSocket, an event stream.

    Without --trust nothing on this machine changes: the demo's CA lives in a temporary directory until Ctrl-C.
    """
    refuse_sudo_for("demo")
    if with_trust:
        ctx.invoke(trust.command)
        paths = Paths.from_environment()
        return _run(Demo(paths, paths.state_dir / "devtls-root.pem", with_trust), https_port, check=check)
    with _temporary_paths() as paths:
        return _run(Demo(paths, paths.state_dir.parent / _ROOT_FILE, with_trust), https_port, check=check)


@contextmanager
def _temporary_paths() -> Iterator[Paths]:
    directory = Path(tempfile.mkdtemp(prefix="devtls-demo-"))
    # The user's own runtime directory: `devtls status` and `devtls stop` look there.
    runtime_dir = Paths.from_environment().runtime_dir
    made = [each for each in (runtime_dir, *runtime_dir.parents) if not each.exists()]
    try:
        yield Paths(directory / "state", directory / "config", runtime_dir)
    finally:
        # The demo is over: a file that Windows still holds open is no error to end with.
        shutil.rmtree(directory, ignore_errors=True)
        for each in made:
            with suppress(OSError):  # not made after all, or somebody uses it by now
                each.rmdir()


@dataclass(frozen=True, slots=True)
class Demo:
    """Where one demo keeps its CA, and the file that clients verify it with."""

    paths: Paths
    root_file: Path
    trusted: bool


def _run(demo: Demo, https_port: int | None, *, check: bool) -> int:
    style = TerminalStyle.of(sys.stderr)
    writer = LineWriter(sys.stderr)
    log = Log(writer.write, level="quiet" if check else "normal", style=style, monotonic=time.monotonic)
    try:
        with in_our_words(log), asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_serve(demo, log, style, https_port, check=check))
    finally:
        # After the loop: its last lines are still waiting.
        writer.close()


async def _serve(demo: Demo, log: Log, style: TerminalStyle, https_port: int | None, *, check: bool) -> ExitCode:
    app, app_port = await sample.start("127.0.0.1")
    try:
        port = _usual_port() if https_port is None else https_port
        # Port 80 would need rights, and the demo's addresses are typed with https.
        flags = {"https_port": port, "redirect": False}
        trust_command = "devtls trust" if demo.trusted else "devtls demo --trust"
        if not demo.trusted:
            # `devtls trust` makes another CA than this one.
            log.trust_advice = f"Nobody trusts the demo's CA, which ends with it; `{trust_command}` uses your own."
        route = parse_route_argument(f"{NAME}={app_port}")
        daemon = Daemon(Source(demo.paths, None, (route,), flags, demo=True, trust_command=trust_command), log)
        daemon.prepare()
        if not demo.trusted:
            # Before anything is shown: the curl line names this file.
            demo.root_file.write_bytes(daemon.generation.authority.root_pem)
        process = Process(daemon, style)
        outcome = ExitCode.OK

        async def present() -> None:
            nonlocal outcome
            hosts = _best_hosts(daemon)
            if not check:
                lines = _introduction(demo, hosts, daemon.bound.https_port, style).split("\n")
                # The command stays whole: broken in two it could not be copied.
                click.echo("\n".join(part for line in lines for part in ([line] if "curl" in line else folded(line))))
                return
            outcome = await _check(demo.root_file, hosts, daemon.bound.https_port)
            process.shutdown.end()

        code = await process.run(present)
        return outcome or code
    finally:
        await app.cleanup()


def _usual_port() -> int:
    with socket.socket() as probe:
        # Else a port in TIME_WAIT, of the demo before, would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", _USUAL_PORT))
        except OSError:
            return 0
    return _USUAL_PORT


def _best_hosts(daemon: Daemon) -> list[str]:
    """Return two of the demo's names: one that browsers resolve by themselves comes first."""
    hosts = daemon.generation.snapshot.routes.routes[0].hosts
    return sorted(hosts, key=lambda host: not host.endswith(".localhost"))[:2]


def _introduction(demo: Demo, hosts: list[str], port: int, style: TerminalStyle) -> str:
    urls = [f"https://{host}:{port}" for host in hosts]
    shown = [f"  {style.paint(style.link(url), BOLD)}" for url in urls]
    lines = ["A sample app is running behind devtls:", "", *shown, ""]
    if demo.trusted:
        lines.append("Open one of them in a browser. From a terminal:")
    else:
        lines += [
            "A browser will warn: nothing on this machine trusts the demo's CA, which ends with the demo.",
            "`devtls demo --trust` shows it without a warning. From a terminal it works now:",
        ]
    lines += ["", f"  {style.paint(_curl(demo.root_file, hosts[0], port), CYAN)}", "", "Ctrl-C ends it."]
    return "\n".join(lines)


def _curl(root_file: Path, host: str, port: int) -> str:
    argv = ["curl", "--cacert", str(root_file)]
    if not _resolves_here(host):
        # curl leaves names to the system's resolver, which may not know the zones.
        argv += ["--resolve", f"{host}:{port}:127.0.0.1"]
    return shlex.join([*argv, f"https://{host}:{port}/headers"])


def _resolves_here(host: str) -> bool:
    try:
        return socket.gethostbyname(host).startswith("127.")
    except OSError:
        return False


class _LoopbackResolver(AbstractResolver):
    """Resolves every name to 127.0.0.1, so that the check needs no DNS."""

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        """Return the one address."""
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""


async def _check(root_file: Path, hosts: list[str], port: int) -> ExitCode:
    # This root alone, so that a pass proves the demo's CA and not a trusted one.
    context = ssl.create_default_context(cafile=root_file)
    connector = TCPConnector(ssl=context, resolver=_LoopbackResolver(), use_dns_cache=False)
    failed = False
    async with ClientSession(connector=connector, timeout=ClientTimeout(_CHECK_TIMEOUT_S)) as session:
        for host in hosts:
            for name, fetch in _CHECKS:
                failed |= not await _report(f"{name:<10} https://{host}:{port}", fetch(session, f"{host}:{port}"))
    return ExitCode.FAILED if failed else ExitCode.OK


async def _report(label: str, work: Awaitable[str]) -> bool:
    try:
        async with asyncio.timeout(_CHECK_TIMEOUT_S):
            failure = await work
    except (ClientError, OSError, TimeoutError, ValueError) as error:
        failure = str(error) or type(error).__name__
    click.echo(f"{label}  {failure or 'ok'}")
    return not failure


async def _page(session: ClientSession, authority: str) -> str:
    async with session.get(f"https://{authority}/") as page:
        text = await page.text()
        return "" if page.status == 200 and authority in text else f"status {page.status}"


async def _websocket(session: ClientSession, authority: str) -> str:
    async with session.ws_connect(f"wss://{authority}/echo") as channel:
        await channel.send_str("hello")
        echoed = await channel.receive_str()
        return "" if echoed == "hello" else f"the echo of hello is {echoed!r}"


async def _events(session: ClientSession, authority: str) -> str:
    async with session.get(f"https://{authority}/clock") as stream:
        line = await stream.content.readline()
        return "" if "time" in json.loads(line.removeprefix(b"data: ")) else f"no time in {line!r}"


_CHECKS: tuple[tuple[str, Callable[[ClientSession, str], Awaitable[str]]], ...] = (
    ("page", _page),
    ("WebSocket", _websocket),
    ("events", _events),
)
