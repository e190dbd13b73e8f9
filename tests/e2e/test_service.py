"""`devtls service` with a real systemd: the unit that is installed starts a devtls that answers."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.e2e.serving import DEVTLS
from tests.e2e.systemd import HOMES, Manager, system_manager, user_manager
from tests.e2e.waiting import until
from tests.locks import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home folder with a space in its name, and a module that `python -m` must not find there."""
    directory = tmp_path / "my home"
    directory.mkdir()
    (directory / "asyncio.py").write_text("raise SystemExit('the wrong asyncio')\n")
    return directory


@pytest.fixture
def manager(home: Path, tmp_path: Path) -> Iterator[Manager]:
    with user_manager(home, tmp_path / "systemd.log") as running:
        yield running


def write_config(home: Path) -> int:
    port, file = free_port(), home / ".config/devtls/devtls.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        f"[serve]\nhttps_port = {port}\nredirect = false\n[dns]\nenabled = false\n"
        f"[pac]\nport = {free_port()}\n[routes]\napp = 9\n"
    )
    return port


async def answers(port: int, root: Path) -> bool:
    """Say whether a browser would get an answer (a 502, since no app is there) under the name."""
    context = ssl.create_default_context(cafile=str(root))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="app.dev.local")
    writer.write(b"GET / HTTP/1.1\r\nHost: app.dev.local\r\nConnection: close\r\n\r\n")
    head = await reader.readuntil(b"\r\n")
    writer.close()
    return head.startswith(b"HTTP/1.1 502 ")


async def test_the_service_runs_survives_and_goes(manager: Manager, home: Path, tmp_path: Path) -> None:
    port = write_config(home)
    unit = home / ".config/systemd/user/devtls.service"
    assert "devtls runs as a service (process " in manager.run(*DEVTLS, "service", "install", "--yes")
    assert manager.property("StatusText") == f"Serving https on port {port}, 1 route"
    assert (manager.property("ActiveState"), manager.property("UnitFileState")) == ("active", "enabled")
    manager.run(*DEVTLS, "ca", "export", "--out", str(tmp_path / "root.pem"))
    assert await answers(port, tmp_path / "root.pem")

    (told,) = json.loads(manager.run(*DEVTLS, "service", "status", "--json"))["services"]
    assert told["pid"] == told["serve"]["pid"] == int(manager.property("MainPID"))
    assert told["serve"]["https_port"] == port
    second = manager.run(*DEVTLS, "serve", "--https-port", str(port), "--no-redirect", "--alone", "x=1", code=5)
    assert "your devtls service (process" in second
    assert "systemctl --user stop devtls devtls-pac.socket   stops the service" in second

    manager.systemctl("reload", "devtls.service")
    assert manager.property("ActiveState") in ("active", "reloading")
    first = manager.property("MainPID")
    manager.systemctl("kill", "--signal=KILL", "devtls.service")
    await until(
        lambda: manager.property("MainPID") not in ("0", first) and manager.property("ActiveState") == "active",
        lambda: manager.run("systemctl", "--user", "status", "devtls.service", code=3),
        timeout_s=30.0,
    )
    assert await answers(port, tmp_path / "root.pem")

    manager.run(*DEVTLS, "stop")
    await until(lambda: manager.property("ActiveState") == "inactive", lambda: manager.property("ActiveState"))
    assert "does not run" in manager.run(*DEVTLS, "service", "status", code=9)
    manager.run(*DEVTLS, "service", "install", "--yes")
    assert await answers(port, tmp_path / "root.pem")

    manager.run(*DEVTLS, "service", "uninstall", "--yes")
    assert not unit.exists()
    assert not list(unit.parent.rglob("devtls*"))
    assert manager.property("LoadState") == "not-found"
    assert "No service of devtls" in manager.run(*DEVTLS, "service", "uninstall", "--yes")


async def test_the_port_of_the_pac_file_stays_held_while_the_service_is_down(manager: Manager, home: Path) -> None:
    """A browser's proxy setting names it, and it is above 1023: any user could take it."""
    write_config(home)
    port = int(re.findall(r"\[pac\]\nport = (\d+)", (home / ".config/devtls/devtls.toml").read_text())[0])
    manager.run(*DEVTLS, "service", "install", "--yes")
    await until(lambda: fetched(port), lambda: manager.run(*DEVTLS, "service", "status"))
    assert manager.property("ActiveState", "devtls-pac.socket") == "active"
    manager.run(*DEVTLS, "stop")
    await until(lambda: manager.property("ActiveState") == "inactive", lambda: manager.property("ActiveState"))
    assert not may_be_taken(port)
    # The first request starts devtls, and is answered.
    assert await asyncio.to_thread(fetched, port)
    assert manager.property("ActiveState") == "active"
    manager.run(*DEVTLS, "service", "uninstall", "--yes")
    assert not list((home / ".config/systemd/user").rglob("devtls*"))
    assert may_be_taken(port)


