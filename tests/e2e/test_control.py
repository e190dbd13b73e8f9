"""The control channel from the command line: status, routes, the end, several proxies, several users.

Each story is told twice: over the Unix socket, and over the port that Windows has in its place.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devtls.names import DEFAULT_ZONES
from devtls.system.machine.paths import Paths
from devtls.system.storage.keystore import Keystore
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform == "win32", reason="as another user, over /proc")]

DEVTLS = [sys.executable, "-m", "devtls"]
BY_PORT = """\
from devtls.__main__ import main
from devtls.system.control import channel as control_channel
control_channel.uses_ports = lambda: True
main()
"""
KINDS = {"socket": (DEVTLS, "*.sock"), "port": ([sys.executable, "-c", BY_PORT], "*.json")}
PATIENCE_S = 30.0
FILE = "# mine\n[routes]\napp = 9 # the app\n\n# rare\n[limits]\nmax_fields = 100\n"


def devtls(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*DEVTLS, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def told(*arguments: str, cwd: Path, code: int = 0) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(devtls(*arguments, "--json", cwd=cwd, code=code).stdout)
    assert answer["format"] == 1
    return answer


class Serve:
    """One `devtls serve`; its log is kept."""

    def __init__(self, *arguments: str, cwd: Path, port: int) -> None:
        self.port = port
        argv = [*DEVTLS, "serve", "--no-redirect", "--https-port", str(port), *arguments]
        self.process = subprocess.Popen(argv, cwd=cwd, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "".join(self.lines)
            assert self.process.poll() is None or condition(), "".join(self.lines)
            time.sleep(0.02)

    def accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        except OSError:
            return False
        return True

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        if self.process.stderr is not None:
            self.process.stderr.close()


Begin = Callable[..., Serve]


@pytest.fixture(params=["socket", "port"], autouse=True)
def files(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Choose the way, and return what its files are called."""
    command, names = KINDS[request.param]
    monkeypatch.setattr(sys.modules[__name__], "DEVTLS", command)
    return f"control-{names}"


@pytest.fixture
def project(home: Path) -> Path:
    Keystore(Paths.from_environment().state_dir).load_or_create(DEFAULT_ZONES, datetime.now(UTC))
    directory = home / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def runtime() -> Path:
    return Paths.from_environment().runtime_dir


@pytest.fixture
def serve(project: Path) -> Iterator[Begin]:
    """Return a function that starts `devtls serve`, and waits for its port."""
    running: list[Serve] = []

    def begin(*arguments: str, cwd: Path = project) -> Serve:
        one = Serve(*arguments, cwd=cwd, port=free_port())
        running.append(one)
        one.until(one.accepts)
        return one

    yield begin
    for one in running:
        one.end()


def test_status_before_while_and_after(serve: Begin, project: Path, runtime: Path, files: str) -> None:
    assert told("status", cwd=project, code=9)["serves"] == []
    nothing = devtls("status", cwd=project, code=9)
    assert (nothing.stdout, "devtls serve app=3000" in nothing.stderr) == ("", True)
    with socket.create_server(("127.0.0.1", 0)) as app:
        one = serve(f"app={app.getsockname()[1]}", "down=1")
        (found,) = told("status", cwd=project)["serves"]
        (path,) = runtime.glob(files)
        assert (path.stat().st_mode & 0o777, runtime.stat().st_mode & 0o777) == (0o600, 0o700)
        assert (found["pid"], found["https_port"], found["config_file"]) == (one.process.pid, one.port, None)
        assert {route["name"]: route["health"] for route in found["routes"]} == {"app": "up", "down": "down"}
        shown = devtls("status", cwd=project).stdout
        assert f"(process {one.process.pid})" in shown
        assert any(f"https://app.{zone}:{one.port} " in shown for zone in ("localhost", "dev.local"))
        assert "not up: nothing listens there" in shown
        wide = [line for line in shown.splitlines() if len(line) > 80 and "sudo tee" not in line]
        assert wide == []
        assert devtls("stop", cwd=project).stdout == f"devtls serve (process {one.process.pid}) has ended.\n"
        assert one.process.wait(PATIENCE_S) == 0
    assert list(runtime.iterdir()) == []
    assert told("status", cwd=project, code=9)["serves"] == []


def test_routes_come_and_go_and_comments_stay(serve: Begin, project: Path) -> None:
    file = project / "devtls.toml"
    file.write_text(FILE)
    one = serve()
    shown = devtls("add", "api", "4000", "--host", "upstream", cwd=project).stdout
    assert 'Added to devtls.toml: api = { target = 4000, host = "upstream" }' in shown
    assert "has applied it" in shown
    assert "api.dev.local" in shown
    assert 'app = 9 # the app\napi = { target = 4000, host = "upstream" }\n\n# rare' in file.read_text()
    (listed,) = told("list", cwd=project)["lists"]
    assert [route["name"] for route in listed["routes"]] == ["app", "api"]
    one.until(lambda: any("devtls add api: 2 routes now." in line for line in one.lines))
    assert "the route is gone" in devtls("remove", "api", cwd=project).stdout
    assert file.read_text() == FILE
    assert [route["name"] for route in told("list", cwd=project)["lists"][0]["routes"]] == ["app"]


