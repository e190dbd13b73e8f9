"""Control ports: what their files say, and what killed processes leave."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from devtls.errors import StateError
from devtls.system.control import channel as control_channel
from devtls.system.control.channel import end_by_force, find_channels, is_gone, open_channel, remove_leftovers
from devtls.system.control.port import ControlPort, find_control_ports, open_control_port


@pytest.fixture(autouse=True)
def by_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_channel, "uses_ports", lambda: True)


@pytest.fixture
def runtime(home: Path) -> Path:
    return home / "run/devtls"


def test_port_and_token_are_in_a_file_of_ours_alone(runtime: Path) -> None:
    place, listening = open_channel(runtime)
    assert isinstance(place, ControlPort)
    with listening:
        assert listening.getsockname() == ("127.0.0.1", place.port)
        assert (place.pid, len(place.token)) == (os.getpid(), 32)
        assert place.path.stat().st_mode & 0o777 == 0o600
        assert runtime.stat().st_mode & 0o777 == 0o700
        assert find_channels(runtime) == [place]
        place.connect(1.0).close()
        assert not is_gone(place)
    assert is_gone(place)
    place.path.unlink()
    assert is_gone(place)


def test_tokens_differ(runtime: Path) -> None:
    (one, first), (two, second) = open_control_port(runtime), open_control_port(runtime)
    with first, second:
        assert one.token != two.token
        assert {each.port for each in find_control_ports(runtime)} == {one.port, two.port}


def test_a_token_that_others_could_read_is_not_used(runtime: Path) -> None:
    place, listening = open_control_port(runtime)
    with listening:
        place.path.chmod(0o644)
        with pytest.raises(StateError, match="open to other users"):
            find_channels(runtime)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 1, "port": 1, "token": "zz"}'])
def test_a_file_that_says_nothing_is_passed_over(runtime: Path, content: bytes) -> None:
    place, listening = open_control_port(runtime)
    with listening:
        place.path.write_bytes(content)
        assert find_channels(runtime) == []


def test_what_killed_processes_left_is_removed_and_nothing_else(runtime: Path) -> None:
    dead, closed = open_control_port(runtime)
    closed.close()
    living, listening = open_control_port(runtime)
    (runtime / "mine.json").touch()
    with listening:
        remove_leftovers(runtime)
        assert sorted(runtime.iterdir()) == sorted((living.path, runtime / "mine.json"))
    assert not dead.path.exists()


def test_a_directory_that_cannot_be_used_is_named(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(StateError):
        open_control_port(home / "file/run")
    assert find_control_ports(home / "none") == []
    remove_leftovers(home / "none")


def test_a_port_that_nobody_answers_in_time_may_be_somebodys(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object) -> socket.socket:
        raise TimeoutError

    place, listening = open_control_port(runtime)
    with listening:
        monkeypatch.setattr(socket, "create_connection", late)
        assert place.answers()


def test_what_ends_a_process_is_the_systems_own_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert end_by_force(7) == "kill 7"
    monkeypatch.setattr("sys.platform", "win32")
    assert end_by_force(7) == "taskkill /F /PID 7"
