"""Which ports the proxy gets; what the system says about low ports is played by the test."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import pytest

from devtls.config import ServeConfig
from devtls.daemon import listeners
from devtls.errors import DevtlsError, PortInUse, Refused
from devtls.net.bind import Bound, Origin, PortForbidden
from tests.system.sockets import given


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


def play(monkeypatch: pytest.MonkeyPatch, system: System, redirected: Sequence[int] = ()) -> None:
    monkeypatch.setattr(listeners, "bind", system.bind)
    monkeypatch.setattr(listeners, "is_listened_to", lambda port: port in system.taken)
    monkeypatch.setattr(listeners, "is_redirected_here", lambda bound, port: port in (bound.port, *redirected))
    monkeypatch.setattr(listeners, "port_holder", lambda port: f"nginx (process {port})")


def test_the_usual_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System())
    bound = listeners.bind_listeners(ServeConfig())
    assert (bound.https.port, bound.http and bound.http.port) == (443, 80)
    assert bound.notes == ("No IPv6 on this machine: listening on 127.0.0.1 alone.",)
    bound.close()


def test_low_ports_that_are_closed_have_a_stand_in_for_https_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443, 80]))
    bound = listeners.bind_listeners(ServeConfig())
    assert (bound.https.port, bound.http) == (8443, None)
    assert bound.notes == (
        "Port 443 is closed to this user, so it is 8443. To get it: devtls setup ports",
        "Port 80 is closed to this user: http:// addresses are not redirected.",
    )
    assert (bound.https_port, bound.http_port) == (8443, None)


def test_a_taken_443_stops_and_says_by_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[443]))
    with pytest.raises(PortInUse, match=r"Port 443 is taken: nginx \(process 443\) has it\.") as caught:
        listeners.bind_listeners(ServeConfig())
    assert "--https-port 8443" in caught.value.hint
    assert "stop" in caught.value.hint


def test_https_on_port_80_needs_no_second_listener_there(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System())
    bound = listeners.bind_listeners(ServeConfig(https_port=80))
    assert (bound.https.port, bound.http, bound.notes) == (80, None, ())


def test_a_443_that_another_devtls_has_may_be_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[443]))
    monkeypatch.setattr(listeners, "port_holder", lambda port: f"devtls (process {port})")
    with pytest.raises(PortInUse) as caught:
        listeners.bind_listeners(ServeConfig())
    assert caught.value.hint == "give that one your routes too, or --https-port 8443"


def test_a_port_that_was_asked_for_has_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[444], taken=[445]))
    with pytest.raises(PortForbidden):
        listeners.bind_listeners(ServeConfig(https_port=444))
    with pytest.raises(PortInUse):
        listeners.bind_listeners(ServeConfig(https_port=445))


@pytest.mark.parametrize("system", [System(taken=[80]), System(broken=[80])])
def test_port_80_is_never_worth_a_stop(monkeypatch: pytest.MonkeyPatch, system: System) -> None:
    play(monkeypatch, system)
    bound = listeners.bind_listeners(ServeConfig(https_port=9443))
    assert bound.http is None
    assert "not redirected" in bound.notes[0]


def test_a_redirect_port_that_was_asked_for_is(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[8080]))
    with pytest.raises(PortInUse, match="8080"):
        listeners.bind_listeners(ServeConfig(http_port=8080))


def test_without_redirect_there_is_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    play(monkeypatch, system)
    listeners.bind_listeners(ServeConfig(redirect=False))
    assert system.open == [443]


def test_the_real_holder_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUse) as caught:
        listeners.bind_listeners(ServeConfig(https_port=taken.getsockname()[1], redirect=False))
    assert f"process {os.getpid()}" in caught.value.holder


def test_both_families_have_the_same_free_port() -> None:
    bound = listeners.bind_listeners(ServeConfig(https_port=0, http_port=0))
    assert bound.https.port not in (0, bound.http and bound.http.port)
    assert len({sock.getsockname()[1] for sock in bound.https.sockets}) == 1
    bound.close()


# -- a redirect of the system's ---------------------------------------------------------------------------------------


def test_a_redirected_443_is_the_port_in_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443, 80]), redirected=[443])
    bound = listeners.bind_listeners(ServeConfig())
    assert (bound.https.port, bound.https_port, bound.https.origin) == (8443, 443, Origin.REDIRECTED)
    assert bound.http_port is None
    assert bound.notes == ("Port 80 is closed to this user: http:// addresses are not redirected.",)


def test_a_redirected_80_needs_no_second_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, (system := System(closed=[443, 80])), redirected=[443, 80])
    bound = listeners.bind_listeners(ServeConfig())
    assert (bound.https_port, bound.http, bound.http_port, bound.notes) == (443, None, 80, ())
    assert system.open == [8443]


def test_a_redirected_443_that_was_asked_for_is_that_port(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443]), redirected=[443])
    assert listeners.bind_listeners(ServeConfig(https_port=443, redirect=False)).https_port == 443
    play(monkeypatch, System(closed=[443]))
    with pytest.raises(PortForbidden) as caught:
        listeners.bind_listeners(ServeConfig(https_port=443, redirect=False))
    assert caught.value.hint == "devtls setup ports"


def test_a_program_of_roots_on_443_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel forbids the port before it says that it is taken."""
    play(monkeypatch, System(closed=[443], taken=[443]), redirected=[443])
    assert listeners.bind_listeners(ServeConfig(redirect=False)).https_port == 8443


# -- macOS ------------------------------------------------------------------------------------------------------------


