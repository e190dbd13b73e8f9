"""`devtls serve` as a user runs it: a process, its files, its signals, what it prints."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devtls.demo import start as start_demo
from devtls.errors import ExitCode
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore

pytestmark = [pytest.mark.e2e, pytest.mark.may_block]

PATIENCE_S = 15.0


class Serve:
    """One `devtls serve` process; its stderr is read all the time."""

    def __init__(self, *argv: str, cwd: Path | None = None, json_lines: bool = True) -> None:
        arguments = [sys.executable, "-m", "devtls", "serve", "--https-port", "0"]
        if "--http-port" not in argv:
            arguments.append("--no-redirect")
        if json_lines:
            arguments += ["--log-format", "json"]
        self.process = subprocess.Popen(
            [*arguments, *argv], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=cwd, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for line in self.lines if (event := json.loads(line))["event"] == name]

    def wait_event(self, name: str, count: int = 1) -> dict[str, Any]:
        self.wait(lambda: len(self.events(name)) >= count)
        return self.events(name)[count - 1]

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline or (self.process.poll() is not None and not condition()):
                raise AssertionError("\n".join(["what was waited for did not come; stderr:", *self.lines]))
            time.sleep(0.02)

    @property
    def port(self) -> int:
        return int(self.wait_event("listening")["https_port"])

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.wait_end()

    def wait_end(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serve]]:
    """Return a function that starts `devtls serve` in an empty folder with a CA."""
    running: list[Serve] = []
    Keystore(Paths.from_environment().state_dir).load_or_create(DEFAULT_ZONES, datetime.now(UTC))

    def begin(*argv: str, cwd: Path = tmp_path, json_lines: bool = True) -> Serve:
        running.append(Serve(*argv, cwd=cwd, json_lines=json_lines))
        return running[-1]

    yield begin
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.wait_end()
        if one.process.stderr is not None:
            one.process.stderr.close()


@pytest.fixture
def app() -> Iterator[int]:
    """Return the port of an app that answers with its own port, on connections that it keeps."""
    with running_app() as port:
        yield port


@contextmanager
def running_app(answer: Callable[[int], bytes] | None = None) -> Iterator[int]:
    server = socket.create_server(("127.0.0.1", 0))
    port = int(server.getsockname()[1])
    body = str(port).encode()
    reply = answer(port) if answer else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    def talk(connection: socket.socket) -> None:
        with connection:
            try:
                while b"\r\n\r\n" in connection.recv(65536):
                    connection.sendall(reply)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield port
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(PATIENCE_S)


@pytest.fixture
def trusting() -> ssl.SSLContext:
    return context_for_ca()


def context_for_ca() -> ssl.SSLContext:
    authority = Keystore(Paths.from_environment().state_dir).load(datetime.now(UTC))
    return ssl.create_default_context(cadata=authority.root_pem.decode())


def open_tls(port: int, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE_S), server_hostname=name)


def fetch(port: int, context: ssl.SSLContext, name: str = "app.dev.local", path: str = "/", extra: str = "") -> bytes:
    """Return a whole answer: head and body."""
    with open_tls(port, name, context) as tls:
        tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\n{extra}Connection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: tls.recv(65536), b""))


def test_routes_from_arguments_and_file_add_up(
    serve: Callable[..., Serve], app: int, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (tmp_path / "devtls.toml").write_text(f"[routes]\nfile = {app}\nboth = 1\n")
    running = serve(f"both={app}", f"*.wild={app}")
    for name in ("file.dev.local", "both.localhost", "any.wild.test", "a.b.wild.dev.local"):
        assert fetch(running.port, trusting, name).endswith(str(app).encode())
    assert running.end() == 0


def has_replaced(running: Serve) -> bool:
    return any("The command line replaces what devtls.toml says about: both" in line for line in running.lines)


def test_the_banner_says_that_the_command_line_won(serve: Callable[..., Serve], app: int, tmp_path: Path) -> None:
    """What it could not find out within a second is left out: a busy machine may need another try to know of trust."""
    (tmp_path / "devtls.toml").write_text("[routes]\nboth = 1\n")
    for _ in range(5):
        running = serve(f"both={app}", json_lines=False)
        running.wait(partial(has_replaced, running))
        assert running.end() == 0
        shown = "\n".join(running.lines)
        assert "\x1b" not in shown
        if "devtls trust" in shown and f"127.0.0.1:{app}  up" in shown:
            return
    raise AssertionError(shown)


def test_nothing_to_serve_shows_examples(serve: Callable[..., Serve]) -> None:
    running = serve(json_lines=False)
    assert running.wait_end() == ExitCode.USAGE
    assert any("devtls serve app=3000" in line for line in running.lines)


def test_a_config_that_is_not_there_is_named(serve: Callable[..., Serve]) -> None:
    running = serve("--config", "none.toml", json_lines=False)
    assert running.wait_end() == ExitCode.CONFIG
    assert "none.toml" in running.lines[0]


def test_listening_beyond_loopback_is_refused(serve: Callable[..., Serve], app: int) -> None:
    running = serve(f"app={app}", "--listen", "0.0.0.0", json_lines=False)
    assert running.wait_end() == ExitCode.CONFIG


def test_what_a_found_file_may_not_do_names_the_command(serve: Callable[..., Serve], tmp_path: Path) -> None:
    (tmp_path / "devtls.toml").write_text('[routes]\nsock = "unix:/run/app.sock"\n')
    running = serve(json_lines=False)
    assert running.wait_end() == ExitCode.CONFIG
    assert any("devtls allow" in line for line in running.lines)


def test_a_port_in_use_names_its_holder(serve: Callable[..., Serve], app: int) -> None:
    running = serve(f"app={app}", "--https-port", str(app), json_lines=False)
    assert running.wait_end() == ExitCode.PORT_IN_USE
    assert f"process {os.getpid()}" in running.lines[0]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="sudo gives euid 0")
def test_sudo_is_refused(monkeypatch: pytest.MonkeyPatch, serve: Callable[..., Serve]) -> None:
    monkeypatch.setenv("SUDO_UID", "1000")
    running = serve("app=3000", json_lines=False)
    assert running.wait_end() == ExitCode.REFUSED
    assert "without sudo" in "\n".join(running.lines)


def test_requests_under_load_survive_a_broken_and_a_corrected_file(
    serve: Callable[..., Serve], app: int, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    file = tmp_path / "devtls.toml"
    file.write_text(f"[routes]\napp = {app}\n")
    running = serve("--quiet")
    port = running.port
    answers: list[bytes] = []
    failures: list[str] = []
    stopping = threading.Event()

    def ask(tls: ssl.SSLSocket) -> None:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        answer = tls.recv(65536)
        if b"200 OK" not in answer:
            failures.append(repr(answer[:200]))
        answers.append(answer)

    def load(requests_per_connection: int) -> None:
        try:
            while not stopping.is_set():
                with open_tls(port, "app.dev.local", trusting) as tls:
                    for _ in range(requests_per_connection):
                        ask(tls)
                        if stopping.is_set():
                            break
        except OSError as error:
            failures.append(repr(error))

    workers = [threading.Thread(target=load, args=(count,)) for count in (1, 20, 1_000_000)]
    for worker in workers:
        worker.start()
    with running_app() as other:
        file.write_text("[routes\napp = ")
        assert "devtls.toml:1" in running.wait_event("error")["message"]
        seen = len(answers)
        running.wait(lambda: len(answers) > seen + 20)
        replacement = tmp_path / "new"
        replacement.write_text(f"[routes]\napp = {other}\n")
        replacement.replace(file)
        running.wait(lambda: answers[-1].endswith(str(other).encode()))
        stopping.set()
        for worker in workers:
            worker.join(PATIENCE_S)
    assert not failures
    assert running.end() == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Unix only")
def test_sighup_reads_everything_again(
    serve: Callable[..., Serve], app: int, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    running = serve(f"app={app}")
    port = running.port
    running.process.send_signal(signal.SIGHUP)
    assert "SIGHUP" in running.wait_event("reloaded")["message"]
    assert fetch(port, trusting).endswith(str(app).encode())


def test_a_new_ca_is_picked_up(serve: Callable[..., Serve], app: int) -> None:
    running = serve(f"app={app}")
    port = running.port
    assert fetch(port, context_for_ca())
    Keystore(Paths.from_environment().state_dir).create(DEFAULT_ZONES, datetime.now(UTC))
    running.wait_event("authority_replaced")
    assert fetch(port, context_for_ca())


def test_interrupt_lets_a_request_end(serve: Callable[..., Serve], trusting: ssl.SSLContext) -> None:
    with slow_app() as (port, go_on):
        running = serve(f"app={port}")
        tls = open_tls(running.port, "app.dev.local", trusting)
        tls.sendall(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        assert tls.recv(65536).startswith(b"HTTP/1.1 200")
        running.process.send_signal(signal.SIGINT)
        running.wait_event("draining")
        go_on.set()
        assert b"end" in b"".join(iter(lambda: tls.recv(65536), b""))
        tls.close()
        assert running.wait_end() == 0


def test_a_second_interrupt_cuts(serve: Callable[..., Serve], trusting: ssl.SSLContext) -> None:
    with slow_app() as (port, go_on):
        running = serve(f"app={port}")
        tls = open_tls(running.port, "app.dev.local", trusting)
        tls.sendall(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
        assert tls.recv(65536)
        running.process.send_signal(signal.SIGINT)
        running.wait_event("draining")
        assert running.end() == ExitCode.INTERRUPTED
        tls.close()
        go_on.set()


@contextmanager
def slow_app() -> Iterator[tuple[int, threading.Event]]:
    """An app that sends the head and waits with the body."""
    go_on = threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if not connection.recv(65536):
                    continue
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbeg")
                go_on.wait(PATIENCE_S)
                try:
                    connection.sendall(b"end")
                except OSError:
                    continue
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname()[1], go_on
    go_on.set()
    thread.join(0.1)
    server.close()


def test_plain_http_is_redirected_on_both_ports(serve: Callable[..., Serve], app: int) -> None:
    running = serve(f"app={app}", "--http-port", "0")
    listening = running.wait_event("listening")
    for port in (listening["http_port"], listening["https_port"]):
        for family in ("127.0.0.1", "::1"):
            with socket.create_connection((family, port), PATIENCE_S) as plain:
                plain.sendall(b"GET /x?y HTTP/1.1\r\nHost: app.dev.local:1\r\n\r\n")
                head = plain.recv(65536)
            assert head.startswith(b"HTTP/1.1 307")
            assert f"Location: https://app.dev.local:{listening['https_port']}/x?y".encode() in head
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: rebound.example.com\r\n\r\n")
            assert plain.recv(65536).startswith(b"HTTP/1.1 404")


def test_our_pages_say_what_is_wrong(serve: Callable[..., Serve], trusting: ssl.SSLContext, app: int) -> None:
    running = serve(f"app={app}", "down=1")
    port = running.port
    assert fetch(port, trusting, "none.test").startswith(b"HTTP/1.1 404")
    assert fetch(port, trusting, "down.test").startswith(b"HTTP/1.1 502")
    with open_tls(port, "app.test", trusting) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
        assert tls.recv(65536).startswith(b"HTTP/1.1 421")


@pytest.fixture
async def demo_port() -> AsyncIterator[int]:
    runner, port = await start_demo("127.0.0.1")
    yield port
    await runner.cleanup()


async def test_a_websocket_and_an_event_stream_go_through(serve: Callable[..., Serve], demo_port: int) -> None:
    running = serve(f"app={demo_port}")
    port = await asyncio.to_thread(lambda: running.port)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context_for_ca(), server_hostname="app.dev.local"
    )
    writer.write(
        b"GET /echo HTTP/1.1\r\nHost: app.dev.local\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n\r\n"
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.write(bytes((0x81, 0x82, 0, 0, 0, 0)) + b"hi")  # a masked text frame with a mask of zeros
    assert await reader.readexactly(4) == b"\x81\x02hi"
    writer.close()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context_for_ca(), server_hostname="app.dev.local"
    )
    writer.write(b"GET /clock HTTP/1.1\r\nHost: app.dev.local\r\n\r\n")
    assert b"data: " in await reader.readuntil(b"data: ")
    writer.close()
    assert await asyncio.to_thread(running.end) == 0


def test_a_static_site_is_served(serve: Callable[..., Serve], tmp_path: Path, trusting: ssl.SSLContext) -> None:
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    (site / "sub/index.html").write_text("below")
    (tmp_path / "devtls.toml").write_text('[routes]\ndocs = { static = "site" }\n')
    running = serve()
    port = running.port
    assert fetch(port, trusting, "docs.dev.local", "/sub/").endswith(b"below")
    assert b"Location: ./sub/?q" in fetch(port, trusting, "docs.dev.local", "/sub?q")
    assert b" 404 " in fetch(port, trusting, "docs.dev.local", "/../devtls.toml")[:20]


def test_a_static_directory_that_becomes_a_link_publishes_no_key(
    serve: Callable[..., Serve], tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    site, state = tmp_path / "site", Paths.from_environment().state_dir
    site.mkdir()
    (site / "page.txt").write_text("page")
    (tmp_path / "devtls.toml").write_text('[routes]\ndocs = { static = "site" }\n')
    running = serve()
    assert fetch(running.port, trusting, "docs.dev.local", "/page.txt").endswith(b"page")
    site.rename(tmp_path / "old")
    site.symlink_to(state)
    pointer = next(path.name for path in state.iterdir() if path.name == "ca.current")
    refused = fetch(running.port, trusting, "docs.dev.local", f"/{pointer}")
    assert b" 404 " in refused[:20]
    assert b"has become a link" in refused
    for key in state.rglob("*.key"):
        assert b" 404 " in fetch(running.port, trusting, "docs.dev.local", f"/{key.relative_to(state)}")[:20]
    # A build that makes the folder anew is served again.
    site.unlink()
    site.mkdir()
    (site / "page.txt").write_text("new page")
    assert fetch(running.port, trusting, "docs.dev.local", "/page.txt").endswith(b"new page")


def test_a_static_directory_takes_what_the_proxy_takes(
    serve: Callable[..., Serve], tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    """Cookies of 30 KiB, a path of 7 KiB: within the proxy's limits, beyond those of its file server once."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("home")
    (tmp_path / "devtls.toml").write_text('[routes]\ndocs = { static = "site" }\n')
    running = serve()
    cookie = f"Cookie: {'c' * 30_000}\r\n"
    assert fetch(running.port, trusting, "docs.dev.local", "/", cookie).endswith(b"home")
    assert fetch(running.port, trusting, "docs.dev.local", "/?" + "q" * 7_000).endswith(b"home")


