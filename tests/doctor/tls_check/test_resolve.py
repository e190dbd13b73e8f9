from __future__ import annotations

import socket
import threading
import time

import pytest

from devtls.doctor.tls_check.resolve import CannotReach, accepts, connect, resolve


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("nobody may be asked")


def test_names_below_localhost_are_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert resolve("app.localhost", 1) == resolve("localhost", 1) == ("127.0.0.1", "::1")


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(5) and [])
    started = time.monotonic()
    with pytest.raises(CannotReach) as caught:
        resolve("app.dev.local", 0.1)
    over.set()
    assert time.monotonic() - started < 2
    assert (str(caught.value), caught.value.resolved) == ("its name servers do not answer", False)


def test_the_second_address_is_tried_when_the_first_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("devtls.doctor.tls_check.resolve._LOOPBACK", ("127.0.0.2", "127.0.0.1"))
        port = server.getsockname()[1]
        connect("localhost", port, 1).close()
        assert accepts("localhost", port, 1)
    with pytest.raises(CannotReach) as caught:
        connect("localhost", port, 1)
    assert (caught.value.refused, caught.value.ip) == (True, "127.0.0.2")
