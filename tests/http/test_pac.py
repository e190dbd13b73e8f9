"""The PAC file and the routing of what it leads here: tunnels into our zones, and nothing that an open proxy does."""

from __future__ import annotations

import re

import pytest

from devtls.http.answers import pages
from devtls.http.pac import HEAD_LIMITS, PacScope, PacTunnel, PlainRequest, pac_text, route_request
from devtls.names import Hostname

ZONES = (Hostname("dev.local"), Hostname("localhost"), Hostname("test"))
SCOPE = PacScope(ZONES, frozenset({443, 8443}))
PORT = 15354


def connect(target: str, host: str | None = None, *more: str) -> PacTunnel | PlainRequest | pages.LocalResponse:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target if host is None else host}", *more]
    return route_request("\r\n".join(lines).encode(), SCOPE, PORT)


def request(line: str, *fields: str) -> PacTunnel | PlainRequest | pages.LocalResponse:
    return route_request("\r\n".join([line, *(fields or ["Host: 127.0.0.1:15354"])]).encode(), SCOPE, PORT)


def status(found: PacTunnel | PlainRequest | pages.LocalResponse) -> int:
    assert isinstance(found, pages.LocalResponse), found
    return found.status


@pytest.mark.parametrize(
    "name", ["app.dev.local", "dev.local", "a.b.test", "my_app.test", "APP.Dev.LOCAL", "app.test.", "localhost"]
)
def test_names_in_a_zone_get_a_tunnel(name: str) -> None:
    assert connect(f"{name}:443") == PacTunnel(443)
    assert connect(f"{name}:8443") == PacTunnel(8443)


def test_host_may_be_written_without_its_port_and_http_1_0_has_none() -> None:
    assert connect("app.test:443", "app.test") == PacTunnel(443)
    assert connect("app.test:443", "APP.test:80") == PacTunnel(443)
    assert route_request(b"CONNECT app.test:443 HTTP/1.0", SCOPE, PORT) == PacTunnel(443)
    assert connect("app.test:443", None, "Content-Length: 0", "Proxy-Connection: keep-alive") == PacTunnel(443)


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "dev.local.example.com",
        "evildev.local",
        "local",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "app..test",
        ".test",
        "a+b.test",
        "app%2etest",
        "*.test",
        "-a.test",
    ],
)
def test_every_other_name_and_every_address_is_refused(host: str) -> None:
    found = connect(f"{host}:443")
    assert status(found) == 403
    assert isinstance(found, pages.LocalResponse)
    assert f"devtls leads to names in dev.local, localhost, test, not to {host}.".encode() in found.body
    assert status(request(f"GET http://{host}/ HTTP/1.1")) == 403


@pytest.mark.parametrize("port", [0, 1, 22, 80, 444, 3000, 8080, 15354, 65535, 65536, 99999])
def test_every_other_port_is_refused(port: int) -> None:
    found = connect(f"app.test:{port}")
    assert status(found) == 403
    assert isinstance(found, pages.LocalResponse)
    assert f"Port {port} of app.test is not reached through devtls, only 443 and 8443.".encode() in found.body


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"CONNECT app.test HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT app.test: HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT :443 HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT app.test:443:443 HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT app.test:+443 HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT app.test:443/ HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT user@app.test:443 HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT http://app.test:443 HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT /proxy.pac HTTP/1.1\r\nHost: 127.0.0.1", 400),
        (b"CONNECT app.test:443 HTTP/1.1", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost: example.com:443", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\nHost: app.test", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost: a b", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost : app.test", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\n\nGET / HTTP/1.1", 400),
        (b"CONNECT app.test:443 HTTP/1.1\r\n folded: x", 400),
        (b"CONNECT  app.test:443 HTTP/1.1\r\nHost: app.test", 400),
        (b"CONNECT app.test:443 HTTP/2.0\r\nHost: app.test", 505),
        (b"connect app.test:443 HTTP/1.1\r\nHost: app.test", 400),
        (b"TRACE http://app.test/ HTTP/1.1\r\nHost: app.test", 405),
        (b"GET ftp://app.test/ HTTP/1.1\r\nHost: app.test", 400),
        (b"GET app.test:443 HTTP/1.1\r\nHost: app.test", 400),
        (b"GET http://u@app.test/ HTTP/1.1\r\nHost: app.test", 400),
        (b"\x16\x03\x01", 400),
        (b"", 400),
    ],
)
def test_what_is_doubtful_is_malformed(head: bytes, expected: int) -> None:
    assert status(route_request(head, SCOPE, PORT)) == expected


def test_too_many_fields_are_refused() -> None:
    fields = [f"X-{number}: 1" for number in range(HEAD_LIMITS.max_fields)]
    assert status(connect("app.test:443", None, *fields)) == 431


def test_an_address_in_the_open_gets_what_port_80_answers() -> None:
    found = request("GET http://App.dev.local/a?b HTTP/1.1", "Host: other", "Accept: text/html")
    assert found == PlainRequest("app.dev.local", b"/a?b", b"text/html")
    for port in (80, 443, 8443):
        assert request(f"POST http://app.test:{port} HTTP/1.1") == PlainRequest("app.test", b"/", b"")


def test_an_address_in_the_open_leads_to_no_other_port_and_not_to_tls() -> None:
    assert status(request("GET http://app.test:3000/ HTTP/1.1")) == 403
    found = request("GET https://app.test/ HTTP/1.1")
    assert status(found) == 403
    assert isinstance(found, pages.LocalResponse)
    assert b"CONNECT" in found.body


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:15354", "localhost:15354", "LOCALHOST", "[::1]:15354"])
def test_the_file_is_there_under_loopback_names(host: str) -> None:
    found = request("GET /proxy.pac HTTP/1.1", f"Host: {host}")
    assert isinstance(found, pages.LocalResponse)
    assert (found.status, dict(found.headers)[b"Content-Type"]) == (200, b"application/x-ns-proxy-autoconfig")
    assert found.body == pac_text(ZONES, PORT)
    assert dict(found.headers)[b"Content-Length"] == b"%d" % len(found.body)
    assert status(request("HEAD /proxy.pac?x HTTP/1.1", f"Host: {host}")) == 200


@pytest.mark.parametrize("host", ["example.com", "app.dev.local", "127.0.0.1.example.com", "10.0.0.1", ""])
def test_under_another_name_nothing_is_read(host: str) -> None:
    for target in ("/proxy.pac", "/", "*"):
        method = "OPTIONS" if target == "*" else "GET"
        found = request(f"{method} {target} HTTP/1.1", f"Host: {host}")
        assert isinstance(found, pages.LocalResponse)
        assert found.status in (400, 403)
        assert b"dev.local" not in found.body
    assert status(route_request(b"GET /proxy.pac HTTP/1.0", SCOPE, PORT)) == 403


def test_there_is_no_other_file_and_no_other_method() -> None:
    assert status(request("GET / HTTP/1.1")) == 404
    assert status(request("GET /proxy.pac/ HTTP/1.1")) == 404
    assert status(request("OPTIONS * HTTP/1.1")) == 404
    assert status(request("POST /proxy.pac HTTP/1.1")) == 405


def test_the_text_names_zones_and_port() -> None:
    text = pac_text(ZONES, 4321).decode()
    assert 'var zones = ["dev.local", "localhost", "test"];' in text
    assert re.findall(r'return "(.*?)"', text) == ["PROXY 127.0.0.1:4321", "DIRECT"]
