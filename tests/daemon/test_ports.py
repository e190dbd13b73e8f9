"""Which ports the proxy gets; what the system says about low ports is played by the test."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import pytest

from devtls.config import ServeConfig
from devtls.daemon import ports
from devtls.errors import DevtlsError, PortInUse
from devtls.net.listener import Bound, PortForbidden


class System:
    """Plays `bind`: `closed` ports are forbidden, `taken` ones in use."""

    def __init__(self, closed: Sequence[int] = (), taken: Sequence[int] = (), broken: Sequence[int] = ()) -> None:
        self.closed, self.taken, self.broken = closed, taken, broken
        self.open: list[int] = []

    def bind(self, port: int, addresses: Sequence[str]) -> Bound:
        if port in self.closed:
            raise PortForbidden("no")
        if port in self.taken:
            raise PortInUse("taken", port=port)
        if port in self.broken:
            raise DevtlsError("Cannot listen on 127.0.0.1:80: broken.")
        self.open.append(port)
        return Bound(port, [], "no IPv6 on this machine: listening on 127.0.0.1 alone" if port == 443 else "")


def play(monkeypatch: pytest.MonkeyPatch, system: System) -> None:
    monkeypatch.setattr(ports, "bind", system.bind)
    monkeypatch.setattr(ports, "port_holder", lambda port: f"nginx (process {port})")


def test_the_usual_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System())
    doors = ports.open_doors(ServeConfig())
    assert (doors.https.port, doors.http and doors.http.port) == (443, 80)
    assert doors.notes == ("No IPv6 on this machine: listening on 127.0.0.1 alone.",)
    doors.close()


def test_low_ports_that_are_closed_have_a_stand_in_for_https_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443, 80]))
    doors = ports.open_doors(ServeConfig())
    assert (doors.https.port, doors.http) == (8443, None)
    assert "sysctl" in doors.notes[0]
    assert "not redirected" in doors.notes[1]


def test_a_taken_443_stops_and_says_by_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[443]))
    with pytest.raises(PortInUse, match=r"Port 443 is taken: nginx \(process 443\) has it\.") as caught:
        ports.open_doors(ServeConfig())
    assert "--https-port 8443" in caught.value.hint
    assert "stop" in caught.value.hint


def test_https_on_port_80_needs_no_second_listener_there(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System())
    doors = ports.open_doors(ServeConfig(https_port=80))
    assert (doors.https.port, doors.http, doors.notes) == (80, None, ())


def test_a_443_that_another_devtls_has_may_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[443]))
    monkeypatch.setattr(ports, "port_holder", lambda port: f"devtls (process {port})")
    with pytest.raises(PortInUse) as caught:
        ports.open_doors(ServeConfig())
    assert caught.value.hint == "give that one your routes too, or --https-port 8443"


def test_a_port_that_was_asked_for_has_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[444], taken=[445]))
    with pytest.raises(PortForbidden):
        ports.open_doors(ServeConfig(https_port=444))
    with pytest.raises(PortInUse):
        ports.open_doors(ServeConfig(https_port=445))


@pytest.mark.parametrize("system", [System(taken=[80]), System(broken=[80])])
def test_port_80_is_never_worth_a_stop(monkeypatch: pytest.MonkeyPatch, system: System) -> None:
    play(monkeypatch, system)
    doors = ports.open_doors(ServeConfig(https_port=9443))
    assert doors.http is None
    assert "not redirected" in doors.notes[0]


def test_a_redirect_port_that_was_asked_for_is(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[8080]))
    with pytest.raises(PortInUse, match="8080"):
        ports.open_doors(ServeConfig(http_port=8080))


def test_without_redirect_there_is_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    play(monkeypatch, system)
    ports.open_doors(ServeConfig(redirect=False))
    assert system.open == [443]


def test_the_real_holder_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUse) as caught:
        ports.open_doors(ServeConfig(https_port=taken.getsockname()[1], redirect=False))
    assert f"process {os.getpid()}" in caught.value.holder


def test_both_families_have_the_same_free_port() -> None:
    doors = ports.open_doors(ServeConfig(https_port=0, http_port=0))
    assert doors.https.port not in (0, doors.http and doors.http.port)
    assert len({sock.getsockname()[1] for sock in doors.https.sockets}) == 1
    doors.close()
