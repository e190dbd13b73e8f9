"""Several `devtls serve` of one user: the others join the first, and one of them follows it when it ends.

Each story is told twice: over the Unix socket, and over the port that Windows has in its place.
"""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from devtls.errors import ExitCode
from devtls.names import DEFAULT_ZONES
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="signals")]

DEVTLS = [sys.executable, "-m", "devtls"]
BY_PORT = """\
from devtls.__main__ import main
from devtls.system.control import channel as control_channel
control_channel.uses_ports = lambda: True
main()
"""
KINDS = {"socket": DEVTLS, "port": [sys.executable, "-c", BY_PORT]}
PATIENCE_S = 30.0


class Serve:
    """One `devtls serve` in a directory of its own; what its terminal shows is kept."""

    def __init__(self, command: list[str], directory: Path, *arguments: str) -> None:
        directory.mkdir(exist_ok=True)
        self.process = subprocess.Popen(
            [*command, "serve", *arguments],
            cwd=directory,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def shown(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    def shows(self, text: str) -> None:
        until(lambda: text in self.shown, lambda: self.shown)

    def end(self, number: signal.Signals = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code


def until(condition: Callable[[], object], why: Callable[[], str] = str, limit_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)


class World:
    """A home with a CA, a port for the first serve, and apps that answer with their name."""

    def __init__(self, home: Path, command: list[str]) -> None:
        self.home = home
        self.command = command
        self.port = free_port()
        store = Keystore(Paths.from_environment().state_dir)
        made = store.load_or_create(DEFAULT_ZONES, datetime.now(UTC))
        self.context = ssl.create_default_context(cadata=made.root_pem.decode())
        self.running: list[Serve] = []
        self.apps: list[ThreadingHTTPServer] = []
        quiet = f"[dns]\nport = {free_port()}\n[pac]\nport = {free_port()}\n"
        (home / "first").mkdir()
        (home / "first" / "devtls.toml").write_text(f"{quiet}[routes]\napp = {self.app('app')}\n")

    def app(self, name: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None:  # its lines would be among the test's own
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.apps.append(server)
        return int(server.server_address[1])

    def serve(self, where: str, *arguments: str) -> Serve:
        one = Serve(self.command, self.home / where, *arguments)
        self.running.append(one)
        return one

    def first(self) -> Serve:
        one = self.serve("first", "--https-port", str(self.port), "--no-redirect")
        until(lambda: self.get("app") == "app", lambda: one.shown)
        return one

    def join(self, name: str, *arguments: str) -> Serve:
        one = self.serve(name, f"{name}={self.app(name)}", *arguments)
        # Not by asking: until it has joined, each request is a 404 in the first one's terminal.
        until(lambda: "Joined" in one.shown or '"joined"' in one.shown, lambda: one.shown)
        until(lambda: self.get(name) == name, lambda: one.shown)
        return one

    def get(self, name: str) -> str:
        """Return the body of an app's response, the status of another, "" when nobody listens."""
        try:
            with (
                socket.create_connection(("127.0.0.1", self.port), 5) as tcp,
                self.context.wrap_socket(tcp, server_hostname=f"{name}.dev.local") as tls,
            ):
                request = f"GET / HTTP/1.1\r\nHost: {name}.dev.local\r\nConnection: close\r\n\r\n"
                tls.sendall(request.encode())
                answer = b""
                while data := tls.recv(65536):
                    answer += data
        except OSError:
            return ""
        head, _, body = answer.partition(b"\r\n\r\n")
        return body.decode() if head.split()[1:2] == [b"200"] else head.split()[1].decode() if head else ""

    def devtls(self, where: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*self.command, *arguments],
            cwd=self.home / where,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def close(self) -> None:
        for one in self.running:
            one.end(signal.SIGKILL)
            if one.process.stderr is not None:
                one.process.stderr.close()
        for server in self.apps:
            server.shutdown()
            server.server_close()


@pytest.fixture(params=["socket", "port"])
def world(request: pytest.FixtureRequest, home: Path) -> Iterator[World]:
    made = World(home, KINDS[request.param])
    yield made
    made.close()


def test_a_second_serve_joins_and_leaves_at_once(world: World) -> None:
    first = world.first()
    shop = world.join("shop")
    shop.shows(
        f"Joined devtls serve (process {first.pid} in {world.home}/first), which serves https on port {world.port}"
    )
    shop.shows("https://shop.dev.local")
    # Each terminal shows the requests of its own routes.
    shop.shows("GET")
    assert "shop.dev.local" not in first.shown
    first.shows(f"devtls serve (process {shop.pid} in {world.home}/shop) has joined: shop.")
    assert "app.dev.local" not in shop.shown
    listed = json.loads(world.devtls("shop", "list", "--json").stdout)["lists"]
    assert [(each["pid"], each["joined"], [route["name"] for route in each["routes"]]) for each in listed] == [
        (first.pid, None, ["app"]),
        (shop.pid, first.pid, ["shop"]),
    ]
    assert f"which joined process {first.pid}" in world.devtls("shop", "list").stdout
    assert f"Process {shop.pid} joined at" in world.devtls("shop", "status").stdout
    assert shop.end() == ExitCode.OK
    # It ends after its routes have.
    assert world.get("shop") == "404"
    assert world.get("app") == "app"
    # Killed, it cannot say goodbye: the kernel closes its connection.
    killed = world.join("shop")
    killed.end(signal.SIGKILL)
    until(lambda: world.get("shop") == "404", limit_s=2)


def test_a_name_a_file_and_a_setting_that_are_served_already_are_refused(world: World) -> None:
    first = world.first()
    world.join("shop")
    done = world.devtls("shop", "serve", "app=1", code=ExitCode.ALREADY_SERVED)
    assert f"app is served already by devtls serve (process {first.pid} in {world.home}/first)" in done.stderr
    assert f"{world.home}/first/devtls.toml:6" in done.stderr
    done = world.devtls("first", "serve", code=ExitCode.ALREADY_SERVED)
    assert f"serves {world.home}/first/devtls.toml already" in done.stderr
    done = world.devtls("shop", "serve", "more=1", "--http-port", str(free_port()), code=ExitCode.CONFIG)
    assert "this setting differs from" in done.stderr
    assert "--http-port" in done.stderr
    assert "leave it out, or --alone" in done.stderr
    (world.home / "blog").mkdir(exist_ok=True)
    (world.home / "blog/devtls.toml").write_text("[limits]\nretry_down_s = 1\nlinger_s = 2.5\n[routes]\nblog = 1\n")
    done = world.devtls("blog", "serve", code=ExitCode.CONFIG)
    assert "these settings differ from" in done.stderr
    assert "limits.retry_down_s (1 here, 2 there)" in done.stderr
    assert "leave them out, or --alone" in done.stderr
    done = world.devtls(
        "shop",
        "serve",
        "more=1",
        "--alone",
        "--no-redirect",
        "--https-port",
        str(world.port),
        code=ExitCode.PORT_IN_USE,
    )
    assert f"your other devtls serve (process {first.pid}) has it" in done.stderr


def test_a_port_of_its_own_is_a_process_of_its_own(world: World) -> None:
    world.first()
    port = free_port()
    own = world.serve("own", "own=1", "--no-redirect", "--https-port", str(port))
    own.shows(f"devtls serves https on port {port}")
    serves = json.loads(world.devtls("own", "status", "--json").stdout)["serves"]
    assert {serve["https_port"]: len(serve["joined"]) for serve in serves} == {world.port: 0, port: 0}
    # Two on ports of their own: which one is meant has to be said.
    done = world.devtls("own", "serve", "more=1", code=ExitCode.REFUSED)
    assert "2 devtls serve of yours run" in done.stderr
    more = world.serve("more", "more=1", "--https-port", str(port))
    more.shows(f"Joined devtls serve (process {own.pid}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_one_of_several_takes_the_listeners_over_within_a_second(world: World, number: signal.Signals) -> None:
    first = world.first()
    names = ["shop", "blog"]
    joined = [world.join(name) for name in names]
    begun = time.monotonic()
    first.process.send_signal(number)
    until(lambda: any("this one serves now" in one.shown for one in joined), lambda: joined[0].shown)
    until(lambda: any(world.get(name) == name for name in names), lambda: joined[0].shown)
    took = time.monotonic() - begun
    until(lambda: all(world.get(name) == name for name in names), lambda: "".join(one.shown for one in joined))
    # A loaded machine takes its time to start three; the second is that of an idle one.
    assert took < 3
    assert world.get("app") == "404"
    texts = [one.shown for one in joined]
    assert sum("this one serves now" in text for text in texts) == 1
    (heir,) = [one for one, text in zip(joined, texts, strict=True) if "this one serves now" in text]
    others = [one for one in joined if one is not heir]
    for one in others:
        one.shows(f"devtls serve (process {heir.pid}) serves now.")
    (serve,) = json.loads(world.devtls("shop", "status", "--json").stdout)["serves"]
    assert serve["pid"] == heir.pid
    assert sorted(each["pid"] for each in serve["joined"]) == sorted(one.pid for one in others)
    # The first one comes back, and joins.
    again = world.serve("first")
    again.shows("Joined devtls serve")
    until(lambda: world.get("app") == "app")
    # The end of the heir is another end: it goes on.
    heir.end(number)
    until(lambda: all(world.get(name) for name in ("app", *names)))
    for one in (*others, again):
        assert one.end() == ExitCode.OK, one.shown
    assert world.get("app") == ""


def test_a_port_that_somebody_else_has_taken_ends_the_joined_one_with_a_message(world: World) -> None:
    first = world.first()
    shop = world.join("shop")
    stopped = threading.Event()

    def take() -> None:
        while not stopped.is_set():
            with socket.socket() as other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    other.bind(("127.0.0.1", world.port))
                except OSError:
                    continue
                other.listen()
                stopped.wait(PATIENCE_S)

    # The joined one is halted, so that the other program is the faster one for sure.
    shop.process.send_signal(signal.SIGSTOP)
    taking = threading.Thread(target=take)
    taking.start()
    first.end(signal.SIGKILL)
    until(lambda: _accepts(world.port))
    shop.process.send_signal(signal.SIGCONT)
    assert shop.process.wait(PATIENCE_S) == ExitCode.PORT_IN_USE
    stopped.set()
    taking.join()
    shop.shows(f"devtls serve (process {first.pid}) has ended, and its port is not to be had")


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_its_own_file_is_watched_and_its_mistakes_are_told_there(world: World) -> None:
    first = world.first()
    (world.home / "shop").mkdir()
    file = world.home / "shop" / "devtls.toml"
    file.write_text(f"[routes]\nshop = {world.app('shop')}\n")
    shop = world.serve("shop")
    until(lambda: world.get("shop") == "shop", lambda: shop.shown)
    file.write_text(f"[routes]\nshop = {world.app('other')}\n")
    until(lambda: world.get("shop") == "other", lambda: shop.shown)
    file.write_text("[routes]\nshop = -1\n")
    shop.shows(f"{file}:2")
    assert world.get("shop") == "other"
    assert str(file) not in first.shown
    file.write_text(f"[routes]\nshop = {world.app('third')}\n")
    until(lambda: world.get("shop") == "third", lambda: shop.shown)
    assert "has applied it" in world.devtls("shop", "add", "more", str(world.app("more"))).stdout
    assert world.get("more") == "more"
    file.write_text('[routes]\nshop = "unix:/run/app.sock"\n')
    shop.shows("needs your word for that")
    # The file is a mistake at the moment of the take-over: the routes from before go on.
    first.end(signal.SIGKILL)
    until(lambda: world.get("shop") == "third", lambda: shop.shown)


def test_stop_and_uninstall_know_joined_processes(world: World) -> None:
    first = world.first()
    shop = world.join("shop")
    assert (
        world.devtls("shop", "stop", "--pid", str(shop.pid)).stdout == f"devtls serve (process {shop.pid}) has ended.\n"
    )
    assert shop.process.wait(PATIENCE_S) == ExitCode.OK
    assert world.get("app") == "app"
    blog = world.join("blog")
    world.devtls("blog", "uninstall", "--yes")
    assert first.process.wait(PATIENCE_S) == ExitCode.OK
    assert blog.process.wait(PATIENCE_S) == ExitCode.OK
    assert not any(Paths.from_environment().state_dir.glob("ca-*"))


def test_log_lines_keep_the_form_of_their_own_terminal(world: World) -> None:
    world.first()
    shop = world.join("shop", "--log-format", "json")
    events: list[dict[str, Any]] = []

    def requested() -> bool:
        events[:] = [json.loads(line) for line in shop.lines if line.endswith("\n")]
        return any(event["event"] == "request" for event in events)

    until(requested, lambda: shop.shown)
    assert events[0]["event"] == "joined"
    assert {event["host"] for event in events if event["event"] == "request"} == {"shop.dev.local"}
