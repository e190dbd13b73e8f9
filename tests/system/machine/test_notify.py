from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devtls.system.machine.notify import Manager, take_manager

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")


@pytest.fixture(params=["path", "abstract"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """The manager's end: what NOTIFY_SOCKET says, and the socket."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@devtls-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(5)
        channel.bind("\0" + address[1:] if address.startswith("@") else address)
        yield address, channel


def received(channel: socket.socket) -> dict[str, str]:
    return dict(line.split("=", 1) for line in channel.recv(4096).decode().split("\n"))


def test_the_manager_hears_of_start_reload_and_end(listening: tuple[str, socket.socket]) -> None:
    address, channel = listening
    environ = {"NOTIFY_SOCKET": address, "OTHER": "x"}
    manager = take_manager(environ)
    assert manager is not None
    assert environ == {"OTHER": "x"}
    assert take_manager(environ) is None
    manager.ready("Serving\non port 1")
    assert received(channel) == {"READY": "1", "MAINPID": str(os.getpid()), "STATUS": "Serving on port 1"}
    before = time.monotonic_ns() // 1000
    manager.reloading()
    told = received(channel)
    assert told["RELOADING"] == "1"
    assert before <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    manager.stopping(7.5)
    told = received(channel)
    assert (told["STOPPING"], told["EXTEND_TIMEOUT_USEC"]) == ("1", "12500000")


@pytest.mark.parametrize("address", ["", "@", "/", "relative/path", "vsock:2:1234"])
def test_what_is_no_unix_socket_is_no_manager(address: str) -> None:
    assert take_manager({"NOTIFY_SOCKET": address}) is None


def test_a_manager_that_is_gone_or_does_not_read_stops_nobody(tmp_path: Path) -> None:
    Manager(str(tmp_path / "nobody")).ready("x")
    Manager("/" + "x" * 300).ready("x")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full:
        full.bind(str(tmp_path / "full"))
        for _ in range(1000):  # net.unix.max_dgram_qlen is 10 to 512
            Manager(str(tmp_path / "full")).ready("x")
        assert full.recv(4096).startswith(b"READY=1")
