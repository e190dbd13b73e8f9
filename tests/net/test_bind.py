from __future__ import annotations

import errno
import socket

import pytest

from devtls.errors import DevtlsError, PortInUse
from devtls.net import bind as bind_module
from devtls.net.bind import PortForbidden, bind


def failing(monkeypatch: pytest.MonkeyPatch, code: int, *addresses: str, times: int = 1000) -> list[tuple[str, int]]:
    """Let binding these addresses fail; return what was asked for."""
    real, asked = bind_module._bind_one, []

    def bind_one(address: str, port: int) -> socket.socket:
        asked.append((address, port))
        if address in addresses and sum(1 for seen, _ in asked if seen == address) <= times:
            raise OSError(code, "made up")
        return real(address, port)

    monkeypatch.setattr(bind_module, "_bind_one", bind_one)
    return asked


def test_both_families_get_the_same_free_port() -> None:
    bound = bind(0)
    assert [sock.getsockname()[:2] for sock in bound.sockets] == [("127.0.0.1", bound.port), ("::1", bound.port)]
    assert bound.port > 0
    assert bound.missing == ""
    bound.close()
    again = bind(bound.port)
    again.close()


def test_a_machine_without_ipv6_gets_127_0_0_1_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EADDRNOTAVAIL, "::1")
    bound = bind(0)
    assert len(bound.sockets) == 1
    assert bound.missing == "no IPv6 on this machine: listening on 127.0.0.1 alone"
    bound.close()


def test_ipv6_alone_is_not_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EAFNOSUPPORT, "::1")
    with pytest.raises(DevtlsError, match=r"Cannot listen on \[::1\]:8443: made up\."):
        bind(8443, ["::1"])


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_taken_port_is_named_and_nothing_stays_bound(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as other:
        other.bind((address, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            bind(port)
    assert caught.value.port == port
    assert str(port) in str(caught.value)
    bind(port).close()


def test_a_forbidden_port_is_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EACCES, "127.0.0.1")
    with pytest.raises(PortForbidden, match=r"127\.0\.0\.1:443"):
        bind(443)


def test_a_free_port_that_is_taken_in_the_other_family_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = failing(monkeypatch, errno.EADDRINUSE, "::1", times=2)
    bound = bind(0)
    bound.close()
    assert [port for address, port in asked if address == "127.0.0.1"] == [0, 0, 0]


def test_no_free_port_at_all_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errno.EADDRINUSE, "127.0.0.1")
    with pytest.raises(PortInUse):
        bind(0)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.1", "169.254.1.1"])
def test_only_loopback_addresses_are_bound(address: str) -> None:
    with pytest.raises(ValueError, match="is not a loopback address"):
        bind(0, ["127.0.0.1", address])
