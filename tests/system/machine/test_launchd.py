"""launchd's sockets, from a stand-in for libSystem that fills memory as the manual page says."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

import pytest

from devtls.errors import Refused
from devtls.system.machine import launchd
from devtls.system.machine.launchd import started_by_launchd, take_launchd_sockets
from tests.system.sockets import open_server

_ENOENT, _ESRCH = 2, 3


class LibSystem:
    """Plays launch_activate_socket and free: names with descriptors, or one errno for all."""

    def __init__(self, sockets: Mapping[str, list[int]], errno: int = 0) -> None:
        self.sockets, self.errno = sockets, errno
        self.arrays: dict[int, Any] = {}
        self.freed: list[int] = []

    def launch_activate_socket(self, name: bytes, descriptors: Any, count: Any) -> int:
        if self.errno:
            return self.errno
        if name.decode() not in self.sockets:
            return _ENOENT
        numbers = self.sockets[name.decode()]
        array = (ctypes.c_int * len(numbers))(*numbers)
        self.arrays[ctypes.addressof(array)] = array
        descriptors._obj.contents = array._type_.from_buffer(array)
        count._obj.value = len(numbers)
        return 0

    def free(self, pointer: Any) -> None:
        self.freed.append(pointer.value)


def test_each_name_of_the_agent_has_its_sockets_and_the_memory_is_given_back() -> None:
    with open_server("127.0.0.1") as first, open_server("::1") as second, open_server("127.0.0.1") as third:
        numbers = [os.dup(sock.fileno()) for sock in (first, second, third)]
        system = LibSystem({"https": numbers[:2], "http": numbers[2:]})
        inheritance = take_launchd_sockets(system)
        got = [(handed.name, handed.sock.getsockname()) for handed in inheritance.sockets]
        assert got == [
            ("https", first.getsockname()),
            ("https", second.getsockname()),
            ("http", third.getsockname()),
        ]
        assert sorted(system.freed) == sorted(system.arrays)
        assert len(system.freed) == 2
    for handed in inheritance.sockets:
        assert not handed.sock.get_inheritable()
        handed.sock.close()


def test_an_agent_without_sockets_for_http_has_those_for_https() -> None:
    with open_server("127.0.0.1") as sock:
        inheritance = take_launchd_sockets(LibSystem({"https": [os.dup(sock.fileno())]}))
    assert [handed.name for handed in inheritance.sockets] == ["https"]
    inheritance.sockets[0].sock.close()


def test_a_process_that_launchd_did_not_start_has_none() -> None:
    system = LibSystem({}, errno=_ESRCH)
    assert take_launchd_sockets(system).sockets == ()
    assert system.freed == []


def test_an_agent_that_is_open_to_other_machines_is_refused() -> None:
    with open_server("0.0.0.0") as sock, pytest.raises(Refused, match="open to other machines"):
        take_launchd_sockets(LibSystem({"https": [os.dup(sock.fileno())]}))


@pytest.mark.parametrize(
    ("platform", "parent", "is_so"), [("darwin", 1, True), ("darwin", 2, False), ("linux", 1, False)]
)
def test_launchds_child_is_known_by_its_parent(
    monkeypatch: pytest.MonkeyPatch, platform: str, parent: int, is_so: bool
) -> None:
    monkeypatch.setattr(launchd.os, "getppid", lambda: parent)  # type: ignore[attr-defined]  # os is what it imports
    assert started_by_launchd(platform) is is_so
