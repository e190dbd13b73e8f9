"""The watch of responses: a refusal, a script, a page are recognised in whatever pieces and encodings they come."""

from __future__ import annotations

import gzip
import zlib

import pytest

from devtls.http.events import Data, EndOfMessage, Headers, Request, Response
from devtls.http.frameworks.advice import FrameworkFinding
from devtls.http.frameworks.host_check import SNIFF_BYTES
from devtls.net.framework_watch import ResponseWatch, RouteWatch, asks_for_look
from tests.net.harness import Proxy, answering, app

VITE = (
    b'Blocked request. This host ("app.dev.local") is not allowed.\nAdd it to server.allowedHosts in vite.config.js.\n'
)
CLIENT = b"x" * 5000 + b"const hmrPort = 6006;" + b"y" * 5000
SCRIPT = b"text/javascript; charset=utf-8"


class Watched:
    """A route's watch, and what it has found."""

    def __init__(self) -> None:
        self.route = RouteWatch()
        self.found: list[FrameworkFinding] = []

    def watch(self, request: Request | None = None) -> ResponseWatch:
        return ResponseWatch(request or asking(), self.route, 8443, self.found.append)

    def see(self, status: int, kind: bytes, *pieces: bytes, encoding: bytes = b"", more: Headers | None = None) -> None:
        watch = self.watch()
        fields = [(b"content-type", kind), *(more or [])] + ([(b"Content-Encoding", encoding)] if encoding else [])
        watch.take(Response(1, status, fields, b"", None))
        for piece in pieces:
            watch.take(Data(1, piece))
        watch.take(EndOfMessage(1))
        watch.take(EndOfMessage(1))

    @property
    def frameworks(self) -> list[str]:
        return [each.advice.framework for each in self.found]


def asking(target: bytes = b"/", headers: Headers | None = None, method: bytes = b"GET") -> Request:
    return Request(1, method, target, b"app.dev.local:8443", headers or [])


@pytest.mark.parametrize(("status", "expected"), [(200, False), (404, False), (403, True), (400, True), (500, False)])
def test_only_some_errors_are_worth_a_look(status: int, expected: bool) -> None:
    assert asks_for_look(Response(1, status, [])) is expected


def test_a_refusal_in_pieces_is_recognised_once() -> None:
    watched = Watched()
    watched.see(403, b"text/plain", *(VITE[place : place + 7] for place in range(0, len(VITE), 7)))
    assert watched.frameworks == ["Vite"]


def test_a_long_refusal_is_recognised_when_enough_of_it_is_here() -> None:
    watched = Watched()
    watch = watched.watch()
    watch.take(Response(1, 403, [(b"content-type", b"text/plain")], b"", None))
    watch.take(Data(1, VITE + b"x" * SNIFF_BYTES))
    assert watched.frameworks == ["Vite"]


def test_a_refusal_that_is_sent_as_a_page_is_recognised() -> None:
    watched = Watched()
    watched.see(200, b"text/html; charset=utf-8", b"Invalid Host ", b"header")
    assert watched.frameworks == ["webpack-dev-server"]


def test_an_ordinary_refusal_is_none() -> None:
    watched = Watched()
    watched.see(403, b"text/plain", b"Forbidden")
    watched.see(404, b"text/plain", VITE)
    assert watched.found == []


@pytest.mark.parametrize("encoding", [b"gzip", b"Deflate", b""])
def test_a_script_that_dials_the_apps_port_is_recognised(encoding: bytes) -> None:
    body = {b"gzip": gzip.compress(CLIENT), b"Deflate": zlib.compress(CLIENT)}.get(encoding, CLIENT)
    watched = Watched()
    watched.see(200, SCRIPT, *(body[place : place + 1000] for place in range(0, len(body), 1000)), encoding=encoding)
    assert watched.frameworks == ["Vite"]
    assert dict(watched.found[0].facts)["dialled"] == "6006"
    watched.see(200, SCRIPT, body, encoding=encoding)
    assert len(watched.found) == 1  # one such script is enough


def test_a_body_that_cannot_be_read_is_left_alone() -> None:
    watched = Watched()
    watched.see(200, SCRIPT, CLIENT, encoding=b"br")
    watched.see(200, SCRIPT, CLIENT, encoding=b"gzip")
    watched.see(200, b"image/png", CLIENT)
    assert watched.found == []


def test_a_page_tells_the_framework_to_the_findings_behind_it() -> None:
    watched = Watched()
    watched.see(200, b"text/html", b'<script type="module" src="/_nuxt/@vite/client">')
    watched.see(403, b"text/plain", VITE)
    assert [each.seen for each in watched.found] == ["Nuxt"]


def test_a_page_with_its_own_http_address_is_a_finding() -> None:
    watched = Watched()
    watched.see(200, b"text/html", b'<a href="http://app.dev.local:8443/', b'x">', more=[(b"Server", b"Werkzeug/3.1")])
    assert [each.seen for each in watched.found] == ["Flask"]
    watched.see(302, b"text/html", more=[(b"location", b"http://app.dev.local/")])
    assert len(watched.found) == 2


def test_a_route_is_looked_at_for_a_while() -> None:
    watched = Watched()
    page = b'<a href="http://app.dev.local:8443/">'
    for _ in range(200):
        watched.see(200, b"text/html", page)
        watched.see(200, SCRIPT, b"1")
    assert 0 < len(watched.found) < 200
    assert not watched.route.looks
    others = RouteWatch()
    looks = 0
    while others.looks:
        looks += 1
    assert looks == 5000


def test_a_script_is_asked_for_in_an_encoding_that_can_be_read() -> None:
    encodings = (b"Accept-Encoding", b"gzip, deflate, br, ZSTD;q=0.5")
    watched = Watched()
    for request in (asking(b"/main.js?a", [encodings]), asking(b"/x", [(b"sec-fetch-dest", b"script"), encodings])):
        sent = watched.watch(request).readable(request)
        assert sent.headers[-1] == (b"Accept-Encoding", b"gzip, deflate")
        assert sent.target == request.target
    for request in (asking(b"/", [encodings]), asking(b"/main.js", [encodings], b"POST")):
        assert watched.watch(request).readable(request) is request
    watched.see(200, SCRIPT, b"const hmrPort = null;")
    request = asking(b"/main.js", [encodings])
    assert watched.watch(request).readable(request) is request


async def test_a_script_is_asked_for_readably_passes_whole_and_is_looked_at_once(running: Proxy) -> None:
    fields = b"Content-Type: text/javascript\r\nContent-Encoding: gzip\r\n"
    packed = gzip.compress(CLIENT, mtime=0)
    async with app(answering(packed, fields=fields)) as backend:
        running.route(f"app = {backend.port}")
        for _ in range(2):
            reply = await running.get(b"/@vite/client", fields=b"Accept-Encoding: gzip, br\r\n")
            assert reply.body == packed
        heads = [head for connection in backend.connections for head in connection.heads]
    assert [b"Accept-Encoding: gzip, br\r\n" in head for head in heads] == [False, True]
    assert [host for host, _ in running.noted.findings] == ["app.dev.local"]


async def test_a_redirect_to_plain_http_is_moved_and_seen(running: Proxy) -> None:
    fields = b"Location: http://app.dev.local/there\r\nX-Powered-By: Express\r\n"
    async with app(answering(b"", status=b"302 Found", fields=fields)) as backend:
        running.route(f"app = {backend.port}")
        reply = await running.get()
    assert reply.field(b"location")[0].endswith(b"/there")
    assert [found.advice.problem[:9] for _, found in running.noted.findings] == ["takes its"]