def may_be_taken(port: int) -> bool:
    """Say whether another process could listen on a port."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections do not count
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def fetched(port: int) -> bool:
    """Say whether the PAC file is served, be it after a while."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/proxy.pac", timeout=30) as answer:
            return f"PROXY 127.0.0.1:{port}".encode() in answer.read()
    except OSError:
        return False


async def test_a_service_that_cannot_start_is_reported_and_leaves_no_loop(manager: Manager, home: Path) -> None:
    port = write_config(home)

    def shown() -> str:
        return manager.run(*DEVTLS, "service", "status", "--json", code=9)

    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
    async with server:
        said = await asyncio.to_thread(manager.run, *DEVTLS, "service", "install", "--yes", code=1)
        # While it is being started once more there is no trouble; with the port free that start would succeed.
        await until(lambda: json.loads(shown())["services"][0]["trouble"], shown, timeout_s=30.0)
    assert "The service was not installed" in said
    assert "journalctl --user -u devtls" in said
    assert "doctor" not in said
    manager.run(*DEVTLS, "service", "uninstall", "--yes")


TAKE_SOCKETS = """\
import os, pwd, sys
from pathlib import Path
from devtls.system.machine.execute import ProcessRunner, execute
from devtls.system.machine.plan import ALREADY_ROOT
from devtls.system.changes.service.socket_unit import SocketUnit
from devtls.system.changes.change import User, DesiredState
from devtls.system.machine.machine import Machine

command, home, user = sys.argv[1], Path(sys.argv[2]), pwd.getpwnam("daemon")
runner = ProcessRunner(ALREADY_ROOT)
change = SocketUnit(Machine.redirected(Path("/"), home, {}, elevation=ALREADY_ROOT), runner)
desired = DesiredState(
    User("daemon", user.pw_uid, user.pw_gid, home), (), (),
    command=(sys.executable, "-m", "devtls"),
    environment={f"DEVTLS_{name}_DIR": str(home / name.lower()) for name in ("STATE", "CONFIG")},
)
facts = change.probe()
plan = change.apply_plan(facts, desired) if command == "install" else change.revert_plan(facts, {})
assert plan
outcome = execute(plan, runner)
assert outcome.done, outcome
print(change.state(change.probe(), desired).status.value)
"""


def test_the_systems_sockets_start_a_devtls_of_the_user(tmp_path: Path) -> None:
    """From an empty folder of units to a page on port 443, served by a process without a single capability."""
    if any(Path(place).resolve().is_relative_to("/tmp") for place in (sys.prefix, __file__)):
        pytest.skip("this checkout lies in /tmp, and the unit has a /tmp of its own (PrivateTmp)")
    home = f"{HOMES}/my home"
    take = (sys.executable, "-P", "-c", TAKE_SOCKETS)
    with system_manager(tmp_path / "systemd.log") as manager:
        manager.run("mkdir", "-p", f"{home}/config")
        manager.run("sh", "-c", 'printf "[routes]\napp = 9\n" > "$1"', "sh", f"{home}/config/devtls.toml")
        manager.run("install", "-d", "-o", "daemon", "-m", "0700", f"{home}/state")
        assert manager.run(*take, "install", home) == "applied\n"
        assert manager.property("ActiveState", "devtls.socket") == "active"
        assert manager.property("MainPID") == "0"

        curl = ("curl", "--silent", "--insecure", "--max-time", "60", "--output", "/dev/null", "--write-out")
        page = ("%{http_code}", "--resolve", "app.dev.local:443:127.0.0.1,::1", "https://app.dev.local/")
        assert manager.run(*curl, *page, "--ipv4") == "502"
        assert manager.run(*curl, *page, "--ipv6") == "502"
        plain = ("%{http_code} %{redirect_url}", "--header", "Host: app.dev.local", "http://127.0.0.1/")
        assert manager.run(*curl, *plain) == "307 https://app.dev.local/"

        pid = manager.property("MainPID")
        status = manager.run("cat", f"/proc/{pid}/status")
        assert "\nUid:\t1\t1\t1\t1\n" in status
        assert "\nCapBnd:\t0000000000000000\n" in status
        assert "\nNoNewPrivs:\t1\n" in status
        assert manager.property("StatusText") == "Serving https on port 443, 1 route"

        manager.systemctl("reload", "devtls.service")
        manager.systemctl("stop", "devtls.service")
        assert manager.run(*curl, *page, "--ipv4") == "502"
        assert manager.property("MainPID") not in ("0", pid)
        assert manager.run(*take, "uninstall", home) == "absent\n"
        assert manager.run("find", "/etc/systemd/system", "-type", "f") == ""
        assert manager.property("ActiveState") == "inactive"