def test_a_temporary_route_is_gone_after_the_run(serve: Begin, project: Path) -> None:
    (project / "devtls.toml").write_text(FILE)
    one = serve()
    (answer,) = told("add", "api", "4000", "--temporary", cwd=project)["serves"]
    assert (answer["pid"], answer["route"]["source"]) == (one.process.pid, "temporary")
    assert (project / "devtls.toml").read_text() == FILE
    devtls("reload", cwd=project)
    assert "for this run only" in devtls("list", cwd=project).stdout
    devtls("remove", "api", cwd=project)
    devtls("remove", "api", cwd=project, code=3)
    devtls("add", "api", "4000", "--temporary", cwd=project)
    devtls("stop", cwd=project)
    serve()
    assert [route["name"] for route in told("list", cwd=project)["lists"][0]["routes"]] == ["app"]
    refused = devtls("add", "own", f"unix:{Paths.from_environment().runtime_dir}/x", "--temporary", cwd=project, code=3)
    assert "never behind a route" in refused.stderr


def test_a_mistake_is_told_until_it_is_corrected(serve: Begin, project: Path) -> None:
    file = project / "devtls.toml"
    file.write_text(FILE)
    serve()
    file.write_text("[routes]\napp = -1\n")
    refused = devtls("reload", cwd=project, code=3)
    assert "goes on with its old configuration" in refused.stderr
    assert "devtls.toml:2" in refused.stderr
    assert "Not in effect, since" in devtls("status", cwd=project).stdout
    file.write_text(FILE)
    assert "has read everything again" in devtls("reload", cwd=project).stdout
    assert told("status", cwd=project)["serves"][0]["reload_error"] is None


def test_a_killed_serve_disturbs_nobody(serve: Begin, project: Path, runtime: Path, files: str) -> None:
    one = serve("app=9")
    (left,) = runtime.glob(files)
    one.process.send_signal(signal.SIGKILL)
    one.process.wait(PATIENCE_S)
    assert left.exists()
    assert told("status", cwd=project, code=9)["serves"] == []
    devtls("stop", cwd=project, code=9)
    two = serve("app=9")
    (found,) = told("status", cwd=project)["serves"]
    assert found["pid"] == two.process.pid
    two.until(lambda: not left.exists())


def test_two_serves_of_one_user(serve: Begin, project: Path, home: Path) -> None:
    other = home / "other"
    other.mkdir()
    for directory in (project, other):
        (directory / "devtls.toml").write_text(FILE)
    one, two = serve(cwd=project), serve(cwd=other)
    pids = {one.process.pid, two.process.pid}
    assert {each["pid"] for each in told("status", cwd=home)["serves"]} == pids
    refused = devtls("stop", cwd=home, code=7)
    assert "2 of them run" in refused.stderr
    assert "devtls stop --pid" in refused.stderr
    (answer,) = told("add", "api", "5", cwd=other)["serves"]
    assert answer["pid"] == two.process.pid
    port = str(one.port)
    second = devtls("serve", "--alone", "--no-redirect", "--https-port", port, "web=./site", cwd=home, code=5)
    assert f"your other devtls serve (process {one.process.pid}) has it" in second.stderr
    assert "devtls serve web=./site   joins that one, without --alone" in second.stderr
    again = devtls("serve", "--no-redirect", "--https-port", port, cwd=project, code=10)
    assert f"{project}/devtls.toml already" in again.stderr
    assert f"(process {two.process.pid}) has ended" in devtls("stop", cwd=other).stdout
    assert {each["pid"] for each in told("status", cwd=home)["serves"]} == {one.process.pid}
    elsewhere = devtls("add", "new", "5", cwd=other).stdout
    assert "so nothing changes there" in elsewhere


def test_stop_lets_requests_finish_and_now_does_not(serve: Begin, project: Path) -> None:
    grace_s = 60
    (project / "devtls.toml").write_text(f"[limits]\nshutdown_grace_s = {grace_s}\n")
    with socket.create_server(("127.0.0.1", 0)) as app:
        one = serve(f"app={app.getsockname()[1]}")
        argv = ["-c", _REQUEST, str(one.port)]
        client = subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE)
        app.settimeout(PATIENCE_S)
        connection, _ = app.accept()
        with connection:
            connection.recv(65536)
            began = time.monotonic()
            devtls("stop", "--now", cwd=project)
            assert time.monotonic() - began < grace_s / 2, "it waited for the request"
        client.communicate(timeout=PATIENCE_S)
        assert one.process.wait(PATIENCE_S) is not None


_REQUEST = """
import socket, ssl, sys
context = ssl._create_unverified_context()
raw = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
with context.wrap_socket(raw, server_hostname="app.dev.local") as client:
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: app.dev.local\\r\\n\\r\\n")
    try:
        client.recv(1)
    except OSError:
        pass
"""


@pytest.mark.parametrize("files", ["socket"], indirect=True)
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
def test_another_user_is_refused_by_mode_and_by_name(serve: Begin, project: Path, runtime: Path, home: Path) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is not installed: apt install util-linux")
    serve("app=9")
    (path,) = runtime.glob("control-*.sock")
    ask = [setpriv, "--reuid", "65534", "--clear-groups", shutil.which("python3", path="/usr/bin") or sys.executable]
    ask += ["-c", _KNOCK, str(path)]
    assert "Permission denied" in subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    for directory in (home, *(each for each in runtime.parents if each.is_relative_to(home)), runtime):
        directory.chmod(0o755)
    path.chmod(0o666)
    answer = subprocess.run(ask, capture_output=True, text=True, check=False).stdout
    assert "403" in answer
    assert "another user" in answer
    assert len(told("status", cwd=project)["serves"]) == 1


_KNOCK = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
try:
    client.connect(sys.argv[1])
    client.sendall(b"GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    while data := client.recv(65536):
        print(data.decode())
except OSError as error:
    print(error)
"""
