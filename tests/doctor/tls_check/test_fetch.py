from __future__ import annotations

import socket
import threading
import time

import pytest

from devtls.doctor.tls_check import fetch
from devtls.doctor.tls_check.fetch import Fetcher, NotFetched
from tests.doctor.tls_check.pki import accepting, publishing


def not_fetched(url: str, *, timeout_s: float = 5, private: bool = True) -> str:
    with pytest.raises(NotFetched) as caught:
        Fetcher(timeout_s, private).fetch(url)
    return str(caught.value)


def test_it_fetches_what_is_there() -> None:
    with publishing({"/list?n=1": b"content"}) as site:
        assert Fetcher(5, private=True).fetch(f"{site}/list?n=1") == b"content"
        assert "answered 404" in not_fetched(f"{site}/other")


def test_a_private_address_is_closed_to_a_public_server() -> None:
    asked: list[bytes] = []
    with publishing({"/list": b"content"}, asked) as site:
        assert "leads into a private network" in not_fetched(f"{site}/list", private=False)
    assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://x.test/l",
        "file:///etc/passwd",
        "http:///l",
        "http://127.0.0.1/a b",
        "http://[::1/l",
        "http://127.0.0.1:99999/l",
        "http://127.0.0.1/ü",
        "http://127.0.0.1/a\r\nX: y",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    assert "is not fetched" in not_fetched(url) or "is no address" in not_fetched(url)


def test_a_redirect_is_not_followed() -> None:
    def redirect(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")

    with accepting(redirect) as port:
        assert "answered 302" in not_fetched(f"http://127.0.0.1:{port}/list")


def test_a_long_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "LARGEST", 1 << 20)
    with publishing({"/list": b"x" * (1 << 20 | 1)}) as site:
        assert "is longer than 1 MiB" in not_fetched(f"{site}/list")


def test_a_slow_answer_is_given_up_although_it_never_stops() -> None:
    def drip(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x")
            threading.Event().wait(0.02)

    with accepting(drip) as port:
        started = time.monotonic()
        said = not_fetched(f"http://127.0.0.1:{port}/list", timeout_s=0.3)
    assert "too slow" in said or "did not answer" in said
    assert time.monotonic() - started < 3


def test_a_closed_port_and_what_is_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "cannot be reached" in not_fetched(f"http://127.0.0.1:{port}/list")
    with accepting(lambda connection: connection.sendall(b"SSH-2.0-x\r\n")) as port:
        assert "did not answer" in not_fetched(f"http://127.0.0.1:{port}/list")