def test_the_pki_endpoint_serves_lists_that_openssl_reads(
    serve: Callable[..., Serve], app: int, tmp_path: Path, require_tool: Callable[[str, str], str]
) -> None:
    openssl = require_tool("openssl", "apt-get install openssl")
    running = serve(f"app={app}")
    assert running.port
    authority = Keystore(Paths.from_environment().state_dir).load(datetime.now(UTC))
    base = f"http://127.0.0.1:{authority.pki_port}"
    (tmp_path / "issuer.pem").write_bytes(authority.intermediate_pem + authority.root_pem)
    for path in (authority.root_crl_path, authority.intermediate_crl_path):
        with urllib.request.urlopen(base + path, timeout=PATIENCE_S) as answer:
            assert answer.headers["Content-Type"] == "application/pkix-crl"
            (tmp_path / "list.crl").write_bytes(answer.read())
        done = subprocess.run(
            [openssl, "crl", "-inform", "DER", "-in", "list.crl", "-CAfile", "issuer.pem", "-noout"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "verify OK" in done.stdout + done.stderr


def test_a_client_without_the_root_gives_one_line(serve: Callable[..., Serve], app: int) -> None:
    running = serve(f"app={app}")
    for _ in range(3):
        with pytest.raises(ssl.SSLError):
            open_tls(running.port, "app.dev.local", ssl.create_default_context())
    assert "its store lacks the root" in running.wait_event("certificate_refused")["message"]
    running.end()
    assert len(running.events("certificate_refused")) == 1


def test_a_host_check_is_explained_once(serve: Callable[..., Serve], trusting: ssl.SSLContext) -> None:
    body = b'Blocked request. This host ("app.dev.local") is not allowed.'
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
    with running_app(lambda _: head + body) as port:
        running = serve(f"app={port}")
        for _ in range(2):
            fetch(running.port, trusting)
        hint = running.wait_event("host_check")["message"]
        assert 'allowedHosts: ["app.dev.local"]' in hint
        assert f"https://app.localhost:{running.port}" in hint
        running.end()
        assert len(running.events("host_check")) == 1


def test_json_lines_tell_of_each_request(serve: Callable[..., Serve], app: int, trusting: ssl.SSLContext) -> None:
    running = serve(f"app={app}")
    fetch(running.port, trusting, path='/a?b="c')
    record = running.wait_event("request")
    assert (record["method"], record["target"], record["status"]) == ("GET", '/a?b="c', 200)
    assert record["upstream"] == f"127.0.0.1:{app}"
    assert running.end() == 0
    assert json.loads(running.lines[0])["event"] == "listening"


def test_the_text_log_escapes_what_a_client_sends(
    serve: Callable[..., Serve], app: int, trusting: ssl.SSLContext
) -> None:
    running = serve(f"app={app}", json_lines=False)
    running.wait(lambda: running.lines)
    port = int(running.lines[0].partition("port ")[2].split(".")[0])
    with open_tls(port, "app.dev.local", trusting) as tls:
        tls.sendall(b"GET /\xc3\x9b31m\x9b31m HTTP/1.1\r\nHost: app.dev.local\r\nConnection: close\r\n\r\n")
        tls.recv(65536)
    running.end()
    assert all(char.isprintable() for line in running.lines for char in line)


def test_quiet_says_nothing(serve: Callable[..., Serve], app: int, trusting: ssl.SSLContext) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    running = serve(f"app={app}", "-q", "--https-port", str(port), json_lines=False)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            fetch(port, trusting)
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
    assert running.end() == 0
    assert running.lines == []


@pytest.mark.skipif(sys.platform == "win32", reason="Unix only")
def test_closing_the_terminal_ends_it_and_the_terminal_gets_clickable_addresses(app: int, tmp_path: Path) -> None:
    # The wrapper makes the pseudo-terminal the controlling one, as a terminal's shell does.
    own = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
    argv = [sys.executable, "-m", "devtls", "serve", f"app={app}", "--https-port", "0", "--no-redirect"]
    terminal, inner = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", own, *argv],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        cwd=tmp_path,
        start_new_session=True,
    )
    os.close(inner)
    try:
        shown = b""
        while b"devtls trust" not in shown:
            shown += os.read(terminal, 65536)
        assert b"\x1b]8;;https://app.dev.local:" in shown
        os.close(terminal)
        assert process.wait(PATIENCE_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
