"""Which socket becomes which door."""

from __future__ import annotations

import socket

import pytest

from devtls.config import PacConfig, ServeConfig
from devtls.daemon import activation
from devtls.daemon.activation import ActivatedListeners, sort_out, take_activated_listeners
from devtls.net.bind import Origin
from devtls.system.machine.activation import ActivatedSocket, ActivatedSockets
from tests.system.sockets import given, open_server


class Numbered(socket.socket):
    """A listening socket that says it has another port: 443 is not every test's to bind."""

    number = 0

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", self.number


def activated(number: int, name: str = "") -> ActivatedSocket:
    opened = open_server("127.0.0.1")
    sock = Numbered(opened.family, opened.type, opened.proto, fileno=opened.detach())
    sock.number = number
    return ActivatedSocket(sock, name)


def bound(
    *sockets: ActivatedSocket, serve: ServeConfig | None = None
) -> tuple[int | None, int | None, tuple[str, ...]]:
    """Return the ports of https and http, and the notes."""
    found = sort_out(ActivatedSockets(sockets), serve or ServeConfig(), PacConfig())
    for bound in (found.https, found.http):
        if bound is not None:
            assert bound.origin is Origin.INHERITED
            bound.close()
    https, http = (None if bound is None else bound.port for bound in (found.https, found.http))
    return https, http, found.notes


@pytest.mark.parametrize(
    ("number", "name", "door"),
    [
        (443, "", "https"),
        (8443, "devtls.socket", "https"),
        (10443, "", "https"),
        (80, "", "http"),
        (8080, "unknown", "http"),
        (80, "https", "https"),
        (443, "http", "http"),
        (9000, "https", "https"),
        (9001, "", "https"),
        (9002, "", "http"),
    ],
)
def test_the_name_decides_then_the_port(number: int, name: str, door: str) -> None:
    https, http, _ = bound(activated(number, name), serve=ServeConfig(https_port=9001, http_port=9002))
    assert (https, http) == ((number, None) if door == "https" else (None, number))


def test_the_order_does_not_matter() -> None:
    assert bound(activated(80), activated(443), activated(80), activated(443)) == (443, 80, ())


def test_another_port_is_closed_and_named() -> None:
    other = activated(5432, "postgres")
    https, http, notes = bound(other, activated(443), activated(9000))
    assert (https, http) == (443, None)
    assert notes == (
        "Port 5432 was handed over as 'postgres'; is it https or http? It is closed.",
        "Port 9000 was handed over without a name; is it https or http? It is closed.",
    )
    assert other.sock.fileno() == -1


def test_without_redirect_the_socket_for_http_is_closed() -> None:
    http = activated(80)
    assert bound(activated(443), http, serve=ServeConfig(redirect=False))[:2] == (443, None)
    assert http.sock.fileno() == -1


def test_a_socket_on_another_port_than_the_configured_one_wins_and_says_so() -> None:
    _, _, notes = bound(activated(443), serve=ServeConfig(https_port=9000))
    assert notes == ("https_port is 9000, but the socket that was handed over is on port 443: that one counts.",)
    assert bound(activated(443), serve=ServeConfig(https_port=0))[2] == ()


def test_what_ours_have_theirs_get() -> None:
    only = activated(443)
    found = sort_out(ActivatedSockets((only,)), ServeConfig(), PacConfig())
    assert found.https is not None
    assert only.sock.gettimeout() == 0
    assert only.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        assert only.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 1024 * 1024
    found.https.close()


def test_the_environment_of_this_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with given(monkeypatch, "127.0.0.1", names=("http",)):
        found = take_activated_listeners(ServeConfig(), PacConfig())
        assert found.http is not None
        found.http.close()
    with given(monkeypatch, "127.0.0.1", names=("http",), pid=1):
        assert take_activated_listeners(ServeConfig(), PacConfig()) == ActivatedListeners()


def test_launchds_child_asks_launchd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activation, "started_by_launchd", lambda _platform: True)
    monkeypatch.setattr(activation, "take_launchd_sockets", lambda: ActivatedSockets((activated(443, "https"),)))
    found = take_activated_listeners(ServeConfig(), PacConfig())
    assert found.https is not None
    found.https.close()


@pytest.mark.parametrize(
    ("number", "name", "pac", "held"),
    [
        (9000, "pac", PacConfig(port=9000), True),
        (15354, "", PacConfig(), True),
        (9000, "pac", PacConfig(port=0), True),
        (443, "pac", PacConfig(port=443), True),
        (9000, "pac", PacConfig(), False),
        (15354, "pac", PacConfig(enabled=False), False),
    ],
)
def test_the_port_of_the_pac_file_may_be_activated(number: int, name: str, pac: PacConfig, held: bool) -> None:
    found = sort_out(ActivatedSockets((activated(number, name),)), ServeConfig(), pac)
    assert (found.https, found.http) == (None, None)
    assert (found.pac is not None) is held
    if found.pac is not None:
        assert (found.pac.port, found.notes) == (number, ())
        found.pac.close()
    else:
        assert f"Port {number} was handed over for the PAC file, but [pac] says" in found.notes[0]
        assert "devtls service install writes it anew" in found.notes[0]
