"""Control sockets: how one comes to be, who is let near it, what a killed process leaves."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.system.control import unix_socket as control_socket
from devtls.system.control.channel import is_gone
from devtls.system.control.unix_socket import (
    ControlSocket,
    connect,
    find_control_sockets,
    open_control_socket,
    peer_of_xucred,
    peer_uid,
    remove_leftovers,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")


@pytest.fixture
def runtime(home: Path) -> Path:
    return home / "run/devtls"


@pytest.fixture
def dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_socket_and_directory_are_ours_alone(runtime: Path) -> None:
    place, listening = open_control_socket(runtime)
    path = place.path
    with listening:
        assert path.stat().st_mode & 0o777 == 0o600
        assert runtime.stat().st_mode & 0o777 == 0o700
        assert find_control_sockets(runtime) == [ControlSocket(path, os.getpid())]
        with connect(path, 1.0) as client:
            assert peer_uid(client) == os.geteuid()
        assert place == ControlSocket(path, os.getpid())
        assert not is_gone(place)
    assert is_gone(place)
    path.unlink()
    assert is_gone(place)


def test_two_sockets_of_one_process_have_different_names(runtime: Path) -> None:
    one, first = open_control_socket(runtime)
    two, second = open_control_socket(runtime)
    with first, second:
        found = {each.path for each in find_control_sockets(runtime)}
        assert found == {one.path, two.path}


@pytest.mark.skipif(sys.platform != "linux", reason="through /proc")
def test_a_path_of_any_length_will_do(tmp_path: Path) -> None:
    runtime = tmp_path / ("x" * 120)
    place, listening = open_control_socket(runtime)
    with listening, place.connect(1.0) as client:
        assert peer_uid(client) == os.geteuid()


def test_nobody_is_found_where_there_is_no_directory(tmp_path: Path) -> None:
    assert find_control_sockets(tmp_path / "none") == []
    remove_leftovers(tmp_path / "none")


def test_a_name_is_only_seen_when_the_socket_listens(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    class Slow(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            seen.append(find_control_sockets(runtime))
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Slow)
    place, listening = open_control_socket(runtime)
    with listening:
        assert seen == [[]]
        assert find_control_sockets(runtime) == [place]


@pytest.mark.parametrize("open_one", [".", ".."])
def test_a_directory_that_others_can_write_is_refused(runtime: Path, open_one: str) -> None:
    place, listening = open_control_socket(runtime)
    with listening:
        (runtime / open_one).resolve().chmod(0o777)
        with pytest.raises(StateError, match="others could put a socket"):
            find_control_sockets(runtime)
        with pytest.raises(StateError, match="others could put a socket"):
            open_control_socket(runtime)
    assert place.path.exists()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="no control socket can be made") as caught:
        open_control_socket(tmp_path / "file/run")
    assert "DEVTLS_RUNTIME_DIR" in caught.value.hint


def test_a_socket_of_another_user_is_not_spoken_to(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, listening = open_control_socket(runtime)
    monkeypatch.setattr(control_socket, "peer_uid", lambda _: os.geteuid() + 1)
    with listening, pytest.raises(StateError, match="belongs to another user"):
        place.connect(1.0)


def test_what_killed_processes_left_is_removed_and_nothing_else(runtime: Path, dead_pid: int) -> None:
    place, listening = open_control_socket(runtime)
    left = runtime / f"control-{dead_pid}-0123abcd.sock"
    half = runtime / f".control-{dead_pid}-0123abce.sock"
    answering = runtime / f"control-{dead_pid}-0123abcf.sock"  # as seen from another container
    living = runtime / f"control-{os.getppid()}-0123abcd.sock"
    other = runtime / "mine.sock"
    for one in (left, half, living, other):
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(one))
    place.path.rename(answering)
    with listening:
        remove_leftovers(runtime)
    assert sorted(runtime.iterdir()) == sorted((answering, living, other))


def test_the_user_in_the_bsd_structure() -> None:
    assert peer_of_xucred(struct.pack("IIh16I", 0, 501, 1, *range(16))) == 501
    with pytest.raises(OSError, match="version 1"):
        peer_of_xucred(struct.pack("II", 1, 501))
