"""Ports are probed without any redirect: the end-to-end test has a real one."""

from __future__ import annotations

import socket

import pytest

from devtls.system.changes.ports import nft
from devtls.system.changes.ports.nft import redirected_ports


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_ports_of_programs_and_of_nobody_are_not_redirected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = (taken.getsockname()[1], free_port())
        assert redirected_ports(ports, free_port()) == frozenset()
        assert redirected_ports(ports, taken.getsockname()[1]) == frozenset()


def test_a_port_that_answers_and_that_nobody_listens_on_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "is_listened_to", lambda _port: False)  # as for a port that the kernel sends elsewhere
    target = free_port()
    with socket.create_server(("127.0.0.1", 0)) as four:
        port = four.getsockname()[1]
        assert redirected_ports([port], target) == frozenset()  # IPv6 is refused
        with socket.create_server(("::1", port), family=socket.AF_INET6):
            assert redirected_ports([port], target) == {port}


def test_a_machine_without_ipv6_is_asked_for_ipv4_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nft, "is_listened_to", lambda _port: False)
    real = socket.create_server

    def without_ipv6(address: tuple[str, int], *, family: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError("no IPv6")
        return real(address, family=family)

    monkeypatch.setattr(socket, "create_server", without_ipv6)
    with real(("127.0.0.1", 0)) as four:
        assert redirected_ports([four.getsockname()[1]], free_port_by(real)) == {four.getsockname()[1]}


def free_port_by(create_server: object) -> int:
    with create_server(("127.0.0.1", 0)) as sock:  # type: ignore[operator]  # socket.create_server
        return int(sock.getsockname()[1])