def bound_to_every_address(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the system be a Mac, and return the ports that were bound on every address."""
    asked: list[int] = []

    def bind_all_addresses(port: int) -> Bound:
        asked.append(port)
        return Bound(port, [], origin=Origin.ALL_ADDRESSES)

    monkeypatch.setattr(listeners.sys, "platform", "darwin")  # type: ignore[attr-defined]  # sys is what ports imports
    monkeypatch.setattr(listeners, "bind_all_addresses", bind_all_addresses)
    return asked


def test_macos_gives_low_ports_on_every_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443, 80]))
    asked = bound_to_every_address(monkeypatch)
    bound = listeners.bind_listeners(ServeConfig())
    assert asked == [443, 80]
    assert (bound.https_port, bound.http_port, bound.notes) == (443, 80, ())
    assert bound.https.origin is Origin.ALL_ADDRESSES


def test_macos_gives_no_more_addresses_than_were_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443]))
    asked = bound_to_every_address(monkeypatch)
    assert listeners.bind_listeners(ServeConfig(listen=("127.0.0.1",), redirect=False)).https_port == 8443
    assert asked == []


def test_a_socket_of_root_on_the_address_itself_comes_first_on_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443]))
    bound_to_every_address(monkeypatch)
    monkeypatch.setattr(listeners, "is_redirected_here", lambda _bound, _port: False)
    with pytest.raises(PortInUse, match="Port 443 is taken"):
        listeners.bind_listeners(ServeConfig(redirect=False))


def test_windows_forbids_what_it_keeps_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(closed=[443, 9443]))
    monkeypatch.setattr(listeners.sys, "platform", "win32")  # type: ignore[attr-defined]  # sys is what ports imports
    assert (
        "netsh interface ipv4 show excludedportrange" in listeners.bind_listeners(ServeConfig(redirect=False)).notes[0]
    )
    with pytest.raises(PortForbidden) as caught:
        listeners.bind_listeners(ServeConfig(https_port=9443))
    assert "netsh" in caught.value.hint


# -- sockets that were handed over ------------------------------------------------------------------------------------


def test_activated_sockets_are_not_bound_again(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, (system := System(closed=[443, 80])))
    with given(monkeypatch, "127.0.0.1", "::1", names=("https", "https")) as listening:
        bound = listeners.bind_listeners(ServeConfig(redirect=False))
        assert bound.https_port == min(sock.getsockname()[1] for sock in listening)
        assert bound.https.origin is Origin.INHERITED
        assert bound.https.addresses == ("127.0.0.1", "::1")
        assert system.open == []
        bound.close()
        assert listening[0].getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_without_a_socket_for_http_port_80_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, (system := System()))
    with given(monkeypatch, "127.0.0.1", names=("https",)):
        bound = listeners.bind_listeners(ServeConfig())
        assert (system.open, bound.http_port) == ([80], 80)
        bound.close()


def test_a_socket_for_http_alone_leaves_https_to_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, (system := System()))
    with given(monkeypatch, "127.0.0.1", names=("http",)) as listening:
        bound = listeners.bind_listeners(ServeConfig())
        assert (system.open, bound.http_port) == ([443], listening[0].getsockname()[1])
        bound.close()


def test_activated_sockets_are_closed_when_the_start_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[8080]))
    with given(monkeypatch, "127.0.0.1", names=("https",)) as listening:
        port = listening[0].getsockname()[1]
        with pytest.raises(PortInUse):
            listeners.bind_listeners(ServeConfig(http_port=8080))
        listening[0].close()
        socket.create_server(("127.0.0.1", port)).close()  # nobody holds it any more


def test_a_socket_that_other_machines_reach_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System())
    with given(monkeypatch, "0.0.0.0", names=("https",)), pytest.raises(Refused, match="open to other machines"):
        listeners.bind_listeners(ServeConfig())


def test_ports_that_were_closed_are_taken_when_they_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(closed=[443, 80])
    play(monkeypatch, system)
    bound = listeners.bind_listeners(ServeConfig())
    assert bound.forbidden == {443, 80}
    assert listeners.bind_forbidden(bound) == bound
    system.closed = [80]
    bound = listeners.bind_forbidden(bound)
    assert (bound.https_port, bound.former and bound.former.port, bound.http) == (443, 8443, None)
    assert [note for note in bound.notes if "443" in note] == []
    system.closed = []
    bound = listeners.bind_forbidden(bound)
    assert (bound.https_port, bound.http and bound.http.port) == (443, 80)
    assert (bound.former and bound.former.port, bound.notes, bound.forbidden) == (8443, (), frozenset())
    bound.close()


def test_a_port_that_somebody_else_has_by_then_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System(closed=[443, 80])
    play(monkeypatch, system)
    bound = listeners.bind_listeners(ServeConfig())
    system.closed, system.taken = [], [443, 80]
    bound = listeners.bind_forbidden(bound)
    assert (bound.https.port, bound.forbidden) == (8443, frozenset())
    # While nginx restarts its port is free for a moment.
    system.taken = []
    assert listeners.bind_forbidden(bound).https.port == 8443


def test_a_port_that_was_asked_for_or_taken_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, System(taken=[80]))
    assert listeners.bind_listeners(ServeConfig()).forbidden == frozenset()
    assert listeners.bind_listeners(ServeConfig(https_port=9443)).forbidden == frozenset()
    play(monkeypatch, System(closed=[443, 80]), redirected=[443, 80])
    assert listeners.bind_listeners(ServeConfig()).forbidden == frozenset()
